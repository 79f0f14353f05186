package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Unit is the transient systemd unit that a run is. There is one at a time, by its name.
const Unit = "townsquare-upgrade.service"

const unitTitle = "Townsquare upgrade "

// How long systemd waits for a process without signs of life: one that it has told to stop, and one
// whose watchdog barked, which may still write down where it hangs.
const (
	stopWithin  = time.Minute
	abortWithin = 5 * time.Second
)

// Service starts and looks at the run's unit through run, which is Run but in tests.
type Service struct {
	Run func(ctx context.Context, c Command) ([]byte, error)
}

// ErrRunning says that a run's unit is there already.
var ErrRunning = errors.New("a run is in progress")

// Start starts argv as the run id, apart from whoever asked for it: it survives the end of the SSH
// session. It is the last to be killed when memory runs out, as it has a service to bring back. A
// stop, as at a shutdown, comes before the database and the service are stopped. One that shows no
// sign of life is ended. The error is ErrRunning when a run is in progress.
// In the end, however that came, after is run: a command line that looks whether all is in order;
// and if that ends badly, or is ended, RecoveryUnit looks again.
func (s Service) Start(ctx context.Context, id string, argv []string, after string) error {
	return s.start(ctx, id, argv, after, "--property=After=network-online.target postgresql.service mattermost.service")
}

// Resume is Start at boot, for a run that goes on. It waits for nobody, least of all for a service
// that does not come up, and nobody waits for it: whoever calls it comes before the service.
func (s Service) Resume(ctx context.Context, id string, argv []string, after string) error {
	return s.start(ctx, id, argv, after, "--no-block", "--property=After=network-online.target")
}

func (s Service) start(ctx context.Context, id string, argv []string, after string, order ...string) error {
	args := []string{
		"--unit=" + Unit, "--description=" + unitTitle + id, "--collect", "--quiet",
		"--service-type=notify",
		"--property=NotifyAccess=exec", // after shows signs of life as well
		"--property=TimeoutStartSec=1min",
		fmt.Sprintf("--property=WatchdogSec=%d", int(HungAfter.Seconds())),
		fmt.Sprintf("--property=TimeoutAbortSec=%d", int(abortWithin.Seconds())),
		fmt.Sprintf("--property=TimeoutStopSec=%d", int(stopWithin.Seconds())), // longer with signs of life
		"--property=OnFailure=" + RecoveryUnit,
		"--property=OOMScoreAdjust=-900",
		"--property=KillMode=mixed",
		"--property=UMask=0022",
		"--property=ExecStopPost=" + after,
	}
	args = append(append(args, order...), "--")
	// systemd may still hold a run that was killed, as failed, and would call the name taken.
	_, _ = s.Run(ctx, Command{Name: "systemctl", Args: []string{"reset-failed", Unit}}) // in vain where there is none
	_, err := s.Run(ctx, Command{Name: "systemd-run", Args: append(args, argv...)})
	var exit *ExitError
	if errors.As(err, &exit) && strings.Contains(exit.Stderr, "already") {
		return ErrRunning
	}
	if err != nil {
		return fmt.Errorf("start the run: %w", err)
	}
	return nil
}

// Running returns the id of the run in progress, or "" when there is none.
func (s Service) Running(ctx context.Context) (string, error) {
	out, err := s.Run(ctx, Command{Name: "systemctl", Args: []string{"show", Unit, "--property=ActiveState,Description"}})
	if err != nil {
		return "", err
	}
	facts := map[string]string{}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		facts[key] = value
	}
	id, ours := strings.CutPrefix(facts["Description"], unitTitle)
	switch facts["ActiveState"] {
	case "active", "activating", "deactivating", "reloading":
		if ours {
			return id, nil
		}
		return "", fmt.Errorf("%s is a unit of someone else: %q", Unit, facts["Description"])
	}
	return "", nil
}

// Stopping tells whether the host is shutting down.
func (s Service) Stopping(ctx context.Context) bool {
	out, _ := s.Run(ctx, Command{Name: "systemctl", Args: []string{"is-system-running"}}) // it fails for every state but one
	return strings.TrimSpace(string(out)) == "stopping"
}

// Interrupt asks the run in progress to end and to put everything back.
func (s Service) Interrupt(ctx context.Context) error { return s.signal(ctx, "SIGTERM") }

// End ends the run in progress at once, though it hangs; what is run after it puts everything back.
func (s Service) End(ctx context.Context) error { return s.signal(ctx, "SIGKILL") }

// signal reaches the run's main process only. Before systemd 252 the option has this name; later ones
// take it as short for --kill-whom.
func (s Service) signal(ctx context.Context, name string) error {
	_, err := s.Run(ctx, Command{Name: "systemctl", Args: []string{"kill", "--kill-who=main", "--signal=" + name, Unit}})
	return err
}
