package host

import (
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// installed is where a server is, once there is one.
const installed = "/opt/mattermost"

// sameDatabase refuses another database than the one of an installed server, unless that one is lost.
func (d Delivery) sameDatabase(root string) error {
	from, to, err := d.Moves(root)
	if err != nil || from == "" || d.Replace && !answers(from) {
		return err
	}
	found := problem.Problem{Where: "databaseUrl", Found: "the database " + to, Allowed: "the one that the server uses, " + from,
		Hint: "where that one is lost: upgrade restore latest --replace …    once its data is moved, on the server: sudo rm " + state.EnvFile}
	if d.Replace {
		found.Allowed += ", which still answers"
		found.Hint = "once its data is moved, on the server: sudo rm " + state.EnvFile
	}
	return problem.List{found}
}

// Moves names the database that an installed server uses and the one that is delivered, where host, port
// or name differ; role, password and options may change.
func (d Delivery) Moves(root string) (from, to string, err error) {
	if d.DatabaseURL == "" {
		return "", "", nil
	}
	if _, err := os.Stat(filepath.Join(root, installed)); errors.Is(err, fs.ErrNotExist) {
		return "", "", nil
	}
	source, set, err := environment(root, "MM_SQLSETTINGS_DATASOURCE=")
	if err != nil || !set {
		return "", "", err
	}
	if from, to = place(source), place(d.DatabaseURL); from != to {
		return from, to, nil
	}
	return "", "", nil
}

// answers reports whether a database server accepts connections at the place. One on this server, behind a
// socket, counts as there also while it is stopped: its data is on the volume.
func answers(place string) bool {
	if strings.HasPrefix(place, "/") {
		return true
	}
	address, _, _ := strings.Cut(place, "/")
	conn, err := net.DialTimeout("tcp", address, answerTimeout)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// answerTimeout is how long a lost database's address is tried.
const answerTimeout = 10 * time.Second

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
	return net.JoinHostPort(where, port) + "/" + strings.TrimPrefix(u.Path, "/")
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
