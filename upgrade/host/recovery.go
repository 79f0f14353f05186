package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/state"
)

// RecoveryUnit puts an unfinished run back when the host comes up again.
const RecoveryUnit = "townsquare-recover.service"

const recoveryPath = "/etc/systemd/system/" + RecoveryUnit

// ExitLater is the exit status of a recovery that must be tried again: the database did not answer.
const ExitLater = 75 // EX_TEMPFAIL of sysexits.h

// recovery comes before the service, so that nobody writes to a version that is half put in, and
// after what putting back needs. Ordering is all: a recovery that fails does not hold the boot up.
// One that is killed, hangs or must wait is started again, at a boot with the service still waiting
// (RestartMode=direct), but not one that failed: that needs an operator. Before systemd 254 the service
// starts after the first try; traffic is held by then, until one succeeds or gives up.
const recovery = `[Unit]
Description=Put an unfinished upgrade of Mattermost back
ConditionPathExists=%[1]s
Wants=network-online.target
After=network-online.target local-fs.target postgresql.service
Before=%[2]s
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=%[3]s host recover --boot
TimeoutStartSec=%[4]d
WatchdogSec=%[4]d
TimeoutAbortSec=%[5]d
Restart=on-failure
RestartMode=direct
RestartSec=5
RestartPreventExitStatus=1 2 3 5
OOMScoreAdjust=-900

[Install]
WantedBy=multi-user.target
`

// GuardedService is the service that the recovery unit comes before.
func GuardedService(root string) string {
	unit, _ := os.ReadFile(filepath.Join(root, recoveryPath))
	for line := range strings.Lines(string(unit)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Before="); ok {
			return name
		}
	}
	return "mattermost.service"
}

// Guarded returns how the recovery unit differs from one that starts at the next boot; empty when it does not.
func (s Service) Guarded(ctx context.Context) (string, error) {
	facts, err := s.show(ctx, "LoadState,UnitFileState", RecoveryUnit)
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", RecoveryUnit, err)
	}
	switch unit := facts[RecoveryUnit]; {
	case unit["UnitFileState"] == "enabled":
		return "", nil
	case unit["LoadState"] == "not-found":
		return "is missing", nil
	case unit["LoadState"] == "masked":
		return "is masked", nil
	}
	return "is not enabled at boot", nil
}

// Guard writes and enables the recovery unit for the service, below root ("/" but in tests), unless
// it is there and enabled already.
func (s Service) Guard(ctx context.Context, root, service string) error {
	want := fmt.Appendf(nil, recovery, state.Path, service, Upgrader, int(HungAfter.Seconds()), int(abortWithin.Seconds()))
	path := filepath.Join(root, recoveryPath)
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, want) {
		if found, err := s.Guarded(ctx); err != nil || found == "" {
			return err
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := renameio.WriteFile(path, want, 0o644, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", "--quiet", RecoveryUnit}} {
		if _, err := s.Run(ctx, Command{Name: "systemctl", Args: args}); err != nil {
			_ = os.Remove(path) // the next run tries again
			return fmt.Errorf("enable %s: %w", RecoveryUnit, err)
		}
	}
	return nil
}
