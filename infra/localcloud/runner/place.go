package runner

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/spaces"
)

// place is where the engine keeps everything of one local cloud: its state, configuration, and the
// secrets that are made once for the cloud. `localcloud down` removes it with the rest.
type place struct{ cloud *network.Cloud }

func (p place) project() string { return filepath.Join(p.cloud.Dir, "pulumi") }

func (p place) backend() string { return filepath.Join(p.project(), "backend") }

func (p place) home() string { return filepath.Join(p.project(), "home") }

func (p place) plugins() string { return filepath.Join(p.project(), "plugins") }

func (p place) secrets() string { return filepath.Join(p.cloud.Dir, "secrets") }

func (p place) passphrase() string { return filepath.Join(p.secrets(), "passphrase") }

// OperatorKey is the private key that the demo and the tests log in with, in OpenSSH's format.
func OperatorKey(cloud *network.Cloud) string {
	return filepath.Join(place{cloud}.secrets(), "ops_ed25519")
}

// hostKey is the server's own key, which is known before the server exists.
func (p place) hostKey() string { return filepath.Join(p.secrets(), "host_ed25519") }

// backupPassword is what the backups are encrypted with.
func (p place) backupPassword() string { return filepath.Join(p.secrets(), "backup-password") }

// token stands for the account's API token, which every stack must have.
func (p place) token() string { return filepath.Join(p.secrets(), "token") }

// backups are the secrets that a stack with off-site backups needs, by the key of its configuration.
func (p place) backups() map[string]string {
	id, secret := spaces.KeyFiles(p.cloud)
	return map[string]string{
		"townsquare:backupPassword":    p.backupPassword(),
		"digitalocean:spacesAccessId":  id,
		"digitalocean:spacesSecretKey": secret,
	}
}

// Environment is what a program needs to find the stacks of a cloud: `pulumi stack output` shows
// them from any folder that has Townsquare's Pulumi.yaml.
func Environment(cloud *network.Cloud) map[string]string {
	p := place{cloud}
	return map[string]string{
		"TOWNSQUARE_CLOUD":              cloud.Name,
		"PULUMI_BACKEND_URL":            "file://" + p.backend(),
		"PULUMI_CONFIG_PASSPHRASE_FILE": p.passphrase(),
		"PULUMI_HOME":                   p.home(),
		// The engine would look for a newer one of itself: there is no way out of a local cloud.
		"PULUMI_SKIP_UPDATE_CHECK":                    "true",
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
	}
}

// prepare makes the directories, readable by root only, and the secrets that are not there yet.
func (p place) prepare() error {
	for _, dir := range []string{p.backend(), p.home(), p.plugins(), p.secrets()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("prepare the engine's directory: %w", err)
		}
	}
	if _, err := spaces.FullKey(p.cloud); err != nil {
		return err
	}
	for _, path := range []string{p.backupPassword(), p.passphrase(), p.token()} {
		if err := once(path, newPassword); err != nil {
			return err
		}
	}
	for _, key := range []string{p.hostKey(), OperatorKey(p.cloud)} {
		if err := once(key, newKey); err != nil {
			return err
		}
	}
	return nil
}

func newPassword() ([]byte, error) {
	random := make([]byte, 32)
	rand.Read(random) // never fails
	return []byte(hex.EncodeToString(random)), nil
}

// once writes a secret unless there is one: another would lock out whoever knows the first.
func once(path string, create func() ([]byte, error)) error {
	_, err := os.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	secret, err := create()
	if err == nil {
		err = renameio.WriteFile(path, secret, 0o600)
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return nil
}
