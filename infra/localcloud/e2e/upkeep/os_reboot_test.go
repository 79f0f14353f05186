//go:build machine

package upkeep

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// kernel is what a package of a kernel does as far as a machine without one of its own can tell: it
// brings a newer image, and asks for a reboot as Debian's hooks do.
var kernel = deb{name: "linux-image-99.1.0-test", version: "99.1.0-1",
	files:    map[string]string{"/boot/vmlinuz-99.1.0-test": "Linux version 99.1.0-test"},
	postinst: "touch /run/reboot-required; echo linux-image-99.1.0-test >>/run/reboot-required.pkgs"}

// TestReboot has a kernel pending: it is installed at any hour, and the server restarts for it in its
// window only.
func TestReboot(t *testing.T) {
	s := square.Fresh(t)
	a := newArchive(t, s)
	meta := func(version string) deb {
		return deb{name: "linux-image-test", version: version, fields: "Depends: linux-image-99.1.0-test\n"}
	}
	old := meta("1")
	old.fields = ""
	a.installed(old)
	a.publish(kernel, meta("2"))
	const boot = "cat /proc/sys/kernel/random/boot_id"
	was, pid := s.Exec(t, boot), mainPID(t, s)

	osCheck(t, s, 10)
	later := time.Now().UTC().Add(2 * time.Hour)
	window := fmt.Sprintf("daily %s-%s", later.Format("15:04"), later.Add(time.Hour).Format("15:04"))
	s.Exec(t, "sed -i '/^window:/d' /etc/townsquare/upgrade.yaml; echo 'window: \""+window+"\"' >>/etc/townsquare/upgrade.yaml")
	// On the server itself: the stack would bring its own window.
	local := func(words string) string {
		return s.Exec(t, "code=0; /usr/local/lib/townsquare/upgrade os "+words+" --local 2>&1 || code=$?; echo exit $code")
	}
	if out := local("apply --yes"); !strings.Contains(out, "exit 0") || !strings.Contains(out, "reboot is needed still: asked for by linux-image-99.1.0-test") {
		t.Errorf("outside the window:\n%s", out)
	}
	if s.Exec(t, boot) != was || mainPID(t, s) != pid {
		t.Fatal("it restarted outside its window")
	}
	if out := local("check"); !strings.Contains(out, "exit 10") || !strings.Contains(out, "not now") {
		t.Errorf("check outside the window:\n%s", out)
	}
	const waiting = "cat /var/lib/townsquare/pending.json"
	if waits := s.Exec(t, waiting); !strings.Contains(waits, "a reboot: asked for by linux-image-99.1.0-test") {
		t.Errorf("what waits for the window is not told: %s", waits)
	}

	var got systemReport
	seen := s.Watched(t, func() { got = osApply(t, s, nil, "--reboot") })
	if got.Rebooted == "" || got.Outcome != "done" || len(got.Reboot.Why) > 0 || len(got.Warnings) > 0 {
		t.Errorf("report is %+v", got)
	}
	if got.Downtime < time.Second || got.Downtime > seen.Gap+time.Minute {
		t.Errorf("away for %v, and visitors met nobody for %v", got.Downtime, seen.Gap)
	}
	if s.Exec(t, boot) == was || s.Exec(t, "ls /run/reboot-required 2>/dev/null || true") != "" {
		t.Error("it did not restart")
	}
	if left := s.Exec(t, `grep '"reboot":' /var/lib/townsquare/state.json || true`); left != "" {
		t.Errorf("it helped, and would not be done for that again: %s", left)
	}
	history := s.Record(t).History
	if last := history[len(history)-1]; last.ID != got.ID || last.Downtime != got.Downtime {
		t.Errorf("history has %+v", last)
	}
	clean(t, s)
	s.Serves(t, stage.Before)
	osCheck(t, s)
	if waits := s.Exec(t, waiting); strings.Contains(waits, "reboot") {
		t.Errorf("still waits: %s", waits)
	}
}
