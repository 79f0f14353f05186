package cli

import (
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/notify"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

// What was changed by hand is told, and is never called late: it waits for a person.
func TestDriftIsTold(t *testing.T) {
	now := time.Now()
	waits := map[schedule.Kind]state.Pending{schedule.Drift: {What: "/etc/caddy/Caddyfile differs in 1 line", Since: now.AddDate(-1, 0, 0)}}
	m := foundMessage(phase.Preview{UpToDate: true}, waits, notify.Config{}, now)
	if m == nil || m.Urgent || m.Title != "This server is not as its stack says" || len(m.Facts) != 1 || m.Facts[0].Name != "Not as the stack says" {
		t.Errorf("alone: %+v", m)
	}
	waits[schedule.Upgrade] = state.Pending{What: "Mattermost 9.10.1", Since: now}
	if m := foundMessage(phase.Preview{}, waits, notify.Config{}, now); m == nil || m.Title != "Updates are available" || len(m.Facts) != 2 {
		t.Errorf("beside an update: %+v", m)
	}
	report := phase.Report{Finished: state.Finished{Operation: "repair", Outcome: phase.OutcomeDone, Repaired: []string{"caddy.service does not run"}}}
	if m := runMessage(report); m == nil || !strings.HasPrefix(m.Title, "Put back: 1 difference") {
		t.Errorf("a repair: %+v", m)
	}
}
