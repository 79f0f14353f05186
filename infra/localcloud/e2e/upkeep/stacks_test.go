//go:build machine

package upkeep

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// listed stands in for Pulumi's record of several stacks: it lists those that have a file, and shows it.
const listed = `#!/bin/sh
cd "$(dirname "$0")" || exit
case $2 in
ls) echo '[{"name": "dev"}, {"name": "east"}, {"name": "west"}]' ;;
output) for stack; do :; done; cat "$stack.json" ;;
esac
`

// fleet is the project of three stacks: dev, and two like it with servers of their own, whose machines
// are dev's, cloned. The first is dev.
func fleet(t *testing.T, s *stage.Server, servers map[string]*stage.Server) *stage.Server {
	t.Helper()
	dir := t.TempDir()
	r := square.Localcloud(t.Context(), "pulumi", "outputs", "--stack", "dev", "--json", "--show-secrets").Must(t)
	files := map[string]string{"pulumi": listed}
	for name, server := range servers {
		var outputs map[string]any
		r.Into(t, &outputs)
		if name != "dev" {
			outputs["address"] = server.Machine.Spec.Address.String()
		}
		text, err := json.Marshal(outputs)
		if err != nil {
			t.Fatal(err)
		}
		files[name+".json"] = string(text)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	all := *s
	all.Target = []string{"--all-stacks", "--project", dir, "--identity", stage.Identity(s.Cloud)}
	return &all
}

// policy writes what holds for all stacks.
func policy(t *testing.T, all *stage.Server, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(all.Target[slices.Index(all.Target, "--project")+1], "townsquare-policy.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// alone is what a server finds by itself, as its timers ask: with nobody's policy file at hand.
const alone = "/usr/local/lib/townsquare/upgrade check --local 2>&1 || [ $? = 13 ]"

// unchangeable is a fault of one server's database: its tables cannot be altered, so that the new
// version cannot migrate it, while the old one works on.
const unchangeable = `runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 mattermost <<'SQL'
DROP EVENT TRIGGER IF EXISTS refuse;
CREATE OR REPLACE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the tables are frozen'; END $$;
CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION refuse();
SQL`

// untouched shows every trace that an upgrade leaves.
const untouched = `systemctl show -p MainPID -p ActiveEnterTimestamp mattermost caddy postgresql@17-main
cat /var/lib/townsquare/state.json; ls -l /var/lib/townsquare/runs /opt/townsquare/versions; readlink /opt/mattermost`

// TestStacks upgrades three servers with one command: the first is well, the second has a broken
// database and is put back, the third must not be touched, neither then nor by the next run, nor by
// itself. Before that, nobody takes what the policy says to skip.
func TestStacks(t *testing.T) {
	s := square.Fresh(t)
	began := time.Now()
	servers := map[string]*stage.Server{"dev": s}
	var making sync.WaitGroup
	var mu sync.Mutex
	for _, name := range []string{"east", "west"} {
		making.Go(func() {
			twin := s.Twin(t, name)
			mu.Lock()
			servers[name] = twin
			mu.Unlock()
		})
	}
	making.Wait()
	if len(servers) != 3 {
		t.FailNow()
	}
	t.Logf("two servers more after %v", time.Since(began).Round(100*time.Millisecond))
	all := fleet(t, s, servers)

	policy(t, all, "canary: dev\nparallel: 1\nskip: {9.10.0: breaks LDAP}\n")
	all.Upgrade(t.Context(), "check").Must(t, 13)
	if said := servers["west"].Exec(t, alone); !strings.Contains(said, "breaks LDAP") {
		t.Errorf("by itself the third server would take what the policy skips:\n%s", said)
	}
	policy(t, all, "canary: dev\nparallel: 1\n")

	servers["east"].Exec(t, unchangeable)
	west := servers["west"].Exec(t, untouched)
	r := all.Upgrade(t.Context(), "apply", "--yes", "--watch", "2s").Must(t, 4)
	t.Logf("after %v:\n%s", r.Took.Round(time.Second), r.Stdout)
	for _, row := range []string{
		`(?m)^dev \(first\) +7\.7\.0 to 9\.10\.0 +done `,
		`(?m)^east +7\.7\.0 to 9\.10\.0 +failed, put back: `,
		`(?m)^west +- +not begun: it went wrong on east `,
	} {
		if !regexp.MustCompile(row).MatchString(r.Stdout) {
			t.Errorf("no row like %s", row)
		}
	}
	s.Serves(t, stage.After)
	servers["east"].Serves(t, stage.Before)
	servers["west"].Serves(t, stage.Before)
	if is := servers["west"].Exec(t, untouched); is != west {
		t.Errorf("the third was touched:\nbefore:\n%s\nafter:\n%s", west, is)
	}

	// What failed on one is skipped by all: nobody has to say it again.
	if bad := servers["east"].Bad(t); !slices.Equal(bad, []string{stage.After}) {
		t.Fatalf("the second server skips %v", bad)
	}
	r = all.Upgrade(t.Context(), "apply", "--yes", "--json", "--watch", "2s").Must(t)
	var again struct {
		Stacks []struct {
			Stack  string
			Report struct {
				stage.Report
				Warnings []string
			}
		}
	}
	r.Into(t, &again)
	reports := map[string]bool{}
	for _, one := range again.Stacks {
		reports[one.Stack] = one.Report.UpToDate
		if one.Stack == "west" && !strings.Contains(strings.Join(one.Report.Warnings, "\n"), "failed on east on ") {
			t.Errorf("the third does not say why it waits: %q", one.Report.Warnings)
		}
	}
	if want := map[string]bool{"dev": true, "east": true, "west": true}; !maps.Equal(reports, want) {
		t.Errorf("up to date: %v", reports)
	}
	servers["west"].Serves(t, stage.Before)
	if said := servers["west"].Exec(t, alone); !strings.Contains(said, "failed on east on ") {
		t.Errorf("by itself the third server would take what failed on the second:\n%s", said)
	}
}
