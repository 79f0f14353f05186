package host

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"townsquare/upgrade/state"
)

// A server that is installed stays at its address until a repair changes it: what else is delivered
// does not wait for that.
func TestDeliveryKeepsTheAddress(t *testing.T) {
	root := t.TempDir()
	address := func(want string) {
		t.Helper()
		if got, err := SiteURL(root); err != nil || got != want {
			t.Errorf("the address is %q, %v; want %q", got, err, want)
		}
	}
	write := func(d Delivery, files int) {
		t.Helper()
		if changed, err := d.Write(root); err != nil || len(changed) != files {
			t.Errorf("changed %v, error %v; want %d files", changed, err, files)
		}
	}
	address("")
	write(delivery, 4)
	moved := delivery
	config := *delivery.Config
	moved.Config, moved.SiteURL, config.URL = &config, "https://talk.example.org", "https://talk.example.org"
	write(moved, 2) // nothing is installed: what is delivered counts
	address(moved.SiteURL)
	if err := os.MkdirAll(filepath.Join(root, installed), 0o755); err != nil {
		t.Fatal(err)
	}
	write(delivery, 1)
	address(moved.SiteURL)
	before, err := os.ReadFile(filepath.Join(root, state.EnvFile))
	if err := errors.Join(err, SetSiteURL(root, delivery.SiteURL), SetSiteURL(root, delivery.SiteURL)); err != nil {
		t.Fatal(err)
	}
	address(delivery.SiteURL)
	write(delivery, 0)
	if err := SetSiteURL(root, moved.SiteURL); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(root, state.EnvFile))
	if err != nil || string(after) != string(before) {
		t.Errorf("%v; it was\n%s\nand is\n%s", err, before, after)
	}
}

// The first delivery that knows of it keeps what the server was told before, to be compared with.
func TestFollowedIsWhatWasToldBefore(t *testing.T) {
	for name, test := range map[string]struct{ told, want string }{
		"a new server":          {"", "talk"},
		"of an earlier version": {"chat", "chat"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if test.told != "" {
				path := filepath.Join(root, state.DesiredFile)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(`{"user": "chat"}`), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			for _, user := range []string{"talk", "board"} {
				if _, err := (Delivery{Desired: &state.Desired{User: user}}).Write(root); err != nil {
					t.Fatal(err)
				}
			}
			followed, err := state.LoadDesired(filepath.Join(root, state.FollowedFile))
			if err != nil || followed.User != test.want {
				t.Errorf("%+v, %v; want %s", followed, err, test.want)
			}
			if now, err := state.LoadDesired(filepath.Join(root, state.DesiredFile)); err != nil || now.User != "board" {
				t.Errorf("%+v, %v", now, err)
			}
		})
	}
}
