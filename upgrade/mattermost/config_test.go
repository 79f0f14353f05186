package mattermost

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func configOf(t *testing.T, text string, env map[string]string) *Config {
	t.Helper()
	c := &Config{Path: "config.json", env: env, settings: map[string]any{}}
	if err := c.parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigGet(t *testing.T) {
	c := configOf(t, `{"A": {"B": "file", "On": true, "N": 12345678901234567}, "C": null}`, map[string]string{"MM_A_B": "env", "MM_A_NEW": ""})
	for key, want := range map[string]string{"A.B": "env", "A.On": "true", "A.N": "12345678901234567", "A.New": "", "A.None": "", "C": "", "A.B.C": ""} {
		if got := c.String(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if _, ok := c.Get("A.New"); !ok {
		t.Error("an empty variable is set all the same")
	}
	if !c.Bool("A.On") || c.Bool("A.B") || c.Bool("A.None") {
		t.Error("Bool is wrong")
	}
}

func TestConfigBroken(t *testing.T) {
	for text, want := range map[string]string{
		"{\n\"A\": 1,\n}": "line 3",
		"{} trailing":     "follows the closing brace",
		"":                "EOF",
	} {
		c := &Config{Path: "/etc/mm.json"}
		err := c.parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/etc/mm.json") {
			t.Errorf("%q: %v, want %q in it", text, err, want)
		}
	}
}

func TestListen(t *testing.T) {
	for _, c := range []struct {
		config string
		port   int
		url    string
		name   string
	}{
		{`{}`, 8065, "http://127.0.0.1:8065", ""},
		{`{"ServiceSettings": {"ListenAddress": "127.0.0.1:9000", "SiteURL": "https://chat.example.org/mm/"}}`, 9000, "http://127.0.0.1:9000/mm", ""},
		{`{"ServiceSettings": {"ListenAddress": "[::]:443", "ConnectionSecurity": "TLS", "SiteURL": "https://chat.example.org"}}`, 443, "https://127.0.0.1:443", "chat.example.org"},
		{`{"ServiceSettings": {"ListenAddress": "10.0.0.5:80"}}`, 80, "http://10.0.0.5:80", ""},
		{`{"ServiceSettings": {"ListenAddress": ":http"}}`, 80, "http://127.0.0.1:80", ""},
	} {
		port, h, err := configOf(t, c.config, nil).listen()
		if err != nil || port != c.port || h.URL != c.url || h.ServerName != c.name {
			t.Errorf("%s: %d %+v %v", c.config, port, h, err)
		}
	}
	for _, address := range []string{"nonsense", ":0", ":99999", "1.2.3.4"} {
		if _, _, err := configOf(t, `{"ServiceSettings": {"ListenAddress": "`+address+`"}}`, nil).listen(); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
}

func TestFindConfig(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "config"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, path string }{
		{"", filepath.Join(dir, "config", "config.json")},
		{"/etc/mm.json", "/etc/mm.json"},
		{"other.json", filepath.Join(dir, "config", "other.json")},
		{"postgres://u:p@h/d", ""},
	} {
		got := findConfig(&Unit{Env: map[string]string{"MM_CONFIG": c.flag}}, dir)
		if got.Path != c.path || got.InDatabase != (c.path == "") {
			t.Errorf("MM_CONFIG=%q: %+v", c.flag, got)
		}
	}
}

// TestSearchConfig: as the server itself looks for its configuration.
func TestSearchConfig(t *testing.T) {
	root := t.TempDir()
	for _, c := range []struct {
		name, cwd string
		files     string
		want      string
	}{
		{"config.json", "mm", "mm/config/config.json", "mm/config/config.json"},
		{"config.json", "work", "mm/config/config.json", "mm/config/config.json"},
		{"config.json", "work", "mm/config/config.json work/config/config.json", "work/config/config.json"},
		{"config.json", "work/a/b", "mm/config/config.json work/config/config.json", "work/config/config.json"},
		{"config.json", "work", "mm/config/config.json work/config.json", "mm/config/config.json"},
		{"config.json", "mm", "mm/config/config.json mm/channels/config/config.json", "mm/channels/config/config.json"},
		{"config/mm.json", "work", "mm/config/config.json work/config/mm.json", "work/config/mm.json"},
		{"mm.json", "work", "mm/config/config.json mm/bin/mm.json", "mm/bin/mm.json"},
		{"mm.json", "work", "mm/config/config.json work/config/none", "work/config/mm.json"},
		{"mm.json", "work", "", "mm/config/mm.json"},
	} {
		dir, err := os.MkdirTemp(root, "case")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range append(strings.Fields(c.files), c.cwd+"/.", "mm/bin/.") {
			path = filepath.Join(dir, filepath.Dir(path))
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range strings.Fields(c.files) {
			if err := os.WriteFile(filepath.Join(dir, path), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		u := &Unit{Args: []string{"mattermost", "-c", c.name}, WorkDir: filepath.Join(dir, c.cwd)}
		if got := findConfig(u, filepath.Join(dir, "mm")); got.Path != filepath.Join(dir, c.want) {
			t.Errorf("%s from %s with %q: %s, want %s", c.name, c.cwd, c.files, got.Path, c.want)
		}
	}
}

func TestConfigCopyAndBack(t *testing.T) {
	dir := t.TempDir()
	path, kept := filepath.Join(dir, "config.json"), filepath.Join(dir, "kept", "run.json")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := CopyConfig("", path, kept); err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []func() error{
		func() error { return os.WriteFile(path, []byte("new, and longer"), 0o640) },
		func() error { return os.Remove(path) },
		func() error { return nil },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := PutBackConfig("", kept, path); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != "old" {
			t.Errorf("got %q, %v", data, err)
		}
	}
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy's mode: %v, %v", info.Mode(), err)
	}
	if err := PutBackConfig("", filepath.Join(dir, "none"), path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a copy: %v", err)
	}
}

// A pipe in the place of the configuration is an error at once, for whoever reads it.
func TestConfigIsAPipe(t *testing.T) {
	dir := t.TempDir()
	path, kept := filepath.Join(dir, "config.json"), filepath.Join(dir, "kept.json")
	if err := errors.Join(syscall.Mkfifo(path, 0o600), os.WriteFile(kept, []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"read": (&Config{Path: path}).read(), "copy": CopyConfig("", path, filepath.Join(dir, "copy.json")),
		"put back": PutBackConfig("", kept, path), "database settings": CopyDatabaseSettings("", path, kept)} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What is as it was is not written: owner, mode, links and times stay.
func TestPutBackWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, "real.json", "config.json -> real.json")
	path, kept := filepath.Join(dir, "config.json"), filepath.Join(dir, "kept", "run.json")
	before, err := os.Stat(path)
	if err := errors.Join(err, CopyConfig("", path, kept), PutBackConfig("", kept, path)); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("it was written: %v, %v", after, err)
	}
	if err := errors.Join(os.WriteFile(path, []byte("changed"), 0o600), PutBackConfig("", kept, path)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"config.json -> real.json", "kept/", "kept/run.json = real.json", "real.json = real.json"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestDatabaseOfRefusesMySQL(t *testing.T) {
	c := configOf(t, `{"SqlSettings": {"DriverName": "mysql", "DataSource": "mm:secret@tcp(localhost:3306)/mm"}}`, nil)
	_, err := DatabaseOf(&Unit{}, c)
	if !errors.Is(err, ErrNotPostgres) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
