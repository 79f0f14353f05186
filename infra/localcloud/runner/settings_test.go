package runner

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"golang.org/x/crypto/ssh"

	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/network"
)

const fingerprint = "A1B2C3D4E5F60718293A4B5C6D7E8F9001122334"

// newPlace is a cloud with a release mirror, and a project whose stack dev is given.
func newPlace(t *testing.T, stackFile string) (place, Options) {
	t.Helper()
	cloud := &network.Cloud{Name: "unit", Dir: t.TempDir()}
	source := t.TempDir()
	for path, content := range map[string]string{
		filepath.Join(source, "Pulumi.yaml"):              "name: townsquare\nruntime: go\n",
		filepath.Join(source, "Pulumi.dev.yaml"):          stackFile,
		filepath.Join(cloud.Dir, "mirror", "fingerprint"): fingerprint + "\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := place{cloud}
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	return p, Options{Cloud: cloud, Stack: "dev", Source: source, Plugin: "/bin/true", Output: &bytes.Buffer{}, Cache: build.NewCache(build.NewProgress(&bytes.Buffer{}))}
}

func TestSecretsAreMadeOnce(t *testing.T) {
	p, _ := newPlace(t, "config: {}\n")
	read := func() map[string]string {
		found := map[string]string{}
		entries, err := os.ReadDir(p.secrets())
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			info, err := entry.Info()
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", entry.Name(), info.Mode(), err)
			}
			content, _ := os.ReadFile(filepath.Join(p.secrets(), entry.Name()))
			found[entry.Name()] = string(content)
		}
		return found
	}
	first := read()
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	second := read()
	for name, content := range first {
		if second[name] != content || len(content) < 32 {
			t.Errorf("%s is another one, or short", name)
		}
	}
	if first["host_ed25519"] == first["ops_ed25519"] {
		t.Error("one key for two purposes")
	}
	if _, err := ssh.ParsePrivateKey([]byte(first["host_ed25519"])); err != nil {
		t.Error(err)
	}
}

func TestSettings(t *testing.T) {
	p, options := newPlace(t, "config:\n  townsquare:host: chat\n  townsquare:databaseVolumeGB: \"10\"\n")
	options.Set = map[string]any{"townsquare:database": "managed", "townsquare:databaseVolumeGB": ""}
	project, err := options.project(p)
	if err != nil || project.Plugins.Providers[0].Path != p.plugins() {
		t.Fatal(project, err)
	}
	// The engine has encrypted the host key already: it must stay as it is.
	kept := "encryptionsalt: v1:salt\nconfig:\n  townsquare:hostKey:\n    secure: ciphertext\n  townsquare:host: old\n"
	if err := os.WriteFile(p.stackFile("dev"), []byte(kept), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := options.settings(p, &project)
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string) string {
		found, ok := settings.Config[config.MustParseKey(name)]
		if !ok {
			return "absent"
		}
		text, err := found.Value(config.NewBlindingDecrypter())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for name, want := range map[string]string{
		"townsquare:host": "chat", "townsquare:database": "managed", "townsquare:databaseVolumeGB": "absent", hostKeyKey: "[secret]",
	} {
		if got := value(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(value(releasesKey), fingerprint) || !strings.Contains(value(sshKeysKey), "ssh-ed25519 ") || settings.EncryptionSalt != "v1:salt" {
		t.Errorf("settings: %+v", settings)
	}
}

// A cloud that never was up has no mirror: that is said, and the stack is free for the next one.
func TestOpenWithoutMirror(t *testing.T) {
	p, options := newPlace(t, "config: {}\n")
	if err := os.RemoveAll(filepath.Join(p.cloud.Dir, "mirror")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := Open(t.Context(), options); err == nil || !strings.Contains(err.Error(), "localcloud up --cloud unit") {
			t.Fatalf("error %v", err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	p, _ := newPlace(t, "config: {}\n")
	environment := Environment(p.cloud)
	passphrase, err := os.ReadFile(p.passphrase())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range environment {
		if strings.Contains(value, string(passphrase)) {
			t.Errorf("%s has the passphrase itself", name)
		}
	}
}
