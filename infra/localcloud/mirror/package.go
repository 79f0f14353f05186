package mirror

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"townsquare/infra/localcloud/build"
)

// recipe is part of every package's key: raise it when the content of an archive changes.
const recipe = "2"

// Package is a release in the cache, ready to be published. It is a directory with the archive, the archive's
// signatures, and this description.
type Package struct {
	Dir     string    `json:"-"`
	Number  string    `json:"number"`
	Edition Edition   `json:"edition"`
	Arch    string    `json:"arch"` // "amd64"
	File    string    `json:"file"` // name of the archive, as the vendor's
	SHA256  string    `json:"sha256"`
	Size    int64     `json:"size"` // bytes
	Date    time.Time `json:"date"`
}

// Files beside the archive, by what is added to its name. Only the first is what a vendor publishes; the others
// are served in its place by faults.
const (
	signatureSuffix      = ".sig"
	otherSignatureSuffix = ".other.sig" // by a key that is not the vendor's
)

const descriptionFile = "release.json"

// Make returns the package of r, after building what the cache lacks: the server, the archive, the signatures.
func Make(ctx context.Context, c *build.Cache, r Release, e Edition) (Package, error) {
	entry, err := packageEntry(ctx, c, r, e)
	if err != nil {
		return Package{}, err
	}
	if !c.Has(entry) {
		// First by itself, so that a person sees one clock at a time.
		if _, err := r.Code.Tool(e == Enterprise).Get(ctx, c); err != nil {
			return Package{}, err
		}
	}
	dir, err := c.Get(ctx, entry)
	if err != nil {
		return Package{}, err
	}
	return Load(dir)
}

// Load reads the package in dir.
func Load(dir string) (Package, error) {
	text, err := os.ReadFile(filepath.Join(dir, descriptionFile))
	if err != nil {
		return Package{}, fmt.Errorf("load a release: %w", err)
	}
	p := Package{Dir: dir}
	if err := json.Unmarshal(text, &p); err != nil {
		return Package{}, fmt.Errorf("load the release in %s: %w", dir, err)
	}
	return p, nil
}

func packageEntry(ctx context.Context, c *build.Cache, r Release, e Edition) (build.Entry, error) {
	tool, err := r.Code.Tool(e == Enterprise).Entry(ctx)
	if err != nil {
		return build.Entry{}, err
	}
	client, err := clientLayout()
	if err != nil {
		return build.Entry{}, err
	}
	// A package is signed, so it is only as good as the keys beside it: new keys, new packages.
	keys, err := c.Get(ctx, keyEntry())
	if err != nil {
		return build.Entry{}, err
	}
	fingerprint, err := os.ReadFile(filepath.Join(keys, keyFingerprint))
	if err != nil {
		return build.Entry{}, err
	}
	key := []string{recipe, tool.Name, tool.Key, r.Number, r.Date.String(), r.Fault, fmt.Sprint(client), string(fingerprint)}
	if r.Fault != "" {
		key = append(key, faultySource)
	}
	name := r.Number + "-" + string(e)
	what := fmt.Sprintf("release %s (%s)", r.Number, e)
	if r.Fault != "" {
		what += ", made to fail: " + r.Fault
	}
	return build.Entry{
		Kind: "mirror", Name: name, Key: build.Key(key...), What: what,
		Why: "an archive of the official layout, signed", Usual: 15 * time.Second,
		Make: func(ctx context.Context, dir string, step *build.Step) (string, error) {
			p, err := makePackage(ctx, c, keys, r, e, dir, step)
			return build.Size(p.Size), err
		},
	}, nil
}

func makePackage(ctx context.Context, c *build.Cache, keys string, r Release, e Edition, dir string, step *build.Step) (Package, error) {
	server, err := r.Code.Tool(e == Enterprise).Get(ctx, c)
	if err != nil {
		return Package{}, err
	}
	var faulty string
	if r.Fault != "" {
		if faulty, err = makeFaulty(ctx, r, filepath.Join(dir, "faulty"), step); err != nil {
			return Package{}, err
		}
		defer os.RemoveAll(filepath.Join(dir, "faulty"))
	}
	files, err := layout(filepath.Dir(filepath.Dir(server)), faulty, r, e)
	if err != nil {
		return Package{}, err
	}
	step.Status("packing %d files", len(files))
	return pack(dir, keys, files, r.Number, e, r.Date)
}

// pack writes archive, signatures and description into dir.
func pack(dir, keys string, files []file, number string, e Edition, date time.Time) (Package, error) {
	p := Package{Dir: dir, Number: number, Edition: e, Arch: runtime.GOARCH, Date: date}
	p.File = archiveName(number, e, p.Arch)
	archive := filepath.Join(dir, p.File)
	f, err := os.OpenFile(archive, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return Package{}, err
	}
	defer f.Close()
	hash := sha256.New()
	if err := writeTarball(io.MultiWriter(f, hash), files, date); err != nil {
		return Package{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return Package{}, err
	}
	p.Size, p.SHA256 = info.Size(), hex.EncodeToString(hash.Sum(nil))
	for suffix, key := range map[string]string{signatureSuffix: keyPrivate, otherSignatureSuffix: keyOther} {
		by, err := signer(keys, key)
		if err != nil {
			return Package{}, err
		}
		if err := sign(archive, archive+suffix, by, date); err != nil {
			return Package{}, err
		}
	}
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return Package{}, err
	}
	return p, os.WriteFile(filepath.Join(dir, descriptionFile), text, 0o644)
}

// archiveName is what the vendor calls the archive: mattermost-9.10.0-linux-amd64.tar.gz is the Enterprise build.
func archiveName(number string, e Edition, arch string) string {
	name := "mattermost-"
	if e == Team {
		name += "team-"
	}
	return name + number + "-linux-" + arch + ".tar.gz"
}

//go:embed faulty/main.go
var faultySource string

// makeFaulty builds the program of a release that fails in the temporary directory dir.
func makeFaulty(ctx context.Context, r Release, dir string, step *build.Step) (string, error) {
	g, err := build.FindGo(ctx)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for name, text := range map[string]string{
		"main.go": faultySource, "go.mod": "module mattermost\n\ngo 1.26\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	flags := strings.Join([]string{"-s -w", "-X main.number=" + r.Number, "-X main.behaviour=" + r.Fault}, " ")
	bin := filepath.Join(dir, "bin")
	if err := g.Build(ctx, dir, bin, []string{"-ldflags", flags}, step, "."); err != nil {
		return "", err
	}
	return filepath.Join(bin, "mattermost"), nil
}

// Targets are the releases as targets of `localcloud build`. The demo needs two; the rest is for tests.
func Targets() []build.Target {
	var out []build.Target
	for _, r := range Releases() {
		about := "Mattermost " + r.Number + ", built, packed and signed"
		if r.Fault != "" {
			about += "; made to fail: " + r.Fault
		}
		out = append(out, build.Target{
			Name: "mattermost-" + r.Number, About: about, Default: r.Default,
			Prepare: r.Code.Tool(false).Prepare,
			Get: func(ctx context.Context, c *build.Cache) (string, error) {
				p, err := Make(ctx, c, r, Team)
				return p.Dir, err
			},
			Has: func(ctx context.Context, c *build.Cache) (string, bool, error) {
				e, err := packageEntry(ctx, c, r, Team)
				return c.Path(e), err == nil && c.Has(e), err
			},
		})
	}
	return out
}
