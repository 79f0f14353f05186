package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/state"
)

// RecoveryUnit puts an unfinished run back when the host comes up again.
const RecoveryUnit = "townsquare-recover.service"

const recoveryPath = "/etc/systemd/system/" + RecoveryUnit

// recovery comes before the service, so that nobody writes to a version that is half put in, and
// after what putting back needs. Ordering is all: a recovery that fails does not hold the boot up.
const recovery = `[Unit]
Description=Put an unfinished upgrade of Mattermost back
ConditionPathExists=%s
Wants=network-online.target
After=network-online.target local-fs.target postgresql.service
Before=%s

[Service]
Type=oneshot
ExecStart=%s host recover --boot
TimeoutStartSec=35min
OOMScoreAdjust=-900

[Install]
WantedBy=multi-user.target
`

// Guard writes and enables the recovery unit for the service, below root ("/" but in tests), unless
// it is there already.
func (s Service) Guard(ctx context.Context, root, service string) error {
	want := fmt.Appendf(nil, recovery, state.Path, service, Upgrader)
	path := filepath.Join(root, recoveryPath)
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, want) {
		return nil
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
