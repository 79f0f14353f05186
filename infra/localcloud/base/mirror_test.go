package base

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHostMirror(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  Mirror
		err   string
	}{
		"one line each": {
			files: map[string]string{
				"etc/os-release": "ID=debian\nVERSION_CODENAME=bookworm\n",
				"etc/apt/sources.list": `# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] http://mirror.example/debian/ bookworm main contrib # the archive
deb http://mirror.example/security bookworm-security main
deb http://other.example/apt stable main
`},
			want: Mirror{Archive: "http://mirror.example/debian", Security: "http://mirror.example/security"},
		},
		"stanzas": {
			files: map[string]string{
				"etc/os-release": "ID=debian\nVERSION_CODENAME=\"trixie\"\n",
				"etc/apt/sources.list.d/debian.sources": `Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: trixie
Components: main

# the real one
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: trixie
 trixie-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://mirror.example/debian-security/
Suites: trixie-security
Components: main
`},
			want: Mirror{Archive: "http://mirror.example/debian", Security: "http://mirror.example/debian-security"},
		},
		"lists of mirrors": {
			files: map[string]string{
				"etc/os-release": "ID=debian\nVERSION_CODENAME=trixie\n",
				"etc/apt/sources.list.d/debian.sources": `Types: deb
URIs: mirror+file:///etc/apt/mirrors/debian.list
Suites: trixie trixie-updates
Components: main

Types: deb
URIs: mirror+file:/etc/apt/mirrors/security.list
Suites: trixie-security
Components: main
`,
				"etc/apt/mirrors/debian.list":   "# nearest first\nhttps://mirror.example/debian\tpriority:1\nhttps://other.example/debian\n",
				"etc/apt/mirrors/security.list": "https://mirror.example/debian-security\n",
			},
			want: Mirror{Archive: "https://mirror.example/debian", Security: "https://mirror.example/debian-security"},
		},
		"an empty list of mirrors": {
			files: map[string]string{
				"etc/os-release":              "ID=debian\nVERSION_CODENAME=trixie\n",
				"etc/apt/sources.list":        "deb mirror+file:/etc/apt/mirrors/debian.list trixie main\n",
				"etc/apt/mirrors/debian.list": "# nobody\n",
			},
			err: "is empty",
		},
		"no security archive": {
			files: map[string]string{
				"etc/os-release":       "ID=debian\nVERSION_CODENAME=bookworm\n",
				"etc/apt/sources.list": "deb http://mirror.example/debian bookworm main\n",
			},
			want: Mirror{Archive: "http://mirror.example/debian", Security: "http://mirror.example/debian-security"},
		},
		"no archive": {
			files: map[string]string{
				"etc/os-release":       "ID=debian\nVERSION_CODENAME=bookworm\n",
				"etc/apt/sources.list": "deb http://other.example/apt stable main\n",
			},
			err: `no archive with suite "bookworm"`,
		},
		"another system": {
			files: map[string]string{"etc/os-release": "ID=ubuntu\nVERSION_CODENAME=noble\n"},
			err:   "needs Debian 12 or 13",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, content := range test.files {
				path = filepath.Join(root, path)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			got, err := HostMirror(root)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil || got.Archive != test.want.Archive || got.Security != test.want.Security {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

func TestKeyFollowsWhatDecidesTheResult(t *testing.T) {
	a := recipe{Release: "trixie", Installed: []string{"systemd"}, Mirror: Mirror{Archive: "http://a.example"}}
	b := a
	if a.key() != b.key() {
		t.Error("the same recipe has two keys")
	}
	b.Mirror.Archive = "http://b.example"
	if a.key() == b.key() {
		t.Error("another archive has the same key")
	}
	b = a
	b.Downloaded = []string{"restic"}
	if a.key() == b.key() {
		t.Error("another package list has the same key")
	}
}

func TestMissingErrorCanBeTyped(t *testing.T) {
	err := &MissingError{Packages: []HostPackage{{Name: "nftables", Why: "is the firewall"}, {Name: "mmdebstrap", Why: "builds"}}}
	for _, want := range []string{"is the firewall", "apt-get install --no-install-recommends -y nftables mmdebstrap"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

func TestMachinesSeeEveryArchiveByHTTP(t *testing.T) {
	m := Mirror{Archive: "https://a.example/debian", Security: "http://b.example/security"}
	if got := m.Schemes(); len(got) != 2 || got["a.example"] != "https" || got["b.example"] != "http" {
		t.Errorf("schemes: %v", got)
	}
	script := recipe{Release: "trixie", Mirror: m, Customize: customize, DownloadFmt: download}.script()
	for _, want := range []string{"URIs: http://a.example/debian\n", "URIs: http://b.example/security\n", "] https://a.example/debian trixie-backports main"} {
		if !strings.Contains(script, want) {
			t.Errorf("no %q in\n%s", want, script)
		}
	}
}
