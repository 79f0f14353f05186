package cli

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/notify"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/secret"
	"townsquare/upgrade/state"
)

// TestHeartbeat: a monitoring service hears of each good check and backup, so that it notices silence.
func TestHeartbeat(t *testing.T) {
	h := newFakeHost(t)
	var mu sync.Mutex
	var calls []string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, r.URL.Path)
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	heard := func(what string, want ...string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		calls = nil
	}
	writeFile(t, h, state.NotifyFile, "heartbeat:\n  check: "+server.URL+"/verysecretcheck\n  backup: "+server.URL+"/verysecretbackup\n  fail: /fail\n")
	wants(t, h.upgrade(t.Context(), "check"), phase.ExitAvailable)
	heard("a check by hand")
	wants(t, h.upgrade(t.Context(), "check", "--unattended"), phase.ExitAvailable)
	heard("a good check", "/verysecretcheck")
	choose := h.acts["choose"]
	h.acts["choose"] = func(context.Context, *phase.Operation) error { return context.DeadlineExceeded }
	wants(t, h.upgrade(t.Context(), "check", "--unattended"), phase.ExitError)
	heard("a check that failed", "/verysecretcheck/fail")
	h.acts["choose"] = choose

	backup := func(id, outcome string, exit int) {
		t.Helper()
		journal, err := phase.OpenJournal(filepath.Join(h.root, phase.JournalDir), id, &secret.Redactor{})
		if err != nil {
			t.Fatal(err)
		}
		defer journal.Close()
		report := phase.Report{Finished: state.Finished{ID: id, Operation: "backup", Outcome: outcome}, Exit: exit}
		if err := journal.Write(phase.Event{Run: id, Kind: phase.Result, Data: report}); err != nil {
			t.Fatal(err)
		}
		if code := h.main(t.Context(), []string{"host", "tell", "--run", id}, strings.NewReader(""), io.Discard, os.Stderr); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	backup("20261201T000001Z-backup", phase.OutcomeDone, 0)
	heard("a good backup", "/verysecretbackup")
	backup("20261201T000002Z-backup", phase.OutcomeDone, phase.ExitError)
	heard("a backup that lacks files", "/verysecretbackup/fail")
	backup("20261201T000003Z-backup", phase.OutcomeFailed, phase.ExitError)
	heard("a backup that failed", "/verysecretbackup/fail")

	// That the service is not reached fails no check. It is known, and no address is seen.
	mu.Lock()
	status = http.StatusNotFound
	mu.Unlock()
	got := h.upgrade(t.Context(), "check", "--unattended")
	wants(t, got, phase.ExitAvailable)
	ledger, err := notify.Read(filepath.Join(h.root, notifyLedger))
	if err != nil || ledger.Unheard[notify.BeatCheck] == nil {
		t.Errorf("%+v, %v", ledger, err)
	}
	test := h.upgrade(t.Context(), "notify", "test")
	wants(t, test, phase.ExitError, "the check's heartbeat: 404 Not Found")
	shown := h.upgrade(t.Context(), "status")
	wants(t, shown, phase.ExitError, "the heartbeat of the check has not reached the monitoring service since", "upgrade notify test --local")
	for _, one := range []typed{got, test, shown} {
		if strings.Contains(one.stdout+one.stderr, "verysecret") {
			t.Errorf("it shows an address: %+v", one)
		}
	}
}
