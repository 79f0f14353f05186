package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// requiredPath is where Debian's packages ask for a reboot; beside it is the list of those that did.
const requiredPath = "/run/reboot-required"

// Reboot is whether the host must be restarted, and why.
type Reboot struct {
	Why   []string  `json:"why,omitempty"` // empty: it need not be
	Since time.Time `json:"since,omitzero"`
}

// Needed says whether there is a reason.
func (r Reboot) Needed() bool { return len(r.Why) > 0 }

// Reason is all of Why in one line.
func (r Reboot) Reason() string { return strings.Join(r.Why, "; ") }

// Reboot finds the reasons in what needrestart named and in what packages asked for.
func (s System) Reboot(o Outdated) (Reboot, error) {
	var r Reboot
	since := func(path string) {
		if info, err := os.Stat(s.path(path)); err == nil && (r.Since.IsZero() || info.ModTime().Before(r.Since)) {
			r.Since = info.ModTime().UTC()
		}
	}
	if o.Kernel {
		r.Why = append(r.Why, fmt.Sprintf("kernel %s runs, %s is installed", o.Running, o.Expected))
		since("/boot/vmlinuz-" + o.Expected)
	}
	if _, err := os.Stat(s.path(requiredPath)); err == nil {
		r.Why = append(r.Why, "asked for by "+s.requiredBy())
		since(requiredPath)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if len(o.Deferred) > 0 {
		r.Why = append(r.Why, "still running old files: "+strings.Join(o.Deferred, ", "))
	}
	return r, nil
}

func (s System) requiredBy() string {
	data, err := os.ReadFile(s.path(requiredPath + ".pkgs"))
	if names := strings.Fields(string(data)); err == nil && len(names) > 0 {
		return strings.Join(names, ", ")
	}
	return requiredPath
}

// StartReboot asks systemd to restart the host and returns at once.
func (s System) StartReboot(ctx context.Context) error {
	if _, err := s.ask(ctx, "systemctl", "reboot", "--no-wall"); err != nil {
		return fmt.Errorf("reboot: %w", err)
	}
	return nil
}
