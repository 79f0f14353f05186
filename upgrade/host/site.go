package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/state"
)

const siteKey = "MM_SERVICESETTINGS_SITEURL="

// SiteURL returns the address that Mattermost is started with, where a stack has brought one; else it is
// empty.
func SiteURL(root string) (string, error) {
	site, _, err := environment(root, siteKey)
	return site, err
}

// environment returns a variable of the service's environment as it was delivered, by its name with "=",
// and whether it is set.
func environment(root, key string) (value string, set bool, err error) {
	data, err := os.ReadFile(filepath.Join(root, state.EnvFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	for line := range strings.Lines(string(data)) {
		if value, set := strings.CutPrefix(strings.TrimSpace(line), key); set {
			return unquoteEnv(value), true, err
		}
	}
	return "", false, err
}

// SetSiteURL writes another one, which counts from the next start. It is idempotent.
func SetSiteURL(root, url string) error {
	path := filepath.Join(root, state.EnvFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var env strings.Builder
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, siteKey) {
			line = siteKey + quoteEnv(url) + "\n"
		}
		env.WriteString(line)
	}
	if err := renameio.WriteFile(path, []byte(env.String()), 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write %s: %w", state.EnvFile, err)
	}
	return nil
}

// keepSite leaves an installed server at its address: another one needs its certificate first, which is
// for a repair. See phase.RepairSite.
func (d *Delivery) keepSite(root string) error {
	if _, err := os.Stat(filepath.Join(root, installed)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	site, err := SiteURL(root)
	if site != "" {
		d.SiteURL = site
	}
	return err
}

// firstFollowed is what a server followed that does not know yet: what it was told before, or is told now.
func firstFollowed(root string, now []byte) ([]file, error) {
	if _, err := os.Stat(filepath.Join(root, state.FollowedFile)); !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	before, err := os.ReadFile(filepath.Join(root, state.DesiredFile))
	if errors.Is(err, fs.ErrNotExist) {
		before, err = now, nil
	}
	return []file{{state.FollowedFile, before, 0o600}}, err
}
