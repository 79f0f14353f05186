package phase

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/release"
)

func TestCheckSystem(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, c := range []struct {
		systemd  string
		server   int
		to       string
		problems []string
	}{
		{"systemd 257 (257.9-1~deb13u1)", 17, "11.4.0", nil},
		{"systemd 247 (247.3-7+deb11u7)", 11, "8.0.0", nil},
		{"systemd 245 (245.4-4ubuntu3.24)", 17, "11.4.0", []string{"systemd: 245"}},
		{"something else", 17, "11.4.0", []string{"systemd: 0"}},
		{"systemd 252", 10, "7.8.0", []string{"PostgreSQL: 10"}},
		{"systemd 252", 10, "11.4.0", nil}, // checkVersion refuses it
	} {
		if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte("#!/bin/sh\necho '"+c.systemd+"'\necho +PAM\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		op := &Operation{Facts: &mattermost.Installation{Schema: mattermost.Schema{Server: c.server}}}
		to, err := release.Parse(c.to)
		if err != nil {
			t.Fatal(err)
		}
		op.Choice.Next = &release.Release{Version: to}
		found, err := checkSystem(t.Context(), op)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range found {
			got = append(got, p.Where+": "+p.Found)
		}
		if diff := cmp.Diff(c.problems, got); diff != "" {
			t.Errorf("%s, PostgreSQL %d, to %s: %s", c.systemd, c.server, c.to, diff)
		}
	}
}
