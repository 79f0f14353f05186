package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/notify"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

// hook is a webhook that keeps what it gets, and has the host tell it.
func hook(t *testing.T, h *fakeHost) func() []notify.Message {
	t.Helper()
	got := make(chan notify.Message, 20)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m notify.Message
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &m); err != nil {
			t.Error(err)
		}
		got <- m
	}))
	t.Cleanup(server.Close)
	writeFile(t, h, state.NotifyFile, "webhook: "+server.URL+"/verysecretkey\n")
	return func() (all []notify.Message) {
		for {
			select {
			case m := <-got:
				all = append(all, m)
			default:
				return all
			}
		}
	}
}

func TestTimersCommand(t *testing.T) {
	h := newFakeHost(t)
	wants(t, h.upgrade(t.Context(), "timers", "list"), 0, "Unattended updates are disabled", "timers enable")
	got := h.upgrade(t.Context(), "timers", "enable")
	wants(t, got, 0, "Unattended updates are enabled")
	if _, err := os.Stat(filepath.Join(h.root, "/etc/systemd/system/townsquare-check.timer")); err != nil {
		t.Error(err)
	}
	wants(t, h.upgrade(t.Context(), "timers", "enable"), 0, "Nothing was changed")
	h.enabled["townsquare-os.timer"] = false // by hand
	wants(t, h.upgrade(t.Context(), "timers", "list"), 0, "OFF: is switched off", "never", "enable what is off: upgrade timers enable --local")
	got = h.upgrade(t.Context(), "timers", "enable")
	wants(t, got, 0, "Enabled: townsquare-os.")
	if !h.enabled["townsquare-os.timer"] || strings.Contains(got.stdout, "OFF") {
		t.Errorf("it is off still: %s", got.stdout)
	}
	writeConfig(t, h, "timers: true\n")
	wants(t, h.upgrade(t.Context(), "timers", "disable"), 0, "Unattended updates are disabled", "the next apply switches them on again")
	wants(t, h.upgrade(t.Context(), "timers", "enabel"), phase.ExitUsage, "did you mean: upgrade timers enable")
}

// The configuration decides about the timers, also on a server that needs nothing else.
func TestApplySetsTheTimers(t *testing.T) {
	h := newFakeHost(t)
	h.acts["timers"] = phase.Timers{}.Run
	writeConfig(t, h, "timers: true\n")
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), 0, "is now 9.10.0", "unattended updates are enabled")
	if !host.HasTimers(h.root) {
		t.Error("no timers")
	}
	h.ended.Wait()
	writeConfig(t, h, "timers: false\n")
	got := h.upgrade(t.Context(), "apply", "--yes")
	wants(t, got, 0, "is up to date", "the timers were set as the configuration says: townsquare-", "upgrade timers list --local")
	if strings.Contains(got.stdout+got.stderr, "Nothing was changed") {
		t.Errorf("the timers were changed:\n%s", got.stdout)
	}
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), 0, "Nothing was changed")
	if host.HasTimers(h.root) {
		t.Error("timers that nobody wants")
	}
	wants(t, h.upgrade(t.Context(), "timers", "enable"), 0, "switches them off again")
}

func TestCheckTellsPeople(t *testing.T) {
	h := newFakeHost(t)
	heard := hook(t, h)
	wants(t, h.upgrade(t.Context(), "check"), phase.ExitAvailable)
	if got := heard(); len(got) != 0 {
		t.Errorf("a person who checks needs no message: %+v", got)
	}
	wants(t, h.upgrade(t.Context(), "check", "--unattended"), phase.ExitAvailable)
	got := heard()
	if len(got) != 1 || got[0].Event != "found" || !strings.Contains(got[0].Facts[0].Value, "Mattermost 9.10.0") || got[0].Urgent {
		t.Fatalf("%+v", got)
	}
	wants(t, h.upgrade(t.Context(), "check", "--unattended"), phase.ExitAvailable)
	if got := heard(); len(got) != 0 {
		t.Errorf("the same again: %+v", got)
	}
	old := state.Pending{What: "Mattermost 9.10.0", Since: time.Now().AddDate(0, 0, -31)}
	if _, err := state.NotePending(filepath.Join(h.root, state.PendingFile), schedule.Upgrade, old); err != nil {
		t.Fatal(err)
	}
	wants(t, h.upgrade(t.Context(), "check", "--unattended"), phase.ExitAvailable)
	if got := heard(); len(got) != 1 || !got[0].Urgent || !strings.Contains(got[0].Title, "for 31 days") {
		t.Errorf("after a month: %+v", got)
	}
	h.acts["choose"] = func(context.Context, *phase.Operation) error { return context.DeadlineExceeded }
	wants(t, h.upgrade(t.Context(), "check", "--unattended"), phase.ExitError)
	if got := heard(); len(got) != 1 {
		t.Errorf("a check that failed: %+v", got)
	}
}

func TestRunTellsPeople(t *testing.T) {
	h := newFakeHost(t)
	heard := hook(t, h)
	tell := func() {
		h.ended.Wait()
		runs, err := os.ReadDir(filepath.Join(h.root, phase.JournalDir))
		if err != nil {
			t.Fatal(err)
		}
		id := trimLog(runs[len(runs)-1].Name())
		if code := h.main(t.Context(), []string{"host", "tell", "--run", id}, strings.NewReader(""), io.Discard, os.Stderr); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	h.acts["start"] = func(context.Context, *phase.Operation) error { return context.DeadlineExceeded }
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), phase.ExitRolledBack)
	tell()
	if got := heard(); len(got) != 1 || got[0].Event != "failed" || !strings.Contains(got[0].Title, "9.10.0 did not work") {
		t.Errorf("%+v", got)
	}
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), phase.ExitRolledBack)
	tell()
	if got := heard(); len(got) != 0 {
		t.Errorf("the same failure again: %+v", got)
	}
	delete(h.acts, "start")
	wants(t, h.upgrade(t.Context(), "apply", "--yes"), 0)
	tell()
	got := heard()
	if len(got) != 1 || got[0].Event != "done" || got[0].Title != "Mattermost is now 9.10.0; it was 7.7.0." {
		t.Fatalf("%+v", got)
	}
	text := got[0].Plain()
	for _, part := range []string{"7.7.0 → 9.10.0", "Downtime", "Restarted"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

func TestNotifyTest(t *testing.T) {
	h := newFakeHost(t)
	wants(t, h.upgrade(t.Context(), "notify", "test"), 0, "Nobody else is told anything")
	heard := hook(t, h)
	wants(t, h.upgrade(t.Context(), "notify", "test"), 0, "It was taken by: webhook.")
	if got := heard(); len(got) != 1 || got[0].Event != "test" {
		t.Errorf("%+v", got)
	}
	writeFile(t, h, state.NotifyFile, "webhook: https://127.0.0.1:1/verysecretkey\nslack: x\n")
	got := h.upgrade(t.Context(), "notify", "test")
	wants(t, got, phase.ExitRefused, "notify.yaml", "cannot be read")
	if strings.Contains(got.stdout+got.stderr, "verysecretkey") {
		t.Errorf("it shows the address: %+v", got)
	}
}

// What runs by itself announces that it begins, and looks again after the wait.
func TestAnnouncement(t *testing.T) {
	h := newFakeHost(t)
	heard := hook(t, h)
	config, err := os.ReadFile(filepath.Join(h.root, state.NotifyFile))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, h, state.NotifyFile, string(config)+"announce: 50ms\n")
	writeConfig(t, h, "window: daily 00:00-24:00\n")
	wants(t, h.upgrade(t.Context(), "apply", "--unattended"), 0, "It is announced", "is now 9.10.0")
	if got := heard(); len(got) != 1 || got[0].Event != "announced" {
		t.Errorf("%+v", got)
	}
}
