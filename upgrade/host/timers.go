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
// An update (10) and a server that needs attention (13) are results, not failures of the unit. systemd forgets
// at a boot when a service ran and how it ended, so that is noted at its end.
const timedService = `# Written by upgrade; see: upgrade timers
[Unit]
Description=Townsquare: %[1]s
Wants=network-online.target
After=network-online.target mattermost.service

[Service]
Type=oneshot
ExecStart=%[2]s %[3]s
SuccessExitStatus=10 13
TimeoutStartSec=12h
Nice=10
IOSchedulingClass=idle
OOMScoreAdjust=-500
ExecStopPost=-%[2]s host ran %[4]s
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

// WantedTimers are the timers that should be on: the configuration decides, and where it does not mention
// them, whether timers are installed.
func WantedTimers(root string, c state.Config) []Timer {
	on := HasTimers(root)
	if c.Timers != nil {
		on = *c.Timers
	}
	if !on {
		return nil
	}
	return TimersOf(c)
}

// files are the units' names and content.
func (t Timer) files() map[string]string {
	var on strings.Builder
	for _, at := range t.On {
		fmt.Fprintf(&on, "OnCalendar=%s\n", at)
	}
	return map[string]string{
		serviceOf(t.Name): fmt.Sprintf(timedService, t.Title, Upgrader, t.Words, serviceOf(t.Name)),
		t.Name + ".timer": fmt.Sprintf(timerUnit, t.Title, serviceOf(t.Name), on.String(), int(t.Jitter.Seconds())),
	}
}

// SetTimers makes the host have these timers, enabled and active, and no other of ours; none switches all
// off. It compares with what systemd knows, and what is as it should be is not touched. It returns the
// names of those that it changed.
func (s Service) SetTimers(ctx context.Context, root string, timers []Timer) (changed []string, err error) {
	found, err := s.Timers(ctx, root, timers)
	if err != nil {
		return nil, err
	}
	steps := [][]string{{"daemon-reload"}}
	var written []string
	for _, name := range timerNames {
		i := slices.IndexFunc(timers, func(t Timer) bool { return t.Name == name })
		if i < 0 {
			dropped, err := s.dropTimer(ctx, root, name)
			if err != nil {
				return changed, err
			}
			if dropped {
				changed = append(changed, name)
			}
			continue
		}
		wrote, err := writeTimer(root, timers[i])
		if err != nil {
			return changed, err
		}
		off := slices.ContainsFunc(found, func(t TimerStatus) bool { return t.Name == name && t.Off() != "" })
		if !wrote && !off {
			continue
		}
		if wrote {
			written = append(written, name)
		}
		changed = append(changed, name)
		steps = append(steps, []string{"enable", "--quiet", name + ".timer"}, []string{"restart", name + ".timer"})
	}
	if len(changed) == 0 {
		return nil, nil
	}
	for _, args := range steps {
		if _, err := s.Run(ctx, Command{Name: "systemctl", Args: args}); err != nil {
			for _, name := range written { // the next call tries again
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
