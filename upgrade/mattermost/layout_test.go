package mattermost

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/release"
)

func TestCustomByName(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "mattermost")
	plant(t, link, "bin/mattermost", "bin/mmctl", "bin/nightly.sh", "client/root.html", "config/config.json", "data/", "i18n/en.json",
		"README.md", "tls/site.key", "notes.txt", "shared -> /srv/shared", "inside -> data/x", "out -> ../elsewhere")
	got, err := customPlaces(link, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	custom := filepath.Join(dir, "townsquare", "custom")
	want := []Place{
		{Name: "inside", Target: "data/x", Custom: true},
		{Name: "notes.txt", Target: filepath.Join(custom, "notes.txt"), Custom: true, Move: true},
		{Name: "out", Target: filepath.Join(dir, "elsewhere"), Custom: true},
		{Name: "shared", Target: "/srv/shared", Custom: true},
		{Name: "tls", Target: filepath.Join(custom, "tls"), Custom: true, Move: true},
		{Name: "bin/nightly.sh", Target: filepath.Join(custom, "bin/nightly.sh"), Custom: true, Move: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCustomByManifest(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, "bin/mattermost", "bin/nightly.sh", "client/root.html", "client/own.css", "client/plugins -> /var/lib/x", "config -> /var/lib/y",
		"templates/mail.html", "templates/own/mail.html", "mattermost.log")
	manifest := &release.Manifest{Files: []release.File{{Path: "bin", Mode: os.ModeDir}, {Path: "bin/mattermost"}, {Path: "client", Mode: os.ModeDir},
		{Path: "client/root.html"}, {Path: "templates", Mode: os.ModeDir}, {Path: "templates/mail.html"}}}
	got, err := customPlaces(filepath.Join(dir, "link"), dir, manifest)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range got {
		names = append(names, p.Name)
	}
	if diff := cmp.Diff([]string{"bin/nightly.sh", "client/own.css", "templates/own"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestStatePlacesAndFurnish(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "opt", "mattermost")
	plant(t, link, "data/a", "config/config.json", "logs -> "+dir+"/logs", "client/root.html")
	plant(t, dir, "logs/", "new/config/README.md", "new/client/root.html", "new/logs/")
	places, err := statePlaces(link, link)
	if err != nil {
		t.Fatal(err)
	}
	root := stateRoot(link, link)
	want := []Place{
		{Name: "data", Target: root + "/data", Move: true},
		{Name: "config", Target: root + "/config", Move: true},
		{Name: "logs", Target: dir + "/logs"},
		{Name: "plugins", Target: root + "/plugins"},
		{Name: "client/plugins", Target: root + "/client-plugins"},
	}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Fatal(diff)
	}
	for i := range places {
		if !places[i].Move && i > 2 {
			places[i].Target = filepath.Join(dir, "state", places[i].Name)
		}
	}
	for range 2 {
		if err := Furnish(filepath.Join(dir, "new"), "nobody", places); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range places {
		if got, err := os.Readlink(filepath.Join(dir, "new", p.Name)); err != nil || got != p.Target {
			t.Errorf("%s leads to %q, %v", p.Name, got, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "state", "plugins")); err != nil {
		t.Error(err)
	}
}

func TestListPlugins(t *testing.T) {
	dir := t.TempDir()
	for _, id := range []string{"org.a", "org.b"} {
		plant(t, dir, id+"/")
		if err := os.WriteFile(filepath.Join(dir, id, "plugin.json"), []byte(`{"id": "`+id+`", "version": "1.0.0"}`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plant(t, dir, "no-plugin/file", "stray", "pipe/")
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe", "plugin.json"), 0o600); err != nil { // nothing waits for it
		t.Fatal(err)
	}
	c := configOf(t, `{"PluginSettings": {"PluginStates": {"org.a": {"Enable": true}}}}`, nil)
	before, err := c.ListPlugins(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Plugin{{"org.a", "1.0.0", true}, {"org.b", "1.0.0", false}}, before); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"org.a"}, MissingPlugins(before, []Plugin{{"org.a", "2", false}, {"org.b", "1", false}})); diff != "" {
		t.Error(diff)
	}
	if none, err := c.ListPlugins(filepath.Join(dir, "none")); err != nil || none != nil {
		t.Errorf("no directory: %v, %v", none, err)
	}
}
