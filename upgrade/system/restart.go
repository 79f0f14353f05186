package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/printable"
)

const needrestartPath = "/run/townsquare/needrestart.conf"

// judgement is needrestart's own configuration, with what only we can know.
const judgement = `eval do { local(@ARGV, $/) = '/etc/needrestart/needrestart.conf'; <> };
die $@ if $@;
# Our own runs: the program may be exchanged while one is in progress.
push @{$nrconf{blacklist_rc}}, qr(^townsquare-);
# On a server without a screen nothing is lost with it: its sessions are in /run.
$nrconf{override_rc}{qr(^systemd-logind)} = 1;
$nrconf{defno} = 0;
1;
`

// Outdated is what needrestart names.
type Outdated struct {
	Services []string `json:"services,omitempty"` // that run files which were replaced
	Deferred []string `json:"deferred,omitempty"` // those of them that needrestart does not restart: only a reboot helps
	Running  string   `json:"kernel_running,omitempty"`
	Expected string   `json:"kernel_installed,omitempty"`
	Kernel   bool     `json:"kernel_outdated,omitempty"`
}

// Outdated asks needrestart; it changes nothing. Users' sessions are theirs to end.
func (s System) Outdated(ctx context.Context) (Outdated, error) {
	out, err := s.needrestart(ctx, "-b", "-r", "l")
	if err != nil {
		return Outdated{}, err
	}
	o := readOutdated(out)
	if len(o.Services) == 0 {
		return o, nil
	}
	if out, err = s.needrestart(ctx, "-l", "-r", "l"); err != nil { // what it says to a person
		return o, err
	}
	for _, unit := range readDeferred(out) {
		if slices.Contains(o.Services, unit) {
			o.Deferred = append(o.Deferred, unit)
		}
	}
	return o, nil
}

// Restartable are the services without those that only a reboot helps.
func (o Outdated) Restartable() []string {
	var all []string
	for _, unit := range o.Services {
		if !slices.Contains(o.Deferred, unit) {
			all = append(all, unit)
		}
	}
	return all
}

// readDeferred reads what needrestart says it would not restart: below one of two titles, the
// commands that a person would type, such as " systemctl restart dbus.service".
func readDeferred(out string) (units []string) {
	below := false
	for line := range strings.Lines(out) {
		switch text := strings.TrimSpace(line); {
		case strings.HasPrefix(text, "Service restarts being "):
			below = true
		case text == "" || !strings.HasPrefix(line, " "):
			below = false
		case below:
			for _, word := range strings.Fields(text) {
				units = append(units, filepath.Base(word))
			}
		}
	}
	return units
}

// readOutdated reads needrestart's batch mode (README.batch.md of needrestart). Its state of the
// kernel is 1 for current, 2 for a newer build of the same version, and 3 for a newer version.
func readOutdated(out string) Outdated {
	var o Outdated
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "NEEDRESTART-SVC":
			if !strings.HasPrefix(value, "user@") {
				o.Services = append(o.Services, value)
			}
		case "NEEDRESTART-KCUR":
			o.Running = value
		case "NEEDRESTART-KEXP":
			o.Expected = value
		case "NEEDRESTART-KSTA":
			o.Kernel = value == "2" || value == "3"
		}
	}
	return o
}

// RestartRest lets needrestart restart what it thinks can be restarted.
func (s System) RestartRest(ctx context.Context) error {
	_, err := s.needrestart(ctx, "-r", "a")
	return err
}

func (s System) needrestart(ctx context.Context, args ...string) (string, error) {
	path := s.path(needrestartPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if err := renameio.WriteFile(path, []byte(judgement), 0o600, renameio.IgnoreUmask()); err != nil {
		return "", err
	}
	// It is DEBIAN_FRONTEND that keeps its procedure for D-Bus from asking.
	out, err := s.Run(ctx, host.Command{Name: "needrestart", Args: append([]string{"-c", path}, args...),
		Env: []string{"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}})
	if err != nil {
		return "", fmt.Errorf("ask needrestart: %w", err)
	}
	return string(out), nil
}

// Active lists the units that run and fit the pattern, such as postgresql@17-*.service.
func (s System) Active(ctx context.Context, pattern string) ([]string, error) {
	return s.units(ctx, "--state=active", pattern)
}

// Enabled says whether a package may start the unit, as deb-systemd-invoke(1p) decides it: not one
// that someone has disabled, nor a static one. Of a unit made from an init script systemd does not know.
func (s System) Enabled(ctx context.Context, unit string) (bool, error) {
	out, err := s.ask(ctx, "systemctl", "show", "--property=UnitFileState", "--value", unit)
	if err != nil {
		return false, fmt.Errorf("ask whether %s is enabled: %w", unit, err)
	}
	state := strings.TrimSpace(out)
	return strings.HasPrefix(state, "enabled") || state == "generated", nil
}

// Failed lists the units that failed.
func (s System) Failed(ctx context.Context) ([]string, error) {
	return s.units(ctx, "--state=failed")
}

// Timers lists the timers of ours that are on.
func (s System) Timers(ctx context.Context) ([]string, error) {
	return s.units(ctx, "--state=active", "townsquare-*.timer")
}

func (s System) units(ctx context.Context, args ...string) ([]string, error) {
	out, err := s.ask(ctx, "systemctl", append([]string{"list-units", "--plain", "--no-legend", "--full"}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	var names []string
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); len(words) > 0 {
			names = append(names, words[0])
		}
	}
	slices.Sort(names)
	return names, nil
}

// Restart restarts a unit and waits; what a crash loop left in systemd is cleared first.
func (s System) Restart(ctx context.Context, unit string) error {
	if _, err := s.ask(ctx, "systemctl", "reset-failed", unit); err != nil {
		var exit *host.ExitError
		if !errors.As(err, &exit) { // it is not loaded, which means nothing to us
			return err
		}
	}
	return s.systemctl(ctx, "restart", unit)
}

// Start starts a unit and waits.
func (s System) Start(ctx context.Context, unit string) error { return s.systemctl(ctx, "start", unit) }

// Reload makes a unit read its configuration anew.
func (s System) Reload(ctx context.Context, unit string) error {
	return s.systemctl(ctx, "reload", unit)
}

// Stop stops a unit and waits.
func (s System) Stop(ctx context.Context, unit string) error { return s.systemctl(ctx, "stop", unit) }

func (s System) systemctl(ctx context.Context, verb, unit string) error {
	const limit = 3 * time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took more than %s", printable.Duration(limit)))
	defer cancel()
	if _, err := s.ask(ctx, "systemctl", verb, unit); err != nil {
		return fmt.Errorf("%s %s: %w", verb, unit, err)
	}
	return nil
}
