// Package ci has the scripts that schedulers call, and their test: against stand-ins for upgrade and
// for GitHub's gh, to reach what a healthy server never shows. On machines, they run in
// infra/localcloud/e2e/upkeep.
package ci

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeUpgrade notes how it was called and does what the test's environment says.
const fakeUpgrade = `#!/bin/sh
echo "upgrade $*" >>"$NOTES"
printenv | grep -c "$SECRET" >>"$NOTES"
printf '%s\n' "$PRINTS"
printf '%s\n' "$PRINTS" >&2
command=$1
while [ $# -gt 0 ]; do
	case $1 in
	--markdown) echo "| the table of $command |" >>"$2" ;;
	--outputs) printf 'pending=%s\nwaiting=%s\ndone=%s\nexit=%s\n' "$PENDING" "$WAITING" "$DONE" "$CODE" >>"$2" ;;
	--identity) stat -c 'key %a' "$2" >>"$NOTES" ;;
	esac
	shift
done
exit "$CODE"
`

const fakeGH = `#!/bin/sh
echo "gh $*" >>"$NOTES"
[ "$1 $2" != 'issue list' ] || printf '41 Mattermost 9.10.0 is available\n40 Mattermost 9.9.0 is available\n39 Before Mattermost 9.9.0 is available: rehearse\n'
while [ $# -gt 0 ]; do
	[ "$1" != --body-file ] || cat "$2" >>"$NOTES"
	shift
done
`

// fakePulumi is where Pulumi's own installer puts it, which cron does not look at.
const fakePulumi = "#!/bin/sh\necho \"pulumi $*\" >>\"$NOTES\"\n"

const key = "-----BEGIN KEY-----\nsecretlineofthekey\n-----END KEY-----"

type result struct {
	code                                    int
	stdout, stderr, summary, outputs, notes string
}

// run runs a script in a copy of the tree that has the stand-ins.
func run(t *testing.T, script string, env ...string) result {
	t.Helper()
	dir := t.TempDir()
	for _, from := range []string{"../ci", "../cron"} {
		if err := os.CopyFS(filepath.Join(dir, "scripts", filepath.Base(from)), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"bin/upgrade": fakeUpgrade, "bin/gh": fakeGH, ".pulumi/bin/pulumi": fakePulumi, "notes": "", "summary": "", "outputs": ""} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path(name)), 0o755), os.WriteFile(path(name), []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	name, arguments, _ := strings.Cut(script, " ")
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{path("scripts/" + name)}, strings.Fields(arguments)...)...)
	cmd.Env = append([]string{"PATH=" + path("bin") + ":" + os.Getenv("PATH"), "HOME=" + dir, "NOTES=" + path("notes"), "CODE=0", "PRINTS=", "PENDING=", "WAITING=", "DONE=",
		"SECRET=secretlineofthekey", "GITHUB_STEP_SUMMARY=" + path("summary"), "GITHUB_OUTPUT=" + path("outputs")}, env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text := func(name string) string {
		data, err := os.ReadFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String(), text("summary"), text("outputs"), text("notes")}
}

func (r result) wants(t *testing.T, code int, parts ...string) {
	t.Helper()
	all := strings.Join([]string{r.stdout, r.stderr, r.summary, r.outputs, r.notes}, "\n--\n")
	for _, part := range parts {
		if !strings.Contains(all, part) {
			t.Errorf("no %q", part)
		}
	}
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	if t.Failed() {
		t.Fatal(all)
	}
}

func TestCheckKeepsOneIssueForEachRelease(t *testing.T) {
	r := run(t, "ci/check.sh", "GITHUB_ACTIONS=true", "CODE=10", "PENDING=9.10.0 9.11.1", "WAITING=9.11.1", "TOWNSQUARE_STACKS=canary prod", "TOWNSQUARE_SSH_KEY="+key, "SECRET="+"secretline")
	r.wants(t, 0, "upgrade check --by-itself --project", "upgrade plan --to 9.10.0 --project", "upgrade plan --to 9.11.1 --project",
		"--stack canary --stack prod", "key 600", "installed by itself", "gh workflow run upgrade.yml -f version=9.11.1", "gh issue edit 41 ", "gh issue create --title Mattermost 9.11.1 is available", "gh issue close 40 ",
		"::warning::Mattermost 9.10.0 is available", "::add-mask::secretlineofthekey", "### Mattermost releases", "pending=9.10.0 9.11.1")
	if strings.Contains(r.notes, "issue close 41") || strings.Contains(r.notes, "issue close 39") || strings.Contains(r.notes, "-f version=9.10.0") || strings.Contains(r.notes, "create --title Mattermost 9.10.0") || strings.Contains(r.stdout, "::add-mask::---") {
		t.Error(r.notes, r.stdout)
	}
	r = run(t, "ci/check.sh", "GITHUB_ACTIONS=true", "CODE=1") // who could not look closes nothing
	if r.wants(t, 1, "::error::upgrade check ended with exit code 1"); strings.Contains(r.notes, "gh ") {
		t.Error(r.notes)
	}
	r = run(t, "ci/check.sh", "CODE=10", "PENDING=9.10.0") // elsewhere
	if r.wants(t, 0, "warning: Mattermost 9.10.0"); strings.Contains(r.notes, "gh ") || strings.Contains(r.stdout, "::") {
		t.Error(r.notes, r.stdout)
	}
}

func TestUpgradeDoesWhatItWasStartedFor(t *testing.T) {
	notice := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(notice, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env  []string
		code int
		says []string
	}{
		{[]string{"GITHUB_EVENT_NAME=schedule"}, 0, []string{"upgrade apply --all --unattended --project"}},
		{[]string{"TOWNSQUARE_VERSION=9.10.0", "TOWNSQUARE_WATCH=5s"}, 0, []string{"upgrade apply --yes --to 9.10.0 --watch 5s --project"}},
		{[]string{"TOWNSQUARE_VERSION=9.10.0", "TOWNSQUARE_DRY_RUN=true"}, 0, []string{"upgrade plan --to 9.10.0 --project"}},
		{[]string{"GITHUB_EVENT_NAME=repository_dispatch", "GITHUB_EVENT_PATH=" + notice}, 0, []string{"upgrade notice --apply --project"}},
		{[]string{"TOWNSQUARE_NOTICE=" + notice, "CODE=12"}, 0, []string{"do not list the release of the notice yet"}},
		{[]string{"CODE=10", "WAITING=12.0.1"}, 0, []string{"Mattermost 12.0.1 waits for a person"}},
		{[]string{"CODE=4"}, 4, []string{"ended with exit code 4", "| the table of apply |"}},
		{[]string{"TOWNSQUARE_STACKS=all"}, 0, []string{"--all-stacks"}},
		{[]string{"TOWNSQUARE_STACKS=a;b --local"}, 2, []string{"is no name of a stack"}},
		{[]string{"TOWNSQUARE_VERSION=$(id) --local"}, 2, []string{"is not a version"}},
	} {
		run(t, "ci/upgrade.sh", c.env...).wants(t, c.code, c.says...)
	}
}

// Cron sends whatever is printed: nothing when there was nothing.
func TestCron(t *testing.T) {
	if r := run(t, "cron/run.sh upgrade"); r.code != 0 || r.stdout+r.stderr != "" {
		t.Errorf("%d %s%s", r.code, r.stdout, r.stderr)
	}
	run(t, "cron/run.sh upgrade", "CODE=5").wants(t, 5, "### Mattermost upgrade")
	if r := run(t, "cron/run.sh check", "CODE=10", "PENDING=9.10.0"); r.code != 0 || !strings.Contains(r.stdout, "| the table of check |") {
		t.Errorf("%d %s", r.code, r.stdout)
	}
	// What waits for weeks is no news each half hour; what was done is, to the system too.
	run(t, "cron/run.sh check", "CODE=13").wants(t, 0, "| the table of check |")
	if r := run(t, "cron/run.sh upgrade", "CODE=10", "WAITING=12.0.1"); r.stdout+r.stderr != "" {
		t.Errorf("%s%s", r.stdout, r.stderr)
	}
	run(t, "cron/run.sh upgrade", "DONE=11.7.10").wants(t, 0, "### Mattermost upgrade")
	if r := run(t, "cron/run.sh os"); r.stdout+r.stderr != "" {
		t.Errorf("%s%s", r.stdout, r.stderr)
	}
	run(t, "cron/run.sh os", "DONE=system").wants(t, 0, "upgrade os apply --unattended --project", "### Operating systems", "| the table of os |")
	if r := run(t, "cron/run.sh os", "CODE=4"); r.code != 4 || !strings.Contains(r.stdout, "| the table of os |") {
		t.Errorf("%d %s", r.code, r.stdout)
	}
	run(t, "cron/run.sh drift").wants(t, 0, "pulumi preview --stack prod")
	run(t, "cron/run.sh nonsense").wants(t, 2, "scripts/cron/run.sh check|upgrade|os|drift")
}

// No program that is started gets the key in its environment, and nothing shows it, traced or not.
func TestKeyIsKept(t *testing.T) {
	r := run(t, "ci/upgrade.sh", "TOWNSQUARE_SSH_KEY="+key, "SECRET=secretlineof[t]hekey", "SHELLOPTS=xtrace", "RUNNER_DEBUG=1", "ACTIONS_STEP_DEBUG=true")
	r.wants(t, 0, "key 600", "\n0\n")
	if strings.Contains(r.stdout+r.stderr+r.summary+r.outputs, "secretlineofthekey") {
		t.Errorf("shown:\n%s%s%s", r.stdout, r.stderr, r.summary)
	}
}

// What Pulumi says of a record that someone deleted by hand becomes words; what it looks at does not.
func TestDrift(t *testing.T) {
	const said = `cat <<'END'
Previewing update (prod):
 ~  digitalocean:index:DnsRecord townsquare-prod-aaaa refreshing 
 ~  digitalocean:index:DnsRecord townsquare-prod-aaaa refresh 
 +  digitalocean:index:DnsRecord townsquare-prod-aaaa create 
 ~  digitalocean:index:Firewall townsquare-prod-firewall update [diff: ~inboundRules]
Resources:
    + 1 to create
    ~ 1 to update
END
exit 255
`
	pulumi := filepath.Join(t.TempDir(), "pulumi")
	write := func(text string) {
		if err := os.WriteFile(pulumi, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(said)
	r := run(t, "ci/drift.sh", "TOWNSQUARE_PULUMI="+pulumi)
	r.wants(t, 1, "- `townsquare-prod-aaaa` (digitalocean:index:DnsRecord) is missing\n",
		"- `townsquare-prod-firewall` (digitalocean:index:Firewall) was changed by hand, or the program was: `~inboundRules`\n", "prod is not as the program says: 2 resources differ")
	write("echo 'error: no such stack' >&2; exit 255\n")
	run(t, "ci/drift.sh", "TOWNSQUARE_PULUMI="+pulumi).wants(t, 1, "Pulumi could not tell (exit code 255)", "    error: no such stack")
	write("exit 0\n")
	run(t, "ci/drift.sh", "TOWNSQUARE_PULUMI="+pulumi).wants(t, 0, "Everything in the cloud is as the program says.", "The server is as its stack says.",
		"upgrade repair --show --stack prod --project")
	run(t, "ci/drift.sh", "TOWNSQUARE_PULUMI="+pulumi, "CODE=10").wants(t, 1, "On the server:", "upgrade repair --stack prod", "the server of prod is not as its stack says")
	run(t, "ci/drift.sh", "TOWNSQUARE_PULUMI="+pulumi, "CODE=1").wants(t, 1, "The server could not be looked at (exit code 1)")
}

// Of many stacks each gets its share of the comment, and what is cut away is the beginning.
func TestPreviewFitsIntoAComment(t *testing.T) {
	pulumi := filepath.Join(t.TempDir(), "pulumi")
	if err := os.WriteFile(pulumi, []byte("#!/bin/sh\nseq -f '%06g ä' 20000\necho the end of $3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, stacks := range []string{"prod", "a b c d e f"} {
		r := run(t, "ci/preview.sh", "TOWNSQUARE_PULUMI="+pulumi, "TOWNSQUARE_STACKS="+stacks, "PR_NUMBER=7")
		if size := len(r.summary); r.code != 0 || size > 65536 || size < 50000 {
			t.Errorf("%s: %d characters, exit code %d", stacks, size, r.code)
		}
		for _, stack := range strings.Fields(stacks) {
			if !strings.Contains(r.summary, "\n    the end of "+stack+"\n") {
				t.Errorf("%s: the end of %s is missing", stacks, stack)
			}
		}
		for line := range strings.Lines(r.summary) {
			if line != "\n" && !strings.HasPrefix(line, "    ") && !strings.HasPrefix(line, "##") {
				t.Fatalf("%s: %q is no part of the block", stacks, line)
			}
		}
	}
}
