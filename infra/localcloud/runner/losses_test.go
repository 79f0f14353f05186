//go:build machine

package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"

	"townsquare/infra/localcloud/provider"
	"townsquare/infra/localcloud/runner"
)

// A lost managed database is made anew with another host name, and all else stays.
func TestLostDatabase(t *testing.T) {
	s := newPaperStack(t, "lostdatabase", managed(map[string]any{"townsquare:protect": "true"}))
	s.up()
	before := s.ids()
	host := func() (host string) {
		s.byHand(func(all map[string]map[string]any) {
			for _, cluster := range all["DatabaseCluster"] {
				host = fmt.Sprint(cluster.(map[string]any)["PrivateHost"])
			}
		})
		return host
	}
	old := host()
	s.lose(provider.LoseDatabase, "townsquare-dev")
	s.refresh()
	if changes := s.up(); changes["create"] != 4 || changes["replace"]+changes["delete"] > 0 {
		t.Errorf("up: %v\n%s", changes, s.said.String())
	}
	if now := host(); now == old || now == "" {
		t.Errorf("the new cluster's host name is %q, the old one's was %q", now, old)
	}
	after := s.ids()
	for kind := range after {
		if strings.HasPrefix(kind, "Database") {
			delete(after, kind)
			delete(before, kind)
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what was not lost (-before +after):\n%s", diff)
	}
	s.noDrift("the database is made anew")
}

// A stack without its record is adopted as documented: nothing is replaced or deleted.
func TestAdoption(t *testing.T) {
	s := newPaperStack(t, "adoption", managed(map[string]any{"townsquare:protect": "true"}))
	s.up()
	before := s.ids()
	ids := s.recorded()
	for _, record := range []string{"dev.json", "dev.json.bak"} {
		if err := os.Remove(filepath.Join(s.cloud.Dir, "pulumi", "backend", ".pulumi", "stacks", "townsquare", record)); err != nil && record == "dev.json" {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(s.cloud.Dir, "pulumi")
	if _, err := s.tryPreview(optpreview.ImportFile(filepath.Join(dir, "import.json"))); err != nil {
		t.Fatalf("%v\n%s", err, s.said.String())
	}
	data, err := json.Marshal(ids)
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "ids.json"), data, 0o600)); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../docs/disaster-recovery.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^   (jq .*\n)   (pulumi import .*)$`).FindSubmatch(page)
	if commands == nil {
		t.Fatal("the page has no commands to import")
	}
	command := strings.Replace(string(commands[1])+string(commands[2])+" --yes", "--stack prod", "--stack dev", 1)
	if said, err := s.cli("set -e; export PATH=" + s.offerLanguage() + ":$PATH; " + command); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, said)
	}
	changes := s.up()
	if changes["replace"]+changes["delete"] > 0 || changes["create"] == 0 {
		t.Errorf("up: %v\n%s", changes, s.said.String())
	}
	after := s.ids()
	for _, kind := range []string{"SpacesKey", "MonitorAlert", "UptimeAlert", "UptimeCheck"} { // made a second time, as the page says
		delete(before, kind)
		delete(after, kind)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("after the adoption (-before +after):\n%s", diff)
	}
	s.noDrift("the adoption")
}

// recorded are the ids of the stack's resources as the page tells to write them down: those that doctl lists.
func (s *paperStack) recorded() map[string]string {
	s.t.Helper()
	said, err := s.cli("pulumi stack export --stack dev")
	var record struct {
		Deployment struct {
			Resources []struct {
				URN, ID, Type string
				Custom        bool
				Outputs       map[string]any
			}
		}
	}
	if err := errors.Join(err, json.Unmarshal([]byte(said), &record)); err != nil {
		s.t.Fatalf("%v\n%s", err, said)
	}
	ids := map[string]string{}
	for _, r := range record.Deployment.Resources {
		name := r.URN[strings.LastIndex(r.URN, "::")+2:]
		out := func(key string) string { return fmt.Sprint(r.Outputs[key]) }
		id := r.ID
		switch kind := r.Type[strings.LastIndex(r.Type, ":")+1:]; kind {
		case "DnsRecord":
			id = out("domain") + "," + r.ID
		case "SpacesBucket":
			id = out("region") + "," + r.ID
		case "ReservedIpAssignment":
			droplet, _ := r.Outputs["dropletId"].(float64)
			id, name = fmt.Sprintf("%s,%.0f", out("ipAddress"), droplet), name+kind // as the import file names it
		case "Project":
			name += kind
		case "DatabaseDb", "DatabaseUser":
			id = out("clusterId") + "," + out("name")
		case "DatabaseFirewall":
			id = out("clusterId")
		case "SpacesKey", "MonitorAlert", "UptimeAlert", "UptimeCheck", "ProjectResources":
			continue
		}
		if r.Custom && strings.HasPrefix(r.Type, "digitalocean:") {
			ids[name] = id
		}
	}
	return ids
}

// ids are the resources that the cloud has, by kind.
func (s *paperStack) ids() map[string]map[string]bool {
	s.t.Helper()
	found := map[string]map[string]bool{}
	s.byHand(func(all map[string]map[string]any) {
		for kind, of := range all {
			found[kind] = map[string]bool{}
			for id := range of {
				found[kind][id] = true
			}
		}
	})
	return found
}

func (s *paperStack) lose(what, name string) {
	s.t.Helper()
	if err := provider.Lose(s.t.Context(), &provider.Cloud{Name: s.cloud.Name, Open: openPaper}, what, name); err != nil {
		s.t.Fatal(err)
	}
}

func (s *paperStack) refresh() {
	s.t.Helper()
	if _, err := s.try(func(ctx context.Context, stack *runner.Stack) (runner.Changes, error) { return stack.Refresh(ctx) }); err != nil {
		s.t.Fatalf("%v\n%s", err, s.said.String())
	}
}

// Another bucket is begun as documented, and the old one stays in the account.
func TestAnotherBucket(t *testing.T) {
	s := newPaperStack(t, "anotherbucket", managed(map[string]any{"townsquare:protect": "true"}))
	s.up()
	urn := ""
	for _, command := range strings.Split(strings.TrimSpace(documented(t, "Another bucket for backups")), "\n") {
		command = strings.NewReplacer("--stack prod", "--stack dev", "URN", "'"+urn+"'").Replace(command)
		switch {
		case strings.HasPrefix(command, "upgrade "):
		case strings.HasPrefix(command, "pulumi config set townsquare:backupBucket NAME "):
			s.set["townsquare:backupBucket"] = "another-townsquare-test-backups"
			s.byHand(func(all map[string]map[string]any) { clear(all["Project"]); clear(all["SpacesKey"]) })
		case strings.Contains(command, " | grep "):
			said, err := s.cli(command)
			if urn = strings.TrimSpace(said); err != nil || strings.Contains(urn, "\n") {
				t.Fatalf("%s: %v\n%s", command, err, said)
			}
		default:
			s.typed(command)
		}
	}
	var buckets []string
	for bucket := range s.ids()["SpacesBucket"] {
		buckets = append(buckets, bucket)
	}
	slices.Sort(buckets)
	if diff := cmp.Diff([]string{"another-townsquare-test-backups", "chat-townsquare-test-backups"}, buckets); diff != "" {
		t.Errorf("buckets (-want +got):\n%s", diff)
	}
	outputs, err := s.outputs()
	if err != nil || outputs["backupBucket"] != "another-townsquare-test-backups" {
		t.Errorf("the stack's bucket is %v, %v", outputs["backupBucket"], err)
	}
	s.noDrift("another bucket")
}
