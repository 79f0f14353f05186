package mattermost

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExchange: whatever moment it is cut short at, it can be finished, and it can be undone; twice.
func TestExchange(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		// The renames that are done already when somebody comes to finish or to undo it.
		for done := range 3 {
			for _, forward := range []bool{true, false} {
				dir := t.TempDir()
				path, staged, kept := filepath.Join(dir, "data"), filepath.Join(dir, ".staging", "srv", "data"), filepath.Join(dir, ".staging", "before", "data")
				markWith(t, staged, "restored")
				if !fresh {
					markWith(t, path, "live")
				}
				if done > 0 && !fresh {
					renameTo(t, path, kept)
				}
				if done > 1 {
					renameTo(t, staged, path)
				}
				for range 2 {
					var err error
					if forward {
						err = Exchange(path, staged, kept)
					} else {
						err = ExchangeBack(path, staged, kept, fresh)
					}
					if err != nil {
						t.Fatalf("fresh %v, after %d renames, forward %v: %v", fresh, done, forward, err)
					}
				}
				want := "live"
				if forward {
					want = "restored"
				} else if fresh {
					want = ""
				}
				if got := read(path); got != want {
					t.Errorf("fresh %v, after %d renames, forward %v: there is %q, want %q", fresh, done, forward, got, want)
				}
				if !forward && read(staged) != "restored" {
					t.Error("what was restored is lost")
				}
			}
		}
	}
	dir := t.TempDir()
	if err := Exchange(filepath.Join(dir, "data"), filepath.Join(dir, "staged"), filepath.Join(dir, "kept")); err == nil {
		t.Error("nothing was put in the place of nothing")
	}
}

func markWith(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mark"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func renameTo(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func read(dir string) string {
	data, _ := os.ReadFile(filepath.Join(dir, "mark"))
	return string(data)
}

// TestDatabaseOfARestoredConfiguration: it is this host's, and all else is the backup's.
func TestDatabaseOfARestoredConfiguration(t *testing.T) {
	dir := t.TempDir()
	now, old := filepath.Join(dir, "now.json"), filepath.Join(dir, "old.json")
	for path, text := range map[string]string{
		now: `{"SqlSettings":{"DataSource":"postgres://new","DriverName":"postgres"},"TeamSettings":{"SiteName":"New"}}`,
		old: `{"SqlSettings":{"DataSource":"postgres://old","DriverName":"postgres","MaxOpenConns":300},"TeamSettings":{"SiteName":"Old"},"Big":12345678901234567890}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := CopyDatabaseSettings("", now, old); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(old)
	if err != nil || !json.Valid(data) {
		t.Fatal(err)
	}
	for _, part := range []string{"postgres://new", `"MaxOpenConns": 300`, `"Old"`, "12345678901234567890"} {
		if !strings.Contains(string(data), part) {
			t.Errorf("no %s in %s", part, data)
		}
	}
	if info, _ := os.Stat(old); info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
}
