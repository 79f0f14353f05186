package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/state"
)

// Timer is one thing that a host does by itself.
type Timer struct {
	Name   string        // of its timer unit, such as "townsquare-check"
	Title  string        // "look for updates"
	Words  string        // of the command: "check --local --unattended"
	On     []string      // OnCalendar= values
	Jitter time.Duration // RandomizedDelaySec=: not all servers ask the vendor in the same second
}

// TimersOf are the timers of a host with this configuration.
func TimersOf(c state.Config) []Timer {
	calendar := c.Calendar()
	const jitter = 15 * time.Minute // less than the hour to the next try, and than most windows last
	// The first does both where both wait, with one restart; the other one finds what it could not take.
	timers := []Timer{
		{"townsquare-check", "look for updates", "check --local --unattended", []string{calendar.Daily(7, 0)}, time.Hour},
		{"townsquare-upgrade", "upgrade Mattermost and the system", "apply --all --local --unattended", calendar.Hours(0), jitter},
		{"townsquare-os", "update the system", "os apply --local --unattended", calendar.Hours(30), jitter},
	}
	if c.Backup.Repository != "" {
		timers = append(timers,
			Timer{"townsquare-backup", "back up", "backup create --local --unattended", []string{calendar.Daily(0, 0)}, jitter},
			Timer{"townsquare-verify", "verify a backup", "backup verify --local --unattended", []string{calendar.Weekly(time.Saturday, 5, 15)}, jitter},
		)
	}
	return timers
}

// timerNames are all that this program ever installs: what a configuration does not ask for is removed.
var timerNames = []string{"townsquare-check", "townsquare-upgrade", "townsquare-os", "townsquare-backup", "townsquare-verify"}

// serviceOf is the unit that a timer starts. That of the upgrade cannot have the timer's name: a run,
// whoever started it, is Unit.
func serviceOf(name string) string {
	if name+".service" == Unit {
		return "townsquare-apply.service"
	}
	return name + ".service"
}

const unitDir = "/etc/systemd/system"

// The work itself is a run's own unit, with its own protection: these only start it and follow it.
// That a person is needed (10) is no failure of the unit.
const timedService = `# Written by upgrade; see: upgrade timers
[Unit]
Description=Townsquare: %s
Wants=network-online.target
After=network-online.target mattermost.service

[Service]
Type=oneshot
ExecStart=%s %s
SuccessExitStatus=10
TimeoutStartSec=12h
Nice=10
IOSchedulingClass=idle
OOMScoreAdjust=-500
`

const timerUnit = `# Written by upgrade; see: upgrade timers
[Unit]
Description=Townsquare: %s, by the calendar

[Timer]
Unit=%s
%sRandomizedDelaySec=%d
Persistent=true

[Install]
WantedBy=timers.target
`

// files are the units' names and content.
func (t Timer) files() map[string]string {
	var on strings.Builder
	for _, at := range t.On {
		fmt.Fprintf(&on, "OnCalendar=%s\n", at)
	}
	return map[string]string{
		serviceOf(t.Name): fmt.Sprintf(timedService, t.Title, Upgrader, t.Words),
		t.Name + ".timer": fmt.Sprintf(timerUnit, t.Title, serviceOf(t.Name), on.String(), int(t.Jitter.Seconds())),
	}
}

// SetTimers makes the host have these timers, switched on, and no other of ours; none switches all
// off. What is as it should be is not touched. It returns the names of those that it changed.
func (s Service) SetTimers(ctx context.Context, root string, timers []Timer) (changed []string, err error) {
	for _, name := range timerNames {
		i := slices.IndexFunc(timers, func(t Timer) bool { return t.Name == name })
		var did bool
		if i < 0 {
			did, err = s.dropTimer(ctx, root, name)
		} else {
			did, err = writeTimer(root, timers[i])
		}
		if err != nil {
			return changed, err
		}
		if did {
			changed = append(changed, name)
		}
	}
	if len(changed) == 0 {
		return nil, nil
	}
	steps := [][]string{{"daemon-reload"}}
	for _, name := range changed {
		if slices.ContainsFunc(timers, func(t Timer) bool { return t.Name == name }) {
			steps = append(steps, []string{"enable", "--quiet", name + ".timer"}, []string{"restart", name + ".timer"})
		}
	}
	for _, args := range steps {
		if _, err := s.Run(ctx, Command{Name: "systemctl", Args: args}); err != nil {
			for _, name := range changed { // the next call tries again
				_ = os.Remove(filepath.Join(root, unitDir, name+".timer"))
			}
			return changed, fmt.Errorf("set the timers: %w", err)
		}
	}
	return changed, nil
}

func writeTimer(root string, t Timer) (changed bool, err error) {
	for name, want := range t.files() {
		path := filepath.Join(root, unitDir, name)
		have, err := os.ReadFile(path)
		if err == nil && bytes.Equal(have, []byte(want)) {
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return changed, err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return changed, err
		}
		if err := renameio.WriteFile(path, []byte(want), 0o644, renameio.IgnoreUmask()); err != nil {
			return changed, fmt.Errorf("write %s: %w", path, err)
		}
		changed = true
	}
	return changed, nil
}

func (s Service) dropTimer(ctx context.Context, root, name string) (bool, error) {
	timer, service := filepath.Join(root, unitDir, name+".timer"), filepath.Join(root, unitDir, serviceOf(name))
	if _, err := os.Stat(timer); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if _, err := s.Run(ctx, Command{Name: "systemctl", Args: []string{"disable", "--quiet", "--now", name + ".timer"}}); err != nil {
		return false, fmt.Errorf("switch %s off: %w", name, err)
	}
	if err := os.Remove(service); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, os.Remove(timer)
}

// HasTimers says whether any of ours is installed.
func HasTimers(root string) bool {
	return slices.ContainsFunc(timerNames, func(name string) bool {
		_, err := os.Stat(filepath.Join(root, unitDir, name+".timer"))
		return err == nil
	})
}

// TimerStatus is what systemd knows of one timer.
type TimerStatus struct {
	Name    string    `json:"name"`    // of the timer
	Service string    `json:"service"` // that it starts
	Title   string    `json:"title"`
	Active  bool      `json:"active"`
	Next    time.Time `json:"next,omitzero"`
	Last    time.Time `json:"last,omitzero"`
	Running bool      `json:"running,omitempty"`
	Failed  bool      `json:"failed,omitempty"` // the last time
}

// Timers looks at the timers that are installed.
func (s Service) Timers(ctx context.Context, root string) ([]TimerStatus, error) {
	var names, units []string
	for _, name := range timerNames {
		if _, err := os.Stat(filepath.Join(root, unitDir, name+".timer")); err == nil {
			names, units = append(names, name), append(units, name+".timer", serviceOf(name))
		}
	}
	if len(units) == 0 {
		return nil, nil
	}
	args := append([]string{"show", "--property=Id,Description,ActiveState,Result,NextElapseUSecRealtime,LastTriggerUSec"}, units...)
	out, err := s.Run(ctx, Command{Name: "systemctl", Args: args, Env: []string{"TZ=UTC"}})
	if err != nil {
		return nil, fmt.Errorf("look at the timers: %w", err)
	}
	facts := map[string]map[string]string{}
	for block := range strings.SplitSeq(string(out), "\n\n") {
		unit := map[string]string{}
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			unit[key] = value
		}
		facts[unit["Id"]] = unit
	}
	var all []TimerStatus
	for _, name := range names {
		timer, service := facts[name+".timer"], facts[serviceOf(name)]
		all = append(all, TimerStatus{Name: name, Service: serviceOf(name), Title: strings.TrimPrefix(service["Description"], "Townsquare: "),
			Active: timer["ActiveState"] == "active", Next: systemdTime(timer["NextElapseUSecRealtime"]), Last: systemdTime(timer["LastTriggerUSec"]),
			Running: service["ActiveState"] == "activating", Failed: service["ActiveState"] == "failed"})
	}
	return all, nil
}

// systemdTime reads a time as systemctl shows it; anything else is no time. (--timestamp=unix does not
// reach the properties of timers.)
func systemdTime(text string) time.Time {
	t, err := time.Parse("Mon 2006-01-02 15:04:05 MST", text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
