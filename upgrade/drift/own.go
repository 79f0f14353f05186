package drift

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"townsquare/upgrade/host"
	"townsquare/upgrade/state"
)

// Own is what this program keeps on a host itself, whether a stack made it or not: unattended runs,
// backups and recovery hang on it.
type Own struct {
	Installed bool         // this program has installed a version of Mattermost here
	Timers    []host.Timer // that should be on
	Backups   bool         // a repository is configured
	URL       string       // the stack's address of the site
}

// OwnOf returns what this program should keep on a host with this record and configuration.
func OwnOf(root string, record *state.State, config state.Config) Own {
	own := Own{Installed: record.Active != "", Backups: config.Backup.Repository != "", URL: config.URL}
	if own.Installed || host.HasTimers(root) { // the first apply sets the timers
		own.Timers = host.WantedTimers(root, config)
	}
	return own
}

func (h Host) service() host.Service { return host.Service{Run: h.Run} }

// compareOwn asks systemd about this program's own units, and looks at the files that hold secrets.
func (c *Comparison) compareOwn(ctx context.Context, accounts accounts, own Own) error {
	timers, err := c.host.service().Timers(ctx, c.host.Root, own.Timers)
	if err != nil {
		return err
	}
	for _, t := range timers {
		if off := t.Off(); off != "" {
			c.add(Difference{Kind: KindUnit, Name: t.Name + ".timer", Found: off})
			c.timers = own.Timers
		}
	}
	if own.Installed {
		found, err := c.host.service().Guarded(ctx)
		if err != nil {
			return err
		}
		if found != "" {
			c.add(Difference{Kind: KindUnit, Name: host.RecoveryUnit, Found: found})
			c.recovery = true
		}
	}
	return c.compareSecrets(accounts, own)
}

// secretFiles are root's alone.
var secretFiles = []string{state.BackupPassword, state.BackupCredentials, state.BackupKey, state.NotifyFile, state.EnvFile, state.AdminFile}

func (c *Comparison) compareSecrets(accounts accounts, own Own) error {
	for _, path := range secretFiles {
		info, err := os.Lstat(c.host.path(path))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if path == state.BackupPassword && own.Backups {
				c.add(Difference{Kind: KindFile, Name: path, Found: "is missing: no backup can be made",
					Left: "only the stack has it", Risk: "no backups", Hint: "upgrade apply …"})
			}
			continue
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			c.add(Difference{Kind: KindFile, Name: path, Found: "is not a regular file", Left: "its content is not known",
				Risk: "it may be another account's", Hint: "sudo ls -ld " + path})
			continue
		}
		if found := accounts.attributes(info, "root", "root", 0o600); found != "" {
			c.add(Difference{Kind: KindFile, Name: path, Found: found})
			c.secrets = append(c.secrets, path)
		}
	}
	return nil
}

// protect gives files that hold secrets back to root alone.
func (c *Comparison) protect(accounts accounts) error {
	if len(c.secrets) == 0 {
		return nil
	}
	uid, gid, missing := accounts.ids("root", "root")
	if missing != "" {
		return fmt.Errorf("the account %s is missing", missing)
	}
	for _, path := range c.secrets {
		file, err := os.OpenFile(c.host.path(path), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		err = errors.Join(file.Chown(int(uid), int(gid)), file.Chmod(0o600), file.Close())
		if err != nil {
			return fmt.Errorf("protect %s: %w", path, err)
		}
	}
	return nil
}

// switchOwn enables this program's own units.
func (c *Comparison) switchOwn(ctx context.Context) error {
	if c.recovery {
		if err := c.host.service().Guard(ctx, c.host.Root, host.GuardedService(c.host.Root)); err != nil {
			return err
		}
	}
	if c.timers == nil {
		return nil
	}
	_, err := c.host.service().SetTimers(ctx, c.host.Root, c.timers)
	return err
}
