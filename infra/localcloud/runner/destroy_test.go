//go:build machine

package runner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"townsquare/infra/localcloud/provider"
)

// A bucket keeps the name and the region of the first up, whatever its defaults are made of; another
// name is refused in words.
func TestBucketStays(t *testing.T) {
	s := newPaperStack(t, "bucketstays", managed(map[string]any{"townsquare:protect": "true"}))
	s.up()
	buckets := func() (found []string) {
		s.byHand(func(all map[string]map[string]any) {
			for _, kind := range []string{"SpacesBucket", "SpacesKey"} {
				for _, one := range all[kind] {
					one := one.(map[string]any)
					found = append(found, fmt.Sprint(kind, " ", one["Name"], " ", one["Region"], " ", one["Grants"]))
				}
			}
		})
		outputs, err := s.outputs()
		if err != nil {
			t.Fatal(err)
		}
		return append(found, fmt.Sprint(outputs["backupBucket"], " ", outputs["backupEndpoint"]))
	}
	before := buckets()
	if got := before[len(before)-1]; got != "chat-townsquare-test-backups https://fra1.spaces.townsquare.test" {
		t.Errorf("the first up makes %s", got)
	}
	s.set["townsquare:host"] = "talk"
	if changes := s.up(); changes["replace"]+changes["delete"] > 0 {
		t.Errorf("another host: %v", changes)
	}
	if diff := cmp.Diff(before, buckets()); diff != "" {
		t.Errorf("after another host (-before +now):\n%s", diff)
	}
	s.set["townsquare:backupBucket"] = "chat-townsquare-test-backups"
	if changes := s.up(); len(changes) != 1 {
		t.Errorf("the bucket's own name is a change: %v", changes)
	}
	s.set["townsquare:backupBucket"] = "talk-townsquare-test-backups"
	for name, try := range map[string]func() error{
		"preview": func() error { _, err := s.tryPreview(); return err }, "up": func() error { _, err := s.tryUp(); return err },
	} {
		if try() == nil {
			t.Errorf("%s takes another bucket's name:\n%s", name, s.said.String())
		}
		for _, want := range []string{
			`townsquare:backupBucket: "talk-townsquare-test-backups" is not the stack's bucket, chat-townsquare-test-backups`,
			"pulumi config set townsquare:backupBucket chat-townsquare-test-backups",
		} {
			if !strings.Contains(s.said.String(), want) {
				t.Errorf("%s does not say %q:\n%s", name, want, s.said.String())
			}
		}
	}
	delete(s.set, "townsquare:backupBucket")
	s.set["townsquare:backupRegion"] = "ams3"
	if _, err := s.tryPreview(); err == nil || !strings.Contains(s.said.String(), "protect") {
		t.Errorf("another region: %v\n%s", err, s.said.String())
	}
	delete(s.set, "townsquare:backupRegion")
	if diff := cmp.Diff(before, buckets()); diff != "" {
		t.Errorf("after what was refused (-before +now):\n%s", diff)
	}
	s.noDrift("all that")
}

// documented are the commands of a section of docs/digitalocean.md, as they are to be typed.
func documented(t *testing.T, section string) string {
	t.Helper()
	data, err := os.ReadFile("../../../docs/digitalocean.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(data), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	block := regexp.MustCompile("(?s)```\n(.*?)```").FindStringSubmatch(text)
	if !found || block == nil {
		t.Fatalf("docs/digitalocean.md has no commands for %q", section)
	}
	return block[1]
}

// A destroy that is not meant deletes nothing, with its preview and without.
func TestDestroyRefuses(t *testing.T) {
	s := newPaperStack(t, "destroyrefuses", managed(map[string]any{"townsquare:protect": "true"}))
	s.up()
	before := s.left()
	for _, command := range []string{"pulumi destroy --yes --stack dev", "pulumi destroy --yes --skip-preview --stack dev"} {
		said, err := s.cli(command)
		if err == nil || !strings.Contains(said, "protect") {
			t.Errorf("%s: %v\n%s", command, err, said)
		}
		if diff := cmp.Diff(before, s.left()); diff != "" {
			t.Errorf("%s (-before +now):\n%s", command, diff)
		}
	}
	s.noDrift("a destroy that was refused")
}

// An unprotected stack is removed, except for the bucket with backups in it.
func TestDestroyKeepsBackups(t *testing.T) {
	s := newPaperStack(t, "keepbackups", managed(map[string]any{"townsquare:protect": "true"}))
	s.up()
	commands := strings.Split(strings.TrimSpace(documented(t, "Remove a stack and keep its backups")), "\n")
	s.typed(strings.Replace(commands[0], "prod", "dev", 1))
	said, err := s.cli(strings.Replace(commands[1], "prod", "dev", 1) + " --yes")
	if err == nil || !strings.Contains(said, "BucketNotEmpty") {
		t.Errorf("%v\n%s", err, said)
	}
	if left := s.left(); !slices.Equal(left, []string{"SpacesBucket"}) {
		t.Errorf("left: %v", left)
	}
}

// The documented way removes everything, also when the server was deleted before.
func TestDestroyAsDocumented(t *testing.T) {
	s := newPaperStack(t, "destroyed", managed(map[string]any{"townsquare:protect": "true"}))
	s.up()
	if err := provider.Lose(t.Context(), &provider.Cloud{Name: s.cloud.Name, Open: openPaper}, provider.LoseDroplet, "townsquare-dev"); err != nil {
		t.Fatal(err)
	}
	for _, command := range strings.Split(strings.TrimSpace(documented(t, "Remove a stack")), "\n") {
		s.typed(strings.Replace(command, "prod", "dev", 1))
	}
	if left := s.left(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// typed does what is typed: the commands that run the program in this process, all others with the real
// command.
func (s *paperStack) typed(command string) {
	s.t.Helper()
	command = strings.TrimSpace(command)
	switch command {
	case "pulumi config set townsquare:protect false --stack dev":
		s.set["townsquare:protect"] = "false"
	case "pulumi up --stack dev":
		s.up()
	default:
		if said, err := s.cli(command + " --yes"); err != nil {
			s.t.Fatalf("%s: %v\n%s", command, err, said)
		}
	}
}

// The default VPC of a region is left to the account.
func TestDestroyDefaultVpc(t *testing.T) {
	s := newPaperStack(t, "defaultvpc", nil)
	inventory := `{"kind": "townsquare/cloud-inventory", "version": 1, "lastNumber": 410000000, "newRegions": ["fra1"]}`
	if err := os.WriteFile(filepath.Join(s.cloud.Dir, "inventory.json"), []byte(inventory), 0o600); err != nil {
		t.Fatal(err)
	}
	s.up()
	said, err := s.cli("pulumi destroy --yes --stack dev")
	if err == nil || !strings.Contains(said, "403: Can not delete default VPCs") {
		t.Fatalf("%v\n%s", err, said)
	}
	if left := s.left(); !slices.Equal(left, []string{"Vpc"}) {
		t.Errorf("left beside the VPC: %v", left)
	}
	for _, command := range strings.Split(strings.TrimSpace(documented(t, "The default VPC of a region")), "\n") {
		s.typed(strings.ReplaceAll(command, "prod", "dev"))
	}
	said, err = s.cli("pulumi stack --show-urns --stack dev; pulumi stack export --stack dev")
	if strings.Contains(said, "urn:pulumi:dev::townsquare::digitalocean") || err != nil {
		t.Errorf("the stack still has resources: %v\n%s", err, said)
	}
}
