package mattermost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/internal/durable"
)

// Config is Mattermost's configuration as the server sees it: the file, or the row in its
// database, with MM_* variables on top, which win and are never written to either.
type Config struct {
	Path       string // of the file; empty when InDatabase
	Exists     bool   // false before the first start: the server makes the file
	InDatabase bool   // MM_CONFIG or --config is a database URL
	source     string // that URL
	settings   map[string]any
	env        map[string]string
}

// load reads the configuration where it is.
func (c *Config) load(ctx context.Context, u *Unit) error {
	if !c.InDatabase {
		return c.read()
	}
	db, err := ParseDSN(c.source, u.User)
	if err != nil {
		return err
	}
	return c.readFromDatabase(ctx, db)
}

// read reads the file; one that is not there yet leaves Exists false.
func (c *Config) read() error {
	data, err := os.ReadFile(c.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	c.Exists = true
	return c.parse(data)
}

func (c *Config) parse(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&c.settings); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
			return fmt.Errorf("read the configuration: %s, line %d: %w", c.where(), line, err)
		}
		return fmt.Errorf("read the configuration: %s: %w", c.where(), err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the configuration: %s: something follows the closing brace", c.where())
	}
	return nil
}

func (c *Config) where() string {
	if c.InDatabase {
		return "table configurations"
	}
	return c.Path
}

// readFromDatabase reads the active row of the configuration that lives in the database.
func (c *Config) readFromDatabase(ctx context.Context, db *Database) error {
	conn, err := db.Connect(ctx)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	defer conn.Close(ctx)
	var value string
	if err := conn.QueryRow(ctx, "select value from configurations where active").Scan(&value); err != nil {
		return fmt.Errorf("read the configuration from the database: %w", err)
	}
	c.Exists = true
	return c.parse([]byte(value))
}

// Reread reads the file again, as it is now. A configuration in the database is returned as it was.
func (c *Config) Reread() (*Config, error) {
	if c.InDatabase {
		return c, nil
	}
	again := &Config{Path: c.Path, env: c.env, settings: map[string]any{}}
	return again, again.read()
}

// Bytes is the configuration as a config.json, without what the environment says.
func (c *Config) Bytes() ([]byte, error) { return json.MarshalIndent(c.settings, "", "    ") }

// Get is the value of a setting such as "SqlSettings.DriverName": what MM_SQLSETTINGS_DRIVERNAME
// says, else what the file says.
func (c *Config) Get(key string) (any, bool) {
	if v, ok := c.env["MM_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))]; ok {
		return v, true
	}
	var at any = c.settings
	for _, part := range strings.Split(key, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = m[part]; !ok {
			return nil, false
		}
	}
	return at, true
}

// String is a setting as text; empty when it is not set.
func (c *Config) String(key string) string {
	v, _ := c.Get(key)
	switch v := v.(type) {
	case string:
		return v
	case nil:
		return ""
	default:
		return fmt.Sprint(v)
	}
}

// Bool is a setting as a yes or no; no when it is not set.
func (c *Config) Bool(key string) bool {
	b, err := strconv.ParseBool(c.String(key))
	return err == nil && b
}

// listen is the port the server listens on, and where its API is reached from this host.
func (c *Config) listen() (port int, h Health, err error) {
	address := c.String("ServiceSettings.ListenAddress")
	if address == "" {
		address = ":8065"
	}
	name, portText, err := net.SplitHostPort(address)
	if err != nil {
		return 0, h, fmt.Errorf("ServiceSettings.ListenAddress %q: %w", address, err)
	}
	if portText == "http" || portText == "https" {
		portText = map[string]string{"http": "80", "https": "443"}[portText]
	}
	if port, err = strconv.Atoi(portText); err != nil || port < 1 || port > 65535 {
		return 0, h, fmt.Errorf("ServiceSettings.ListenAddress %q: %q is no port", address, portText)
	}
	if ip := net.ParseIP(name); name == "" || (ip != nil && ip.IsUnspecified()) {
		name = "127.0.0.1"
	}
	site, err := url.Parse(c.String("ServiceSettings.SiteURL"))
	if err != nil {
		return 0, h, fmt.Errorf("ServiceSettings.SiteURL: %w", err)
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(name, strconv.Itoa(port)), Path: strings.TrimSuffix(site.Path, "/")}
	if strings.EqualFold(c.String("ServiceSettings.ConnectionSecurity"), "TLS") {
		u.Scheme = "https"
		h.ServerName = site.Hostname()
	}
	h.URL = u.String()
	return port, h, nil
}

// Listen is where the server listens, and where its API is reached from this host.
func (c *Config) Listen() (port int, h Health, err error) { return c.listen() }

// CopyConfig keeps the configuration at path as copyPath, readable by root only.
func CopyConfig(path, copyPath string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("copy the configuration: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(copyPath), 0o700); err != nil {
		return fmt.Errorf("copy the configuration: %w", err)
	}
	if err := renameio.WriteFile(copyPath, data, 0o600, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("copy the configuration: %w", err)
	}
	return durable.SyncDir(filepath.Dir(copyPath))
}

// PutBackConfig writes the copy to path, with the owner and mode that the file there has, or when
// it is gone those of its directory and 0600. Doing it twice is the same as once. On a full disk the
// file that is there gives its own room: the copy is the safe one until the run is closed.
func PutBackConfig(copyPath, path string) error {
	data, err := os.ReadFile(copyPath)
	if err != nil {
		return fmt.Errorf("put the configuration back: %w", err)
	}
	mode := fs.FileMode(0o600)
	info, err := os.Stat(path)
	if err == nil {
		mode = info.Mode().Perm()
	} else if info, err = os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("put the configuration back: %w", err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	// The owner must be right before the name is: the server may start at any moment after.
	real := path
	if target, err := filepath.EvalSymlinks(path); err == nil {
		// A link of root's is the administrator's wish; one of the service's could lead anywhere.
		link, err := os.Lstat(path)
		if err != nil {
			return fmt.Errorf("put the configuration back: %w", err)
		}
		if link.Mode()&fs.ModeSymlink == 0 || link.Sys().(*syscall.Stat_t).Uid == 0 {
			real = target
		}
	}
	err = replaceConfig(real, data, mode, owner)
	if errors.Is(err, syscall.ENOSPC) {
		err = overwrite(real, data)
	}
	if err != nil {
		return fmt.Errorf("put the configuration back: %w", err)
	}
	return durable.SyncDir(filepath.Dir(real))
}

// replaceConfig makes the file anew beside itself, so that the server finds the one or the other.
func replaceConfig(path string, data []byte, mode fs.FileMode, owner *syscall.Stat_t) error {
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(mode), renameio.IgnoreUmask())
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }() // nothing is left of it once it was renamed
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Chown(int(owner.Uid), int(owner.Gid)); err != nil && os.Geteuid() == 0 {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// overwrite writes data in the place of what the file holds; the blocks that it has are used again. A
// link of the service's could lead anywhere, and is refused.
func overwrite(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Sys().(*syscall.Stat_t).Nlink != 1 {
		return fmt.Errorf("%s has another name as well: not written", path)
	}
	if _, err := file.WriteAt(data, 0); err != nil {
		return err
	}
	if err := file.Truncate(int64(len(data))); err != nil {
		return err
	}
	return file.Sync()
}
