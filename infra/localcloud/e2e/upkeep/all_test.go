//go:build machine

package upkeep

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/stage"
)

// lives counts how often systemd started Mattermost and PostgreSQL, by its own words since a moment.
func lives(t *testing.T, s *stage.Server, since time.Time) string {
	t.Helper()
	return s.Exec(t, fmt.Sprintf(`journalctl --sync; journalctl -q -o cat _PID=1 --since=@%d | grep -E '^Started (mattermost|postgresql@17-main)\.service' | sort | uniq -c | awk '{print $1, $3}' || true
systemctl show --value -p NRestarts mattermost`, since.Unix()))
}

const onceEach = "1 mattermost.service\n1 postgresql@17-main.service\n0"

// applyAll types `upgrade apply --all` and wants the exit code.
func applyAll(t *testing.T, s *stage.Server, code int, words ...string) systemReport {
	t.Helper()
	r := s.Upgrade(t.Context(), append([]string{"apply", "--all", "--json", "--yes", "--watch", "3s"}, words...)...).Must(t, code)
	var got systemReport
	r.Into(t, &got)
	t.Logf("apply --all: exit code %d, %s %s, %d packages, restarted %v, down %v, %v in all", r.Code, got.Outcome, got.To,
		len(got.Packages), got.Restarted, got.Downtime.Round(time.Millisecond), r.Took.Round(100*time.Millisecond))
	if n := s.Exec(t, "grep -c '\"kind\":\"down-start\"' $(ls -t /var/lib/townsquare/runs/*.jsonl | head -1) || true"); n != "1" && n != "0" {
		t.Errorf("the service was away %s times", n)
	}
	return got
}

// database is a package after whose upgrade PostgreSQL must restart.
func database(version string) deb {
	return deb{name: "demo", version: version, postinst: "[ -z \"$2\" ] || deb-systemd-invoke restart 'postgresql@17-*' || true"}
}

// TestAll brings Mattermost and its server's packages up to date with one restart for both.
func TestAll(t *testing.T) {
	s := square.Fresh(t)
	s.Exec(t, older)
	t.Run("both", func(t *testing.T) { bothAtOnce(t, s) })
	a := newArchive(t, s)
	a.installed(database("1"))
	t.Run("a release that does not work, and the host must restart", func(t *testing.T) { badRelease(t, s, a) })
	t.Run("a run that is killed", func(t *testing.T) { killedAll(t, s, a) })
	t.Run("a release that works, and the host must restart", func(t *testing.T) { oneReboot(t, s, a) })
}

// bothAtOnce: OpenSSL, PostgreSQL, Caddy and Mattermost are old.
func bothAtOnce(t *testing.T, s *stage.Server) {
	if r := s.Upgrade(t.Context(), "check", "--all").Must(t, 10); !strings.Contains(r.Stdout, "Mattermost "+stage.After) || !strings.Contains(r.Stdout, "libssl3t64") {
		t.Errorf("check says\n%s", r.Stdout)
	}
	began := time.Now()
	var got systemReport
	seen := s.Watched(t, func() { got = applyAll(t, s, 0) })
	if seen.Failed > 0 {
		t.Errorf("%d visitors of %d saw an error: %v", seen.Failed, seen.Asked, seen.Wrong)
	}
	got.Warnings = slices.DeleteFunc(got.Warnings, func(w string) bool { return strings.HasPrefix(w, "support for the installed 7.7") })
	if got.To != stage.After || got.Rebooted != "" || len(got.Reboot.Why) > 0 || len(got.Warnings) > 0 || got.Downtime == 0 {
		t.Errorf("report is %+v", got)
	}
	for _, unit := range []string{"caddy.service", "mattermost.service", "postgresql@17-main.service", "ssh.service"} {
		if !slices.Contains(got.Restarted, unit) {
			t.Errorf("%s was not restarted", unit)
		}
	}
	if got := lives(t, s, began); got != onceEach {
		t.Errorf("started, how often:\n%s", got)
	}
	s.Serves(t, stage.After)
	clean(t, s)
	s.Upgrade(t.Context(), "check").Must(t)
	osCheck(t, s)

	const record = "ls /var/lib/townsquare/runs; systemctl show --value -p InvocationID mattermost postgresql@17-main caddy ssh; sha256sum /var/lib/townsquare/state.json"
	was := s.Exec(t, record)
	if again := applyAll(t, s, 0); !again.UpToDate {
		t.Errorf("again: %+v", again)
	}
	if is := s.Exec(t, record); is != was {
		t.Errorf("nothing was to be done, and something changed:\n%s\n%s", was, is)
	}
	if r := s.Upgrade(t.Context(), "history").Must(t); !strings.Contains(r.Stdout, stage.Before+" to "+stage.After+"; system: ") {
		t.Errorf("history says\n%s", r.Stdout)
	}
}

// needsReboot is a package for which the host must restart.
func needsReboot(version string) deb {
	d := kernel
	d.name, d.version = "demo", version
	return d
}

// badRelease starts with the host, which had to restart: it is put back, and the package stays.
func badRelease(t *testing.T, s *stage.Server, a archive) {
	const exits = "9.10.2"
	a.publish(needsReboot("2"))
	square.Localcloud(t.Context(), "mirror", "publish", exits).Must(t)
	s.Watched(t, func() {
		got := applyAll(t, s, 4, "--reboot")
		if got.Outcome != "rolled-back" || len(got.Packages) != 1 || version(t, s, "demo") != "2" || got.Rebooted == "" {
			t.Errorf("report is %+v, demo %s", got, version(t, s, "demo"))
		}
	})
	if !slices.Contains(s.Bad(t), exits) {
		t.Errorf("not on the skip list: %v", s.Bad(t))
	}
	square.Localcloud(t.Context(), "mirror", "withdraw", exits).Must(t)
	s.Serves(t, stage.After)
	clean(t, s)
	osCheck(t, s)
}

// killedAll: what is left of both is put back by the host itself.
func killedAll(t *testing.T, s *stage.Server, a archive) {
	const hangs = "9.10.3"
	a.publish(database("3"))
	square.Localcloud(t.Context(), "mirror", "publish", hangs).Must(t)
	began := time.Now()
	p := s.Hold(t, stage.Point{Step: "start", Delay: time.Second}, func(_ *stage.Process, pid int) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}, "apply", "--all", "--json", "--yes")
	if got := lives(t, s, began); !strings.Contains(got, "1 postgresql@17-main.service") {
		t.Errorf("started, how often:\n%s", got)
	}
	if r := p.Wait().Must(t, 4); !strings.Contains(r.Stdout, "ended without a word") {
		t.Errorf("the run that was killed:\n%s", r)
	}
	square.Localcloud(t.Context(), "mirror", "withdraw", hangs).Must(t)
	if got := version(t, s, "demo"); got != "3" {
		t.Errorf("demo is %s", got)
	}
	s.Serves(t, stage.After)
	clean(t, s)
	osCheck(t, s)
}

// oneReboot: a kernel and a release are there, and the new version starts with the host.
func oneReboot(t *testing.T, s *stage.Server, a archive) {
	a.publish(needsReboot("4"))
	square.Localcloud(t.Context(), "mirror", "publish", stage.Patch).Must(t)
	const boot = "cat /proc/sys/kernel/random/boot_id"
	was, began := s.Exec(t, boot), time.Now()
	var got systemReport
	seen := s.Watched(t, func() { got = applyAll(t, s, 0, "--reboot") })
	if got.To != stage.Patch || got.Outcome != "done" || got.Rebooted == "" || len(got.Reboot.Why) > 0 || len(got.Warnings) > 0 {
		t.Errorf("report is %+v", got)
	}
	if got.Downtime < time.Second || got.Downtime > seen.Gap+time.Minute {
		t.Errorf("away for %v, and visitors met nobody for %v", got.Downtime, seen.Gap)
	}
	if s.Exec(t, boot) == was {
		t.Error("it did not restart")
	}
	if got := lives(t, s, began); !strings.HasPrefix(got, "1 mattermost.service") || !strings.HasSuffix(got, "\n0") {
		t.Errorf("started, how often:\n%s", got)
	}
	s.Serves(t, stage.Patch)
	clean(t, s)
	s.Upgrade(t.Context(), "check", "--all").Must(t)
}
