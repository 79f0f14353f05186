package cli

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/release"
)

// left makes what is installed the newest that may be taken, though newer versions are there.
func left(h *fakeHost, held ...release.Held) {
	h.acts["choose"] = func(_ context.Context, op *phase.Operation) error {
		v, err := release.Parse("7.7.0")
		if err != nil {
			return err
		}
		op.Facts = &mattermost.Installation{Version: v, Link: "/opt/mattermost"}
		op.Choice = release.Choice{Target: &release.Release{Version: v, EndOfLife: time.Date(2023, 4, 15, 0, 0, 0, 0, time.UTC)}, UpToDate: true,
			Held: held, Ended: time.Date(2023, 4, 15, 0, 0, 0, 0, time.UTC), Why: "9.10.0 is skipped (rolled back by hand)"}
		return phase.Done
	}
}

// A server that gets no update because of a skip list, or past the end of support, is not up to date.
func TestCheckBehind(t *testing.T) {
	h := newFakeHost(t)
	left(h, release.Held{Version: "9.10.0", Kind: release.HeldFailed, Reason: "rolled back by hand on 2026-12-01"})
	got := h.upgrade(t.Context(), "check")
	wants(t, got, phase.ExitAttention, "No update will be installed: 9.10.0 is skipped (rolled back by hand on 2026-12-01); 7.7.0 reached end of life on 2023-04-15.")
	if strings.Contains(got.stdout, "up to date") || strings.Contains(got.stdout, "is supported until") {
		t.Errorf("%s", got.stdout)
	}
	var v struct {
		UpToDate bool           `json:"up_to_date"`
		Newer    bool           `json:"update_available"`
		Held     []release.Held `json:"held"`
		Ended    string         `json:"support_ended"`
		Exit     int            `json:"exit"`
	}
	got = h.upgrade(t.Context(), "check", "--json")
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || got.code != phase.ExitAttention || v.Exit != phase.ExitAttention ||
		v.UpToDate || v.Newer || len(v.Held) != 1 || v.Held[0].Kind != "failed" || v.Ended != "2023-04-15" {
		t.Errorf("%d, %v: %s", got.code, err, got.stdout)
	}
	for _, command := range []string{"plan", "apply --yes"} {
		got := h.upgrade(t.Context(), strings.Fields(command)...)
		wants(t, got, 0, "No update will be installed: 9.10.0 is skipped", "Nothing was changed.")
		if strings.Contains(got.stdout, "up to date") {
			t.Errorf("%s: %s", command, got.stdout)
		}
	}
	heard := hook(t, h)
	wants(t, h.upgrade(t.Context(), "check", "--unattended"), phase.ExitAttention)
	if got := heard(); len(got) != 1 || got[0].Title != "Mattermost 7.7.0 gets no update and has reached end of life" || got[0].Urgent {
		t.Errorf("%+v", got)
	}
}

// Each version that a notice names is judged separately.
func TestNoticeNamesEachVersion(t *testing.T) {
	h := newFakeHost(t)
	left(h, release.Held{Version: "9.10.0", Kind: release.HeldSkipped, Reason: "breaks LDAP"})
	h.input = "9.10.0 "
	wants(t, h.upgrade(t.Context(), "notice"), phase.ExitAttention, "9.10.0 is skipped (breaks LDAP)")
	plan := phase.Preview{From: "7.7.0", Target: "9.4.0", Unlisted: []string{"9.5.8"}, Why: "it is the newest of its track",
		Held: []release.Held{{Version: "9.10.0", Kind: release.HeldSkipped, Reason: "breaks LDAP"}}}
	var named []release.Version
	for _, name := range []string{"10.1.0", "9.10.0", "9.5.8", "9.4.0", "7.7.0"} {
		v, err := release.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		named = append(named, v)
	}
	says, exit := meaning(named, plan)
	for _, part := range []string{"10.1.0 is not what this server's release track leads to", "9.10.0 is skipped (breaks LDAP)", "9.5.8 is not on the vendor's pages yet",
		"9.4.0: this server has 7.7.0, and its release track leads to 9.4.0", "7.7.0 is not newer than what is installed"} {
		if !strings.Contains(says, part) {
			t.Errorf("no %q in %q", part, says)
		}
	}
	if exit != phase.ExitAvailable {
		t.Errorf("exit code %d", exit)
	}
}
