package provider

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// A shutdown has as long as the program says, and one minute if it says nothing. A droplet that needs
// longer is still there.
func TestShutdownHasUntilTheTimeout(t *testing.T) {
	for _, c := range []struct {
		name            string
		shutdown, limit time.Duration
		gone            bool
	}{
		{"quick", 59 * time.Second, 0, true},
		{"slow", 75 * time.Second, 0, false},
		{"slow, and waited for", 75 * time.Second, 10 * time.Minute, true},
		{"slower than what is waited for", 11 * time.Minute, 10 * time.Minute, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(t)
				host := a.create("Droplet", "host", droplet("mm", in{"gracefulShutdown": property.New(true)}))
				a.backend.machines["mm"].shutdown = c.shutdown
				err := a.server.Delete(p.DeleteRequest{ID: host.id, Urn: urn("Droplet", "host"), Properties: host.state, Timeout: c.limit.Seconds()})
				if c.gone != (err == nil) || !c.gone && !strings.Contains(err.Error(), "to become off: context deadline exceeded") {
					t.Fatalf("delete: %v", err)
				}
				if got := a.read(host).ID == ""; got != c.gone {
					t.Errorf("gone: %v", got)
				}
			})
		})
	}
}

// A volume that was detached in the control panel is drift, and is in the way of a deletion until a
// refresh has found it so.
func TestDetachedVolume(t *testing.T) {
	a := newAccount(t)
	volume := a.create("Volume", "files", in{"name": text("files"), "region": text("fra1"), "size": property.New(1.0)})
	host := a.create("Droplet", "host", droplet("mm", in{"volumeIds": list(text(volume.id))}))
	if err := a.cloud.detach(t.Context(), host.id, volume.id); err != nil {
		t.Fatal(err)
	}
	found := a.read(host)
	if n := found.Properties.Get("volumeIds").AsArray().Len(); n != 0 {
		t.Errorf("a refresh finds %d volumes", n)
	}
	if err := a.tryDelete(host); err == nil || !strings.Contains(err.Error(), "error detaching the volumes from the droplet") {
		t.Errorf("delete without a refresh: %v", err)
	}
	host.state = found.Properties
	if err := a.tryDelete(host); err != nil {
		t.Errorf("delete after a refresh: %v", err)
	}
}

// The project of a droplet that is gone cannot be told to let it go; after a refresh it is not in it.
func TestProjectOfAGoneDroplet(t *testing.T) {
	a := newAccount(t)
	old := a.create("Droplet", "host", droplet("mm", nil))
	project := a.create("Project", "project", in{"name": text("mm"), "resources": list(old.state.Get("dropletUrn"))})
	if err := a.tryDelete(old); err != nil {
		t.Fatal(err)
	}
	rebuilt := a.create("Droplet", "host", droplet("mm", nil))
	change := in{"resources": list(rebuilt.state.Get("dropletUrn"))}
	if _, err := a.tryUpdate(project, change); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("without a refresh: %v", err)
	}
	found := a.read(project)
	if n := found.Properties.Get("resources").AsArray().Len(); n != 0 {
		t.Errorf("a refresh finds %d resources", n)
	}
	project.state = found.Properties
	project = a.update(project, change)
	if got := project.state.Get("resources"); !got.Equals(list(rebuilt.state.Get("dropletUrn"))) {
		t.Errorf("resources: %v", got)
	}
}
