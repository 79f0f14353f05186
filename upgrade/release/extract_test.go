package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/internal/golden"
)

// unpack writes an archive to a file and extracts it beside.
func unpack(t testing.TB, archive []byte, l limits) (*Manifest, string, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "mattermost-team-9.10.0-linux-amd64.tar.gz")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	dest := filepath.Join(dir, "versions", "9.10.0-team")
	if err := os.Mkdir(filepath.Dir(dest), 0o755); err != nil {
		t.Fatal(err)
	}
	m, err := extract(t.Context(), file, dest, nil, l)
	return m, dest, err
}

// list writes a directory the way a golden can hold it.
func list(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&b, "%s %s", info.Mode(), name)
		switch {
		case info.Mode().IsRegular():
			text, _ := os.ReadFile(path)
			fmt.Fprintf(&b, " %q %s", text, info.ModTime().UTC().Format(time.DateOnly))
		case d.Type() == fs.ModeSymlink:
			link, _ := os.Readlink(path)
			fmt.Fprintf(&b, " -> %s", link)
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// aRelease is an archive of the official layout, with what a genuine one might also hold.
func aRelease() []entry {
	day := time.Date(2026, 8, 12, 10, 0, 0, 0, time.UTC)
	dir := func(name string) entry { return entry{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o775}, ""} }
	return []entry{
		{tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}}, ""},
		dir("./"), dir("mattermost/"), dir("mattermost/bin/"),
		{tar.Header{Name: "mattermost/bin/mattermost", Mode: 0o700, ModTime: day}, "the server"},
		{tar.Header{Name: "mattermost/config/config.json", Mode: 0o666, ModTime: day, Uid: 2000, Uname: "mattermost"}, "{}"},
		{tar.Header{Name: "./mattermost/client/root.html", Mode: 0o640, ModTime: day.AddDate(100, 0, 0)}, "<html>"},
		dir("mattermost/bin/"),
		{tar.Header{Name: "mattermost/client/index.html", Typeflag: tar.TypeSymlink, Linkname: "root.html"}, ""},
		{tar.Header{Name: "mattermost/client/up", Typeflag: tar.TypeSymlink, Linkname: "../bin"}, ""},
		{tar.Header{Name: "mattermost/bin/platform", Typeflag: tar.TypeLink, Linkname: "mattermost/bin/mattermost"}, ""},
		{tar.Header{Name: "mattermost/empty", Mode: 0o644, ModTime: day}, ""},
	}
}

func TestExtract(t *testing.T) {
	m, dest, err := unpack(t, tarGz(t, aRelease()...), genuine())
	if err != nil {
		t.Fatal(err)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	golden.Check(t, "extracted.golden", strings.ReplaceAll(list(t, dest), today, "today"))

	if m.Archive != "mattermost-team-9.10.0-linux-amd64.tar.gz" || len(m.SHA256) != 64 || m.Size != 28 {
		t.Errorf("manifest %+v", m)
	}
	for _, path := range []string{"bin", "bin/mattermost", "client/up", "bin/platform"} {
		if !m.Has(path) {
			t.Errorf("the manifest does not have %s", path)
		}
	}
	if m.Has("bin/other") || m.Has("mattermost") || m.Has("") {
		t.Error("the manifest has what the release does not ship")
	}
	if f, _ := m.Find("bin/mattermost"); f.Mode != 0o755 || f.Size != 10 || len(f.SHA256) != 64 {
		t.Errorf("bin/mattermost: %+v", f)
	}
	saved := must(LoadManifest(dest))(t)
	if !slices.Equal(saved.Files, m.Files) || saved.SHA256 != m.SHA256 {
		t.Error("the saved manifest is another one")
	}
	if _, err := os.Lstat(dest + ".partial"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the partial directory is still there: %v", err)
	}
}

func TestExtractProgress(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.tar.gz")
	archive := tarGz(t, aRelease()...)
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	var last [2]int64
	must(Extract(t.Context(), file, filepath.Join(dir, "v"), func(done, total int64) { last = [2]int64{done, total} }))(t)
	if size := int64(len(archive)); last != [2]int64{size, size} {
		t.Errorf("progress ended at %v, want %d", last, size)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the lock was lost")
	cancel(why)
	if _, err := Extract(ctx, file, filepath.Join(dir, "w"), nil); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	if entries, _ := filepath.Glob(filepath.Join(dir, "w*")); len(entries) > 0 {
		t.Errorf("left %v", entries)
	}
}

// No archive, however made, writes outside its directory or leaves anything when it is refused.
func TestExtractRefuses(t *testing.T) {
	file := regular("mattermost/bin/mattermost", "x")
	special := func(name string, kind byte) entry {
		return entry{tar.Header{Name: name, Typeflag: kind, Mode: 0o644, Linkname: "x"}, ""}
	}
	link := func(name, target string) entry {
		return entry{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}, ""}
	}
	hard := func(name, target string) entry {
		return entry{tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}, ""}
	}
	mode := func(m int64) entry { return entry{tar.Header{Name: "mattermost/bin/x", Mode: m}, "x"} }
	for name, test := range map[string]struct {
		entries []entry
		part    string
	}{
		"no entries":                  {nil, "holds no mattermost directory"},
		"only the top":                {[]entry{{tar.Header{Name: "mattermost/", Typeflag: tar.TypeDir}, ""}}, "holds no mattermost"},
		"another top":                 {[]entry{file, regular("etc/passwd", "x")}, "not below mattermost/"},
		"no top":                      {[]entry{regular("README", "x")}, "not below mattermost/"},
		"top with a longer name":      {[]entry{regular("mattermost-team/x", "x")}, "not below mattermost/"},
		"top is a file":               {[]entry{regular("mattermost", "x")}, "the top is not a directory"},
		"top is a link":               {[]entry{link("mattermost", "/etc"), regular("mattermost/passwd", "x")}, "the top is not a directory"},
		"absolute":                    {[]entry{regular("/mattermost/x", "x")}, "absolute path"},
		"upwards":                     {[]entry{regular("mattermost/../../x", "x")}, "leaves the directory"},
		"upwards and back":            {[]entry{regular("mattermost/a/../b", "x")}, "leaves the directory"},
		"only upwards":                {[]entry{regular("..", "x")}, "leaves the directory"},
		"link to an absolute path":    {[]entry{link("mattermost/x", "/etc/passwd")}, "outside the release"},
		"link upwards":                {[]entry{link("mattermost/a/x", "../../x")}, "outside the release"},
		"link to nothing":             {[]entry{link("mattermost/x", "")}, "outside the release"},
		"link with a backslash":       {[]entry{link("mattermost/x", `..\x`)}, "outside the release"},
		"link through another link":   {[]entry{link("mattermost/x/y/l", "../../a"), link("mattermost/x/y/m", "l/../../etc")}, "down and up again"},
		"link up, down and up":        {[]entry{link("mattermost/x/y/m", "../.../../z")}, "down and up again"},
		"through a link":              {[]entry{link("mattermost/x", "y"), regular("mattermost/x/z", "x")}, "not a directory"},
		"over a link":                 {[]entry{link("mattermost/x", "y"), regular("mattermost/x", "x")}, "comes twice"},
		"below a file":                {[]entry{file, regular("mattermost/bin/mattermost/x", "x")}, "not a directory"},
		"hard link outside":           {[]entry{file, hard("mattermost/x", "/etc/passwd")}, "absolute path"},
		"hard link upwards":           {[]entry{file, hard("mattermost/x", "mattermost/../../x")}, "leaves the directory"},
		"hard link to another top":    {[]entry{file, hard("mattermost/x", "etc/passwd")}, "not below"},
		"hard link to nothing":        {[]entry{file, hard("mattermost/x", "mattermost/y")}, "no file of the archive"},
		"hard link to a directory":    {[]entry{file, hard("mattermost/x", "mattermost/bin")}, "no file of the archive"},
		"hard link to a link":         {[]entry{link("mattermost/y", "z"), hard("mattermost/x", "mattermost/y")}, "no file of the archive"},
		"hard link to itself":         {[]entry{hard("mattermost/x", "mattermost/x")}, "no file of the archive"},
		"a file twice":                {[]entry{file, file}, "comes twice"},
		"a directory over a file":     {[]entry{file, {tar.Header{Name: "mattermost/bin/mattermost/", Typeflag: tar.TypeDir}, ""}}, "not a directory"},
		"a file over a directory":     {[]entry{file, regular("mattermost/bin", "x")}, "comes twice"},
		"the same under another name": {[]entry{file, regular("./mattermost//bin/./mattermost", "x")}, "comes twice"},
		"setuid":                      {[]entry{mode(0o4755)}, "setuid"},
		"setgid":                      {[]entry{mode(0o2755)}, "setgid"},
		"sticky":                      {[]entry{mode(0o1755)}, "sticky"},
		"character device":            {[]entry{special("mattermost/x", tar.TypeChar)}, "neither a file"},
		"block device":                {[]entry{special("mattermost/x", tar.TypeBlock)}, "neither a file"},
		"pipe":                        {[]entry{special("mattermost/x", tar.TypeFifo)}, "neither a file"},
		"newline in a name":           {[]entry{regular("mattermost/a\nb", "x")}, "not text"},
		"escape in a name":            {[]entry{regular("mattermost/a\x1b[2Jb", "x")}, "not text"},
		"backslash in a name":         {[]entry{regular(`mattermost/..\..\x`, "x")}, "a backslash"},
		"no UTF-8":                    {[]entry{regular("mattermost/\xff", "x")}, "not text"},
		"endless name":                {[]entry{regular("mattermost/"+strings.Repeat("x", 1100), "x")}, "longer or deeper"},
		"endless depth":               {[]entry{regular("mattermost/"+strings.Repeat("x/", 50)+"x", "x")}, "longer or deeper"},
	} {
		t.Run(name, func(t *testing.T) {
			_, dest, err := unpack(t, tarGz(t, test.entries...), genuine())
			checkRefused(t, dest, err, test.part)
		})
	}
}

// checkRefused wants an ArchiveError, and nothing left or made anywhere.
func checkRefused(t *testing.T, dest string, err error, part string) {
	t.Helper()
	var fault *ArchiveError
	if !errors.As(err, &fault) || !strings.Contains(err.Error(), part) {
		t.Fatalf("error %v, want an ArchiveError: %s", err, part)
	}
	if strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("the message carries control characters: %q", err.Error())
	}
	if fault.Hint() == "" {
		t.Error("no hint")
	}
	if left := list(t, filepath.Dir(filepath.Dir(dest))); strings.Count(left, "\n") != 2 {
		t.Errorf("left behind:\n%s", left)
	}
}

func TestExtractDamaged(t *testing.T) {
	whole := tarGz(t, aRelease()...)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 0xff
	for name, test := range map[string]struct {
		archive []byte
		part    string
	}{
		"empty":           {nil, "no gzip file"},
		"not gzip":        {[]byte("<html>an error page, long enough</html>"), "no gzip file"},
		"cut off":         {whole[:len(whole)-20], "is cut off"},
		"without its end": {whole[:len(whole)-4], "is cut off"},
		"flipped":         {flipped, "is damaged"},
		"rubbish after":   {append(bytes.Clone(whole), "rubbish, and more of it"...), "is damaged"},
		"gzip of no tar":  {zipped(bytes.Repeat([]byte("x"), 2000)), "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			_, dest, err := unpack(t, test.archive, genuine())
			checkRefused(t, dest, err, test.part)
		})
	}
}

func zipped(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(content) // a buffer takes everything
	w.Close()
	return b.Bytes()
}

func TestExtractBombs(t *testing.T) {
	big := regular("mattermost/big", strings.Repeat("0", 2<<20))
	small := limits{entries: 10, bytes: 1 << 20, ratio: 100, ratioFrom: 1 << 20, depth: 40}
	dense := small
	dense.bytes = 1 << 30
	var many []entry
	for i := range 11 {
		many = append(many, regular(fmt.Sprintf("mattermost/%d", i), "x"))
	}
	for name, test := range map[string]struct {
		archive []byte
		limits  limits
		part    string
	}{
		"ratio":   {tarGz(t, big), dense, "more than 100 times its size"},
		"size":    {tarGz(t, regular("mattermost/big", string(content(2<<20)))), small, "more than 1 MB"},
		"entries": {tarGz(t, many...), small, "more than 10 entries"},
		"padding": {append(tarGz(t, regular("mattermost/x", "x")), zipped(make([]byte, 2<<20))...), dense, "more than 100 times its size"},
	} {
		t.Run(name, func(t *testing.T) {
			_, dest, err := unpack(t, test.archive, test.limits)
			checkRefused(t, dest, err, test.part)
		})
	}
}

func TestExtractDestination(t *testing.T) {
	archive := tarGz(t, aRelease()...)
	dir := t.TempDir()
	file := filepath.Join(dir, "a.tar.gz")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dest := range []string{"relative", dir + "/a/../b", "/", ""} {
		if _, err := Extract(t.Context(), file, dest, nil); err == nil || !strings.Contains(err.Error(), "clean absolute path") {
			t.Errorf("into %q: %v", dest, err)
		}
	}
	theirs := filepath.Join(dir, "theirs")
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Extract(t.Context(), file, theirs, nil); err == nil || !strings.Contains(err.Error(), "refusing") {
		t.Errorf("into a directory of someone else's: %v", err)
	}
	if _, err := Extract(t.Context(), file, filepath.Join(dir, "no", "such"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into a directory that is not there: %v", err)
	}
	if _, err := Extract(t.Context(), filepath.Join(dir, "none"), filepath.Join(dir, "v"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("from a file that is not there: %v", err)
	}

	// What an interrupted run of ours left is replaced; a complete release is not.
	dest := filepath.Join(dir, "9.10.0-team")
	must(Extract(t.Context(), file, dest, nil))(t)
	stray := filepath.Join(dest, "stray")
	if err := os.WriteFile(stray, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dest+".partial/x", 0o755); err != nil {
		t.Fatal(err)
	}
	must(Extract(t.Context(), file, dest, nil))(t)
	if _, err := os.Lstat(stray); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the incomplete release was not replaced")
	}
	if err := MarkComplete(dest, listed("9.10.0", Team, false)); err != nil {
		t.Fatal(err)
	}
	if _, err := Extract(t.Context(), file, dest, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a complete release: %v", err)
	}
}
