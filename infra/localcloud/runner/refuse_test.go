//go:build machine

package runner_test

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
)

// What DigitalOcean would refuse half way through an update is refused at preview, with and without a
// refresh, and changes nothing.
func TestRefusedChange(t *testing.T) {
	s := newPaperStack(t, "refused", map[string]any{
		"townsquare:database": "managed", "townsquare:databaseVolumeGB": "", "townsquare:databaseSize": "gd-2vcpu-8gb",
	})
	s.up()
	if changes := s.up(); len(changes) != 1 || changes["same"] == 0 {
		t.Fatalf("second up: %v\n%s", changes, s.said.String())
	}
	s.set["townsquare:databaseVersion"], s.set["townsquare:databaseSize"] = "16", "db-s-1vcpu-1gb"
	for name, preview := range map[string]func() error{
		"preview":           func() error { _, err := s.tryPreview(); return err },
		"preview --refresh": func() error { _, err := s.tryPreview(optpreview.Refresh()); return err },
		"up":                func() error { _, err := s.tryUp(); return err },
	} {
		if preview() == nil {
			t.Errorf("%s makes the cluster older and smaller:\n%s", name, s.said.String())
		}
		for _, want := range []string{
			`townsquare:databaseVersion: "16" is older than the cluster's PostgreSQL 17`,
			"pulumi config set townsquare:databaseVersion 17",
			`townsquare:databaseSize: "db-s-1vcpu-1gb" has less memory than the cluster's gd-2vcpu-8gb`,
		} {
			if !strings.Contains(s.said.String(), want) {
				t.Errorf("%s does not say %q:\n%s", name, want, s.said.String())
			}
		}
	}
	s.set["townsquare:databaseVersion"], s.set["townsquare:databaseSize"] = "17", "gd-2vcpu-8gb"
	if changes := s.up(); len(changes) != 1 {
		t.Errorf("up with the cluster of before: %v\n%s", changes, s.said.String())
	}
}
