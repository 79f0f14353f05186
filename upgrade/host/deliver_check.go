package host

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// installed is where a server is, once there is one.
const installed = "/opt/mattermost"

// sameDatabase compares host, port and name of the database that an installed server uses with
// those that are delivered; role, password and options may change.
func (d Delivery) sameDatabase(root string) error {
	if d.DatabaseURL == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(root, installed)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(root, state.EnvFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), "MM_SQLSETTINGS_DATASOURCE=")
		if !ok {
			continue
		}
		now, next := place(unquoteEnv(value)), place(d.DatabaseURL)
		if now == next {
			return nil
		}
		return problem.List{{Where: "databaseUrl", Found: "the database " + next, Allowed: "the one that the server uses, " + now,
			Hint: "once its data is moved, or where it is lost and a restore follows, on the server: sudo rm " + state.EnvFile}}
	}
	return nil
}

// place is host, port and name of the database in a URL, and nothing secret.
func place(source string) string {
	u, err := url.Parse(source)
	if err != nil {
		return "[not a URL]"
	}
	where, port := u.Hostname(), u.Port()
	if where == "" {
		where = u.Query().Get("host")
	}
	if port == "" {
		port = "5432"
	}
	return where + ":" + port + "/" + strings.TrimPrefix(u.Path, "/")
}

// keepOwn takes over what only the host's own file says: a stack has no such settings, so its
// delivery is no reason to forget them. A file that does not parse is replaced.
func (d Delivery) keepOwn(path string) error {
	own, err := state.LoadConfig(path)
	var list problem.List
	if errors.As(err, &list) {
		return nil
	}
	if err != nil {
		return err
	}
	c := d.Config
	if c.Skip == nil {
		c.Skip = own.Skip
	}
	if c.Elsewhere == nil {
		c.Elsewhere = own.Elsewhere
	}
	if c.Watch == 0 {
		c.Watch = own.Watch
	}
	if c.Patience == 0 {
		c.Patience = own.Patience
	}
	if c.Migrations == "" {
		c.Migrations = own.Migrations
	}
	if c.Backup.Repository == "" {
		c.Backup = own.Backup
	}
	if c.Backup.StaleAfter == 0 {
		c.Backup.StaleAfter = own.Backup.StaleAfter
	}
	return nil
}

// Merged returns the delivered configuration with the keys that only the server's own file has, as Write
// would write it.
func (d Delivery) Merged(root string) (state.Config, error) {
	config := *d.Config
	d.Config = &config
	err := d.keepOwn(filepath.Join(root, state.ConfigFile))
	return config, err
}

// unquoteEnv is the other way of quoteEnv.
func unquoteEnv(value string) string {
	inner, ok := strings.CutPrefix(value, `"`)
	if !ok {
		return value
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`, "\\`", "`", `\$`, `$`).Replace(strings.TrimSuffix(inner, `"`))
}
