package cli

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

// leave makes the host look as after a run that was killed while the service was down.
func (h *fakeHost) leave() {
	h.t.Helper()
	s := state.State{Run: &state.Run{ID: "20261122T010000Z-apply", Operation: "apply", From: "7.7.0", To: "9.10.0",
		Started: time.Now().Add(-time.Hour), StoppedAt: time.Now().Add(-time.Hour), Step: "start", Stopped: true, PID: 1 << 30}}
	if err := s.Save(filepath.Join(h.root, state.Path)); err != nil {
		h.t.Fatal(err)
	}
}

// A run that is killed is put back by its unit, and whoever follows it hears so.
func TestKilledRunIsPutBack(t *testing.T) {
	h := newFakeHost(t)
	h.killed = true
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), phase.ExitError, "ended without a word", "Nothing was changed")
	h.leave()
	// The run that is to repair it is killed as well; its unit's last command does the work.
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), phase.ExitError, "is put back. Looking again.")
	if s := h.record(); s.Run != nil || s.History[0].Outcome != phase.OutcomeRolledBack {
		t.Errorf("record is %+v", s)
	}
}

// A unit that could not put its run back has one that stands in for it: who follows waits for that.
func TestFollowerHearsOfTheSecondChance(t *testing.T) {
	h := newFakeHost(t)
	h.leave()
	recovered := make(chan int, 1)
	go func() {
		time.Sleep(300 * time.Millisecond)
		recovered <- h.main(t.Context(), []string{"host", "recover", "--boot"}, strings.NewReader(""), os.Stderr, os.Stderr)
	}()
	var out strings.Builder
	code := h.main(t.Context(), []string{"host", "events", "--run", h.record().Run.ID, "--follow"}, strings.NewReader(""), &out, os.Stderr)
	if code != 0 || <-recovered != 0 || !strings.Contains(out.String(), `"outcome":"rolled-back"`) {
		t.Errorf("exit code %d, it hears:\n%s", code, &out)
	}
}

func TestRecoverAtBoot(t *testing.T) {
	h := newFakeHost(t)
	code := h.main(t.Context(), []string{"host", "recover", "--boot"}, strings.NewReader(""), os.Stderr, os.Stderr)
	if files := h.files(); code != 0 || len(files) != 0 {
		t.Errorf("with nothing to do: code %d, wrote %v", code, files)
	}
	h.leave()
	boot := false
	h.acts["undo stop"] = func(_ context.Context, op *phase.Operation) error {
		boot = op.Boot
		op.Record.Run.Stopped = false
		return op.Save()
	}
	if code := h.main(t.Context(), []string{"host", "recover", "--boot"}, strings.NewReader(""), os.Stderr, os.Stderr); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if s := h.record(); s.Run != nil || len(s.History) != 1 || s.History[0].Outcome != phase.OutcomeRolledBack || !boot {
		t.Errorf("boot %v, record %+v", boot, s)
	}
	log, err := os.ReadFile(filepath.Join(h.root, phase.JournalDir, "20261122T010000Z-apply.jsonl"))
	if err != nil || !strings.Contains(string(log), `"kind":"result"`) {
		t.Errorf("log %s, %v", log, err)
	}
}

// What a run said it could not put back is left to a person, not tried again behind their back.
func TestRecoverLeavesWhatWasSaid(t *testing.T) {
	h := newFakeHost(t)
	h.leave()
	writeFile(t, h, filepath.Join(phase.JournalDir, "20261122T010000Z-apply.jsonl"), `{"kind":"begin"}`+"\n"+`{"kind":"result"}`+"\n")
	if code := h.main(t.Context(), []string{"host", "recover", "--run", "20261122T010000Z-apply"}, strings.NewReader(""), os.Stderr, os.Stderr); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if h.record().Run == nil {
		t.Error("tried again")
	}
}

// Unattended, what was left is put back at any hour; an upgrade waits for the window.
func TestLeftRunOutsideTheWindow(t *testing.T) {
	h := newFakeHost(t)
	writeConfig(t, h, "window: "+time.Now().UTC().AddDate(0, 0, 3).Format("Mon")+" 02:00-04:00\n")
	h.leave()
	wants(t, h.upgrade(t.Context(), "apply", "--unattended"), 0, "is put back", "only in the window")
	if s := h.record(); s.Run != nil || s.Active != "" {
		t.Errorf("record is %+v", s)
	}
}

// The guard stands before anything is changed.
func TestGuardIsThereBeforeTheFirstMutation(t *testing.T) {
	h := newFakeHost(t)
	h.acts["fetch"] = func(context.Context, *phase.Operation) error {
		unit, err := os.ReadFile(filepath.Join(h.root, "/etc/systemd/system/townsquare-recover.service"))
		if err != nil || !strings.Contains(string(unit), "Before=mattermost.service\n") ||
			!strings.Contains(string(unit), "host recover --boot") {
			t.Errorf("unit is %s, %v", unit, err)
		}
		return nil
	}
	h.acts["lock"] = func(ctx context.Context, op *phase.Operation) error {
		return op.Acquire(ctx, state.Run{From: "7.7.0", To: "9.10.0", Unit: "mattermost.service"})
	}
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), 0, "is now")
}

// A second SIGTERM must not end a process that is putting things back.
func TestDeafToASecondSignal(t *testing.T) {
	ctx, stop := interruptible(t.Context())
	defer stop()
	defer deafen()()
	for range 3 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		time.Sleep(20 * time.Millisecond)
	}
}

// The secrets of an adopted server are in its own configuration, and errors may quote them.
func TestRecoverKnowsTheConfigsSecrets(t *testing.T) {
	const password = "correct-horse-battery"
	h := newFakeHost(t)
	h.leave()
	s := h.record()
	s.Run.User, s.Run.ConfigPath = "root", "/opt/mattermost/config/config.json"
	if err := s.Save(filepath.Join(h.root, state.Path)); err != nil {
		t.Fatal(err)
	}
	writeFile(t, h, s.Run.ConfigPath, `{"SqlSettings": {"DataSource": "postgres://mmuser:`+password+`@localhost/mattermost", "MaxIdleConns": 20}}`)
	h.acts["undo stop"] = func(_ context.Context, op *phase.Operation) error {
		op.Record.Run.Stopped = false
		op.Warn("cannot connect with %s", password)
		return op.Save()
	}
	if code := h.main(t.Context(), []string{"host", "recover", "--boot"}, strings.NewReader(""), os.Stderr, os.Stderr); code != 0 {
		t.Errorf("exit code %d", code)
	}
	log, err := os.ReadFile(filepath.Join(h.root, phase.JournalDir, s.Run.ID+".jsonl"))
	if err != nil || strings.Contains(string(log), password) || !strings.Contains(string(log), "[secret]") {
		t.Errorf("log %s, %v", log, err)
	}
}

// What fails night after night, each time with people locked out, is left to a person.
func TestUnattendedGivesUp(t *testing.T) {
	h := newFakeHost(t)
	writeConfig(t, h, "window: daily 00:00-24:00\n")
	h.acts["start"] = func(context.Context, *phase.Operation) error { return errors.New("the database is full") }
	for range 2 {
		wants(t, h.upgrade(t.Context(), "apply", "--unattended"), phase.ExitRolledBack, "the database is full")
	}
	wants(t, h.upgrade(t.Context(), "apply", "--unattended"), phase.ExitRefused, "put back 2 times in a row", "Nothing was changed", "upgrade apply --local")
	delete(h.acts, "start")
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), 0, "is now 9.10.0")
}

// While the host shuts down nothing can be started any more: the next boot puts everything back.
func TestShutdownLeavesItToTheNextBoot(t *testing.T) {
	h := newFakeHost(t)
	begun, _ := h.blocked("start")
	if _, err := h.begin(t); err != nil {
		t.Fatal(err)
	}
	<-begun
	h.mu.Lock()
	h.stopping = true
	h.cancel(phase.ErrInterrupted)
	h.mu.Unlock()
	h.ended.Wait()
	left := h.record()
	if left.Run == nil || !left.Run.Stopped || len(left.History) != 0 {
		t.Fatalf("record is %+v", left)
	}
	h.stopping = false
	if code := h.main(t.Context(), []string{"host", "recover", "--boot"}, strings.NewReader(""), os.Stderr, os.Stderr); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if s := h.record(); s.Run != nil || s.History[0].Outcome != phase.OutcomeRolledBack {
		t.Errorf("record is %+v", s)
	}
}

// begin starts a run that nobody follows.
func (h *fakeHost) begin(t *testing.T) (string, error) {
	t.Helper()
	var out strings.Builder
	if code := h.main(t.Context(), []string{"host", "start"}, strings.NewReader(`{"operation":"apply"}`), &out, os.Stderr); code != 0 {
		return "", errors.New(out.String())
	}
	return out.String(), nil
}

// What a killed run left is put back by the next command, whichever it is, and twice is as good as
// once. What said that it cannot be put back waits for a person's own word.
func TestTheNextCommandPutsBack(t *testing.T) {
	for _, args := range [][]string{{"check"}, {"plan"}, {"apply", "--yes"}, {"recover"}} {
		h := newFakeHost(t)
		h.leave()
		got := h.upgrade(t.Context(), args...)
		if !strings.Contains(got.stderr, "is put back") {
			t.Errorf("%v: %+v", args, got)
		}
		if args[0] == "plan" && !strings.Contains(got.stdout, "The unfinished run 20261122T010000Z-apply was recovered; nothing else was changed.") {
			t.Errorf("what was changed is not said: %+v", got)
		}
		if s := h.record(); s.Run != nil || s.History[0].Outcome != phase.OutcomeRolledBack {
			t.Errorf("%v: record is %+v", args, s)
		}
		wants(t, h.upgrade(t.Context(), "recover"), 0, "Nothing was left unfinished")
	}
	h := newFakeHost(t)
	h.leave()
	before := h.files()
	wants(t, h.upgrade(t.Context(), "status"), phase.ExitError, "left unfinished", "upgrade recover --local")
	if diff := cmp.Diff(before, h.files()); diff != "" {
		t.Errorf("status changed something: %s", diff)
	}
	writeFile(t, h, filepath.Join(phase.JournalDir, "20261122T010000Z-apply.jsonl"), `{"kind":"result"}`+"\n")
	for _, args := range [][]string{{"check"}, {"plan"}, {"apply", "--unattended"}} {
		wants(t, h.upgrade(t.Context(), args...), phase.ExitNotRolledBack, "needs a person", "upgrade recover --local")
	}
	if h.record().Run == nil {
		t.Error("put back unasked")
	}
	got := h.upgrade(t.Context(), "status")
	wants(t, got, phase.ExitError, "failed and was not undone", "upgrade recover --local")
	if text := got.stdout + got.stderr; strings.Contains(text, "power cut") {
		t.Errorf("it was no power cut: %s", text)
	}
	h.acts["undo stop"] = func(context.Context, *phase.Operation) error { return errors.New("read-only file system") }
	wants(t, h.upgrade(t.Context(), "recover"), phase.ExitNotRolledBack, "read-only file system", "failed and was not undone; it is undone now")
	delete(h.acts, "undo stop")
	wants(t, h.upgrade(t.Context(), "recover"), 0, "is put back")
}

// A database that does not answer is waited for by the host itself: no result is said, and systemd
// tries again.
func TestRecoverTriesAgainWhereOnlyTheDatabaseIsAway(t *testing.T) {
	h := newFakeHost(t)
	h.leave()
	h.acts["undo stop"] = func(context.Context, *phase.Operation) error { return phase.ErrUnreachable }
	args := []string{"host", "recover", "--run", "20261122T010000Z-apply"}
	for range 2 {
		if code := h.main(t.Context(), args, strings.NewReader(""), os.Stderr, os.Stderr); code != host.ExitLater {
			t.Errorf("exit code %d", code)
		}
	}
	delete(h.acts, "undo stop")
	if code := h.main(t.Context(), args, strings.NewReader(""), os.Stderr, os.Stderr); code != 0 || h.record().Run != nil {
		t.Errorf("exit code %d, record %+v", code, h.record())
	}
}

// The service waits at a boot until all is back, and no longer.
func TestReadyAtBootComesAfterPuttingBack(t *testing.T) {
	h := newFakeHost(t)
	h.leave()
	said := listen(t)
	h.acts["undo stop"] = func(_ context.Context, op *phase.Operation) error {
		if got := said(); strings.Contains(got, "READY=1") || !strings.Contains(got, "WATCHDOG=1") {
			t.Errorf("before all was back systemd heard %q", got)
		}
		op.Record.Run.Stopped = false
		return op.Save()
	}
	if code := h.main(t.Context(), []string{"host", "recover", "--boot"}, strings.NewReader(""), os.Stderr, os.Stderr); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if got := said(); !strings.Contains(got, "READY=1") {
		t.Errorf("systemd heard %q", got)
	}
	if os.Getenv("NOTIFY_SOCKET") != "" {
		t.Error("the programs it runs could speak for it")
	}
}

// listen is systemd's end of sd_notify; the function returns what it heard since.
func listen(t *testing.T) func() string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		var heard strings.Builder
		buf := make([]byte, 4096)
		for {
			conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			n, err := conn.Read(buf)
			if err != nil {
				return heard.String()
			}
			heard.Write(append(buf[:n], '\n'))
		}
	}
}
