package mirror

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTarballIsTheSameEveryTime(t *testing.T) {
	files := []file{{name: "b", mode: 0o644, text: "b"}, {name: "a/c", mode: 0o755, text: "c"}, {name: "logs/", mode: 0o755}}
	turned := []file{files[2], files[1], files[0]}
	var one, two bytes.Buffer
	if err := errors.Join(writeTarball(&one, files, day(2024, 7, 16)), writeTarball(&two, turned, day(2024, 7, 16))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the order of the list changes the archive")
	}
}

func TestTarballEntries(t *testing.T) {
	from := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(from, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := writeTarball(&out, []file{{name: "bin/mattermost", mode: 0o755, from: from}, {name: "logs/", mode: 0o755}}, day(2024, 7, 16))
	if err != nil {
		t.Fatal(err)
	}
	got := list(t, &out)
	want := []string{
		"mattermost/ drwxr-xr-x ", "mattermost/bin/ drwxr-xr-x ",
		"mattermost/bin/mattermost -rwxr-xr-x from a file", "mattermost/logs/ drwxr-xr-x ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func list(t *testing.T, r io.Reader) (out []string) {
	t.Helper()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(z); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(day(2024, 7, 16)) || h.Uid != builder {
			t.Errorf("%s: time %s, owner %d", h.Name, h.ModTime.Format(time.DateTime), h.Uid)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h.Name+" "+h.FileInfo().Mode().String()+" "+string(text))
	}
}

// testTool is the directory of a built server, as the build package leaves it.
func testTool(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"bin/mattermost": "server", "bin/mmctl": "client", "share/config/config.json": `{"ConsoleLevel": "DEBUG", "x": 1}`,
		"share/i18n/en.json": "[]", "share/NOTICE.txt": "the module's own",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func layoutOf(t *testing.T, tool, faulty, number string) map[string]file {
	t.Helper()
	r, err := Find(number)
	if err != nil {
		t.Fatal(err)
	}
	files, err := layout(tool, faulty, r, Team)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]file{}
	for _, f := range files {
		if _, twice := byName[f.name]; twice {
			t.Errorf("%s is there twice", f.name)
		}
		byName[f.name] = f
	}
	return byName
}

func TestLayoutIsTheVendors(t *testing.T) {
	tool := testTool(t)
	files := layoutOf(t, tool, "", "9.10.0")
	for _, name := range []string{
		"bin/mattermost", "bin/mmctl", "client/root.html", "client/manifest.json", "config/config.json", "config/README.md",
		"i18n/en.json", "logs/", "prepackaged_plugins/", "NOTICE.txt", "README.md", "manifest.txt",
	} {
		if _, ok := files[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	config := files["config/config.json"]
	if config.mode != 0o600 || config.text != `{"ConsoleLevel": "INFO", "x": 1}` {
		t.Errorf("config.json: %o %s", config.mode, config.text)
	}
	if files["NOTICE.txt"].from == "" {
		t.Error("the module's own NOTICE.txt is not used")
	}
	if _, ok := layoutOf(t, tool, "", "7.7.0")["bin/mmctl"]; ok {
		t.Error("7.7.0's module has no mmctl")
	}
}

func TestLayoutOfAFaultyRelease(t *testing.T) {
	tool := testTool(t)
	files := layoutOf(t, tool, "/faulty/mattermost", "9.10.3")
	if got := files["bin/mattermost"].from; got != "/faulty/mattermost" {
		t.Errorf("bin/mattermost is %s", got)
	}
	if got := files[realServer].from; got != filepath.Join(tool, "bin", "mattermost") {
		t.Errorf("%s is %s", realServer, got)
	}
}
