package release

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	_, dest, err := unpack(t, tarGz(t, aRelease()...), genuine())
	if err != nil {
		t.Fatal(err)
	}
	if IsComplete(dest) {
		t.Error("complete before it was marked")
	}
	if err := MarkComplete(dest+"x", listed("9.10.0", Team, false)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("marked what is not there: %v", err)
	}
	mark := func() {
		t.Helper()
		if err := MarkComplete(dest, listed("9.10.0", Team, false)); err != nil {
			t.Fatal(err)
		}
	}
	mark()
	if m, err := Complete(dest); err != nil || m.Version != version(t, "9.10.0") || m.Edition != Team || m.Arch != AMD64 || m.Time.IsZero() {
		t.Errorf("marker %+v, %v", m, err)
	}
	manifest := must(os.ReadFile(dest + manifestEnd))(t)
	for name, damage := range map[string]func() error{
		"manifest changed": func() error { return os.WriteFile(dest+manifestEnd, append(manifest, ' '), 0o600) },
		"manifest empty":   func() error { return os.WriteFile(dest+manifestEnd, nil, 0o600) },
		"manifest of others": func() error {
			return os.WriteFile(dest+manifestEnd, []byte(`{"kind":"other"}`), 0o600)
		},
		"manifest gone": func() error { return os.Remove(dest + manifestEnd) },
		"marker cut":    func() error { return os.Truncate(dest+completeEnd, 5) },
		"no directory":  func() error { return os.Rename(dest, dest+"-away") },
		"a file": func() error {
			return errors.Join(os.Rename(dest, dest+"-away"), os.WriteFile(dest, nil, 0o600))
		},
	} {
		mark()
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if IsComplete(dest) {
			t.Errorf("%s: still complete", name)
		}
		if name == "a file" {
			if err := MarkComplete(dest, listed("9.10.0", Team, false)); err == nil {
				t.Error("marked a file")
			}
			os.Remove(dest)
		}
		if err := os.Rename(dest+"-away", dest); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.WriteFile(dest+manifestEnd, manifest, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRemove(t *testing.T) {
	_, dest, err := unpack(t, tarGz(t, aRelease()...), genuine())
	if err != nil {
		t.Fatal(err)
	}
	if err := MarkComplete(dest, listed("9.10.0", Team, false)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Remove(dest); err != nil {
			t.Fatal(err)
		}
		if left := list(t, filepath.Dir(dest)); left != "" {
			t.Errorf("left:\n%s", left)
		}
	}
	if err := os.Mkdir(dest, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dest); err == nil || !strings.Contains(err.Error(), "refusing to remove") {
		t.Errorf("removed what is not ours: %v", err)
	}
}
