//go:build machine

package upkeep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// recorder stands in for GitHub's own program and service, which nobody can have in a test: it notes
// what it is asked, and lists the issues that the test gives it.
const recorder = `#!/bin/sh
echo "$*" >>"$RECORDER/asked"
while [ $# -gt 0 ]; do
	[ "$1" != --body-file ] || cp "$2" "$RECORDER/body"
	[ "$1 $2" != 'issue list' ] || cat "$RECORDER/issues"
	shift
done
`

// runner runs the scheduled scripts with the environment that GitHub gives a job.
type runner struct {
	t      *testing.T
	server *stage.Server
	dir    string // GitHub's files, and the recorder's
	said   strings.Builder
}

// job is what one run of a script left behind.
type job struct {
	code                  int
	log, summary, outputs string
}

func newRunner(t *testing.T, s *stage.Server) *runner {
	r := &runner{t: t, server: s, dir: t.TempDir()}
	r.write("bin/gh", recorder)
	r.write("issues", "")
	return r
}

func (r *runner) write(name, text string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// read gives a file's text and empties it.
func (r *runner) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	r.write(name, "")
	return string(text)
}

func (r *runner) secret(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.server.Cloud.Dir, "secrets", name))
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// run runs scripts/ci/SCRIPT in the cloud's network, with debug logging on; more is what the
// workflow's step sets besides.
func (r *runner) run(script string, more ...string) job {
	r.t.Helper()
	argv := []string{"exec", "--cloud", r.server.Cloud.Name, "--", filepath.Join(r.server.Stage.Root(), "scripts/ci", script)}
	return r.command(exec.CommandContext(r.t.Context(), r.server.Stage.Program("localcloud"), argv...), more...)
}

// command runs a script, whether in the cloud's network or not, in the environment of a job.
func (r *runner) command(cmd *exec.Cmd, more ...string) job {
	r.t.Helper()
	cmd.Dir = r.server.Stage.Root()
	cmd.Env = append([]string{
		"PATH=" + filepath.Join(r.dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + r.dir, "RECORDER=" + r.dir, "LANG=C.UTF-8",
		"CI=true", "GITHUB_ACTIONS=true", "GITHUB_REPOSITORY=example/townsquare", "GITHUB_EVENT_NAME=schedule",
		"GITHUB_STEP_SUMMARY=" + r.write("summary", ""), "GITHUB_OUTPUT=" + r.write("outputs", ""),
		"ACTIONS_STEP_DEBUG=true", "RUNNER_DEBUG=1", "GH_TOKEN=ghs_notarealtoken1234567890",
		"TOWNSQUARE_STACKS=dev", "TOWNSQUARE_VERSION=", "TOWNSQUARE_DRY_RUN=", "TOWNSQUARE_WATCH=2s",
		"TOWNSQUARE_SSH_KEY=" + r.secret("ops_ed25519"), "PULUMI_CONFIG_PASSPHRASE=" + r.secret("passphrase"),
		"TOWNSQUARE_CACHE=" + os.Getenv("TOWNSQUARE_CACHE"),
	}, more...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	j := job{log: log.String(), summary: r.read("summary"), outputs: r.read("outputs")}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		j.code = exit.ExitCode()
	} else if err != nil {
		r.t.Fatal(err)
	}
	r.said.WriteString(j.log + j.summary + j.outputs)
	r.t.Logf("%s %v: exit code %d after %v", filepath.Base(cmd.Args[len(cmd.Args)-1]), more, j.code, took.Round(10*time.Millisecond))
	return j
}

// says wants the job to have ended well, with each part in its log, summary or outputs.
func (j job) says(t *testing.T, parts ...string) job {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(j.log+"\n"+j.summary+"\n"+j.outputs, part) {
			t.Errorf("does not say %q", part)
		}
	}
	if j.code != 0 {
		t.Errorf("exit code %d", j.code)
	}
	if t.Failed() {
		t.Fatalf("log:\n%s\nsummary:\n%s\noutputs:\n%s", j.log, j.summary, j.outputs)
	}
	return j
}

// publish makes the mirror have these releases and no others.
func (r *runner) publish(versions ...string) {
	r.t.Helper()
	argv := append([]string{"mirror", "publish", "--only"}, versions...)
	r.server.Stage.Localcloud(r.t.Context(), argv...).Must(r.t)
}

// window sets the stack's, so that it begins that long from now and lasts four hours.
func (r *runner) window(in time.Duration) {
	r.t.Helper()
	from := time.Now().UTC().Add(in)
	set := fmt.Sprintf("townsquare:window=daily %s-%s", from.Format("15:04"), from.Add(4*time.Hour).Format("15:04"))
	r.server.Stage.Localcloud(r.t.Context(), "pulumi", "up", "--stack", "dev", "--set", set).Must(r.t)
}

// still does something that must leave Mattermost, its files and the record as they are.
func (r *runner) still(do func()) {
	r.t.Helper()
	const traces = `systemctl show -p MainPID -p ActiveEnterTimestamp mattermost caddy
cat /var/lib/townsquare/state.json
find /opt/mattermost /opt/mattermost/ /opt/townsquare -xdev -printf '%p %i %T@ %C@\n' | sort | sha256sum`
	was := r.server.Exec(r.t, traces)
	do()
	if is := r.server.Exec(r.t, traces); is != was {
		r.t.Fatalf("something changed:\nbefore:\n%s\nafter:\n%s", was, is)
	}
}

// pulumi is the local cloud's engine in place of Pulumi's own command, which cannot run a Go program
// without a plug-in that is not to be had as a module.
func (r *runner) pulumi() string {
	return "TOWNSQUARE_PULUMI=" + r.server.Stage.Program("localcloud") + " pulumi --cloud " + r.server.Cloud.Name
}

const mail = "From: Mattermost <updates@example.net>\nSubject: Security release %s\n\nPlease upgrade to %[1]s, which fixes issues of high severity.\n"

// dispatch is the event of a release notice, as the step gets it.
func (r *runner) dispatch(version string) []string {
	body := fmt.Sprintf(`{"action": "mattermost-release", "client_payload": {"notice": %q}}`, fmt.Sprintf(mail, version))
	return []string{"GITHUB_EVENT_NAME=repository_dispatch", "GITHUB_EVENT_PATH=" + r.write("event.json", body)}
}

// TestScheduled is a week of the scheduled scripts, exactly those that the workflows call, with
// nobody typing: nothing new, a release that waits for a person, a patch and a package in the window, the
// decision of a person, and a release notice.
func TestScheduled(t *testing.T) {
	tool := func(version string) deb { return deb{name: "tool", version: version} }
	s := square.Fresh(t)
	a := newArchive(t, s) // nothing is new for the system, until the test says so
	r := newRunner(t, s)
	t.Cleanup(func() {
		if r := square.Localcloud(context.Background(), "pulumi", "up", "--stack", "dev"); r.Code != 0 {
			t.Error(r)
		}
	})
	const patch = "7.7.1" // of Before

	r.publish(stage.Before)
	r.run("check.sh").says(t, "up to date") // brings this program
	r.still(func() {
		for script, output := range map[string]string{"check.sh": "pending=\n", "upgrade.sh": "done=\n"} {
			r.run(script).says(t, "| dev | 7.7.0 | up to date |", output)
		}
	})
	if asked := r.read("asked"); strings.Contains(asked, "create") || strings.Contains(asked, "close") {
		t.Errorf("GitHub was asked: %s", asked)
	}

	r.publish(stage.Before, stage.After)
	r.still(func() {
		r.run("check.sh").says(t, "::warning::Mattermost 9.10.0 is available", "| dev | 7.7.0 to 9.10.0 | waits for a person |", "pending=9.10.0\n", "waiting=9.10.0\n")
		if asked, body := r.read("asked"), r.read("body"); !strings.Contains(asked, "issue create --title Mattermost 9.10.0 is available") ||
			!strings.Contains(body, "stop the service") {
			t.Errorf("GitHub was asked: %s\nwith %s", asked, body)
		}
		r.write("issues", "41 Mattermost 9.10.0 is available\n40 Mattermost 9.9.0 is available\n")
		r.run("check.sh").says(t)
		if asked := r.read("asked"); strings.Contains(asked, "create") || !strings.Contains(asked, "issue edit 41") || !strings.Contains(asked, "issue close 40") {
			t.Errorf("GitHub was asked: %s", asked)
		}
		r.run("upgrade.sh").says(t, "Mattermost 9.10.0 waits for a person", "waiting=9.10.0")
		r.run("upgrade.sh", "TOWNSQUARE_VERSION=9.10.0", "TOWNSQUARE_DRY_RUN=true").says(t, "| dev | 7.7.0 to 9.10.0 |", "stop the service")
	})

	r.publish(stage.Before, patch, stage.After)
	r.window(6 * time.Hour)
	r.still(func() {
		r.run("check.sh").says(t, "| dev | 7.7.0 to 7.7.1 | a security update is available; 9.10.0 waits for a person |", "pending=7.7.1 9.10.0\n", "waiting=9.10.0\n")
		if asked := r.read("asked"); !strings.Contains(asked, "issue create --title Mattermost 7.7.1 is available") || !strings.Contains(asked, "issue edit 41") {
			t.Errorf("GitHub was asked: %s", asked)
		}
		r.run("upgrade.sh").says(t, "later: ")
	})
	r.window(-time.Hour)
	a.installed(database("1"))
	a.publish(database("2"))
	r.run("preview.sh", r.pulumi(), "PR_NUMBER=7").says(t, "#### dev: what would change", " unchanged")
	if asked, body := r.read("asked"), r.read("body"); !strings.Contains(asked, "pr comment 7 --edit-last --create-if-none") || !strings.Contains(body, "### Preview") {
		t.Errorf("GitHub was asked: %s\nwith %s", asked, body)
	}
	r.run("upgrade.sh").says(t, "| dev | 7.7.0 to 7.7.1; system: 1 package, 2 services restarted | done |", "| stop the service |", "done=7.7.1", "waiting=9.10.0")
	s.Serves(t, patch)
	a.installed(tool("1"))
	a.publish(database("2"), tool("2"))
	r.run("os.sh").says(t, "### Operating systems", "| dev | system: 1 package | done |", "done=system\n")
	r.still(func() { r.run("os.sh").says(t, "| up to date |", "done=\n") })

	r.run("upgrade.sh", "TOWNSQUARE_VERSION=9.10.0").says(t, "| dev | 7.7.1 to 9.10.0 | done |", "downtime")
	r.run("check.sh").says(t, "up to date")
	if asked := r.read("asked"); !strings.Contains(asked, "issue close 41") {
		t.Errorf("GitHub was asked: %s", asked)
	}

	r.still(func() {
		r.run("upgrade.sh", r.dispatch(stage.Patch)...).says(t, "::warning::The vendor's pages do not list")
	})
	r.publish(stage.Before, stage.After, stage.Patch)
	r.still(func() { r.run("upgrade.sh", r.dispatch("7.7.0")...).says(t, "nothing new") })
	r.run("upgrade.sh", r.dispatch(stage.Patch)...).says(t, "| dev | 9.10.0 to 9.10.1 | done |")
	s.Serves(t, stage.Patch)
	r.noSecrets()
}

// noSecrets looks through all that the scripts wrote. What the runner is told to mask it takes away.
func (r *runner) noSecrets() {
	r.t.Helper()
	var shown strings.Builder
	masks := 0
	for line := range strings.Lines(r.said.String()) {
		if strings.HasPrefix(line, "::add-mask::") {
			masks++
			continue
		}
		shown.WriteString(line)
	}
	for _, name := range []string{"ops_ed25519", "passphrase", "host_ed25519"} {
		for line := range strings.Lines(r.secret(name)) {
			if line = strings.TrimSpace(line); len(line) > 8 && !strings.HasPrefix(line, "-----") && strings.Contains(shown.String(), line) {
				r.t.Errorf("the scripts show a line of %s", name)
			}
		}
	}
	if strings.Contains(shown.String(), "ghs_") || masks == 0 {
		r.t.Errorf("GitHub's token is shown, or nothing was masked (%d lines)", masks)
	}
}
