//go:build machine

package runner_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
)

// A droplet that is replaced leaves a project that cannot let go of the old one. What the documents say
// then, up with a refresh, puts the new one into it.
func TestReplacedDroplet(t *testing.T) {
	s := newPaperStack(t, "replaced", map[string]any{})
	s.up()
	old, project := s.droplet()
	if !slices.Contains(project, old) {
		t.Fatalf("the project has %v, and not %s", project, old)
	}
	const droplet = "urn:pulumi:dev::townsquare::townsquare:infra:Server$digitalocean:index/droplet:Droplet::townsquare-dev-droplet"
	if _, err := s.tryUp(optup.Replace([]string{droplet})); err == nil || !strings.Contains(s.said.String(), "404") {
		t.Errorf("replace: %v\n%s", err, s.said.String())
	}
	s.up(optup.Refresh())
	rebuilt, project := s.droplet()
	if rebuilt == old || !slices.Contains(project, rebuilt) || slices.Contains(project, old) {
		t.Errorf("the project has %v; the droplet was %s and is %s", project, old, rebuilt)
	}
	if changes, err := s.tryPreview(optpreview.Refresh(), optpreview.ExpectNoChanges()); err != nil {
		t.Errorf("afterwards: %v, %v\n%s", changes, err, s.said.String())
	}
}
