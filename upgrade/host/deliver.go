package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/google/renameio/v2"

	"townsquare/upgrade/notify"
	"townsquare/upgrade/state"
)

// Delivery is what the operator's side brings to the host, over the stdin of SSH: it holds secrets.
// What is empty stays as it is on the host, so a server that someone else set up keeps its own.
type Delivery struct {
	Config      *state.Config `json:"config,omitempty"`
	SiteURL     string        `json:"site_url,omitempty"`
	DatabaseURL string        `json:"database_url,omitempty"` // of the application's role
	AdminURL    string        `json:"admin_url,omitempty"`    // of the upgrader's role
	CA          string        `json:"ca,omitempty"`           // PEM, of a managed database

	BackupPassword    string         `json:"backup_password,omitempty"`
	BackupCredentials string         `json:"backup_credentials,omitempty"` // AWS's shared credentials file
	BackupKey         string         `json:"backup_key,omitempty"`         // private SSH key
	Desired           *state.Desired `json:"desired,omitempty"`            // how first boot makes the host
	Notify            *notify.Config `json:"notify,omitempty"`             // whom the host tells what it did; an empty one: nobody, unless somebody on the host says so

	Replace bool `json:"-"` // the server's database, where it is lost, by the delivered one: a restore follows
}

// Secrets lists what must never be seen.
func (d Delivery) Secrets() []string {
	all := append([]string{d.DatabaseURL, d.AdminURL, d.BackupPassword, d.BackupCredentials, d.BackupKey}, values(d.BackupCredentials)...)
	if d.Notify != nil {
		all = append(all, d.Notify.Secrets()...)
	}
	return all
}

// values are what stands behind the equals signs of a credentials file.
func values(credentials string) []string {
	var found []string
	for line := range strings.Lines(credentials) {
		if _, value, ok := strings.Cut(line, "="); ok {
			found = append(found, strings.TrimSpace(value))
		}
	}
	return found
}

// Write puts the files below root ("/" but in tests) and returns those that it changed. A file
// that is as it should be, mode included, is not touched.
//
// It refuses to point a server that is installed to another database, with a problem.List: at its
// next start it would find nothing of what users wrote. With Replace it does so where the old one does
// not answer.
func (d Delivery) Write(root string) ([]string, error) {
	files, err := d.pending(root)
	if err != nil {
		return nil, err
	}
	var changed []string
	for _, f := range files {
		path := filepath.Join(root, f.path)
		if f.data == nil {
			if err := os.Remove(path); err != nil {
				return changed, err
			}
			changed = append(changed, f.path)
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return changed, err
		}
		if err := renameio.WriteFile(path, f.data, f.mode, renameio.IgnoreUmask()); err != nil {
			return changed, fmt.Errorf("write %s: %w", f.path, err)
		}
		changed = append(changed, f.path)
	}
	return changed, nil
}

// Changes tells whether Write would change anything.
func (d Delivery) Changes(root string) (bool, error) {
	files, err := d.pending(root)
	return len(files) > 0, err
}

// pending are the files that are not as they should be.
func (d Delivery) pending(root string) ([]file, error) {
	if err := d.sameDatabase(root); err != nil {
		return nil, err
	}
	if err := d.keepSite(root); err != nil {
		return nil, err
	}
	if d.Config != nil {
		if err := d.keepOwn(filepath.Join(root, state.ConfigFile)); err != nil {
			return nil, err
		}
	}
	files, err := d.files()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if f.path == state.DesiredFile {
			first, err := firstFollowed(root, f.data)
			if err != nil {
				return nil, err
			}
			files = append(first, files...) // before what it may be a copy of is replaced
			break
		}
	}
	var differ []file
	for _, f := range files {
		same, err := isSame(filepath.Join(root, f.path), f)
		if err != nil {
			return nil, err
		}
		if !same {
			differ = append(differ, f)
		}
	}
	return differ, nil
}

// head stands above what must not be changed on the host.
const head = "# Written by upgrade from the stack's outputs: change it there.\n"

type file struct {
	path string
	data []byte // nil: it is to go, if it was written from here
	mode fs.FileMode
}

func (d Delivery) files() ([]file, error) {
	var files []file
	if d.Config != nil {
		data, err := yaml.Marshal(d.Config)
		if err != nil {
			return nil, err
		}
		files = append(files, file{state.ConfigFile, append([]byte(head), data...), 0o600})
	}
	if d.Notify != nil {
		data, err := yaml.Marshal(d.Notify)
		if err != nil {
			return nil, err
		}
		tell := file{state.NotifyFile, append([]byte(head), data...), 0o600}
		if string(data) == "{}\n" {
			tell.data = nil
		}
		files = append(files, tell)
	}
	if d.Desired != nil {
		data, err := json.MarshalIndent(d.Desired, "", "  ")
		if err != nil {
			return nil, err
		}
		files = append(files, file{state.DesiredFile, append(data, '\n'), 0o600})
	}
	if d.CA != "" {
		files = append(files, file{state.CAFile, []byte(strings.TrimSpace(d.CA) + "\n"), 0o644})
	}
	if d.DatabaseURL != "" {
		source, err := d.verified(d.DatabaseURL)
		if err != nil {
			return nil, fmt.Errorf("database URL: %w", err)
		}
		var env bytes.Buffer
		for _, kv := range [][2]string{
			{"MM_SQLSETTINGS_DRIVERNAME", "postgres"},
			{"MM_SQLSETTINGS_DATASOURCE", source},
			{"MM_SERVICESETTINGS_SITEURL", d.SiteURL},
			{"MM_SERVICESETTINGS_LISTENADDRESS", "127.0.0.1:8065"},
		} {
			if kv[1] != "" {
				fmt.Fprintf(&env, "%s=%s\n", kv[0], quoteEnv(kv[1]))
			}
		}
		files = append(files, file{state.EnvFile, env.Bytes(), 0o600})
	}
	if d.AdminURL != "" {
		admin, err := d.verified(d.AdminURL)
		if err != nil {
			return nil, fmt.Errorf("database admin URL: %w", err)
		}
		files = append(files, file{state.AdminFile, []byte(admin + "\n"), 0o600})
	}
	for _, secret := range [][2]string{
		{state.BackupPassword, d.BackupPassword}, {state.BackupCredentials, d.BackupCredentials}, {state.BackupKey, d.BackupKey},
	} {
		if secret[1] != "" {
			files = append(files, file{secret[0], []byte(strings.TrimSpace(secret[1]) + "\n"), 0o600})
		}
	}
	return files, nil
}

// verified makes a connection to a managed database check the server's certificate against the
// cluster's own CA. The error never shows the URL: it holds a password.
func (d Delivery) verified(source string) (string, error) {
	if d.CA == "" {
		return source, nil
	}
	u, err := url.Parse(source)
	if err != nil {
		return "", errors.New("is no URL")
	}
	query := u.Query()
	query.Set("sslmode", "verify-full")
	query.Set("sslrootcert", state.CAFile)
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// quoteEnv writes a value for an EnvironmentFile (systemd.exec(5)): plain where that is safe,
// otherwise in double quotes with the four characters escaped that mean something there.
func quoteEnv(value string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%:/?&=.,+~-"
	if strings.Trim(value, plain) == "" {
		return value
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`).Replace(value) + `"`
}

func isSame(path string, f file) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f.data == nil, nil
	}
	if err != nil {
		return false, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	if f.data == nil {
		return !bytes.HasPrefix(data, []byte(head)), nil
	}
	return info.Mode().Perm() == f.mode && bytes.Equal(data, f.data), nil
}
