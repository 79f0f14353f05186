package mattermost

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// findConfig returns where the service in u, installed in dir, reads its configuration.
func findConfig(u *Unit, dir string) *Config {
	return configAt(u, u.Env, u.workDir(dir), filepath.Join(dir, "bin"))
}

// configAt returns where a server of u that works in cwd, with its program in bin, reads its configuration.
// Rule: `mattermost --config`: a database URL, an absolute path, or a name that searchConfig finds.
func configAt(u *Unit, env map[string]string, cwd, bin string) *Config {
	c := &Config{user: u.User, env: settingsIn(env), settings: map[string]any{}}
	flag := u.ConfigFlag()
	switch {
	case strings.HasPrefix(flag, "postgres://"), strings.HasPrefix(flag, "postgresql://"), strings.HasPrefix(flag, "mysql://"):
		c.InDatabase, c.source = true, flag
	case filepath.IsAbs(flag):
		c.Path = flag
	case flag != "":
		c.Path = searchConfig(flag, cwd, bin)
	default:
		c.Path = searchConfig("config.json", cwd, bin)
	}
	return c
}

// searchConfig looks for a configuration as the server does: below the working directory and its
// parents, then below the program's. One that exists nowhere would be made in the first directory that
// is called config.
// Source: resolveConfigFilePath in server/config/file.go, FindPath in utils/fileutils.
func searchConfig(name, cwd, bin string) string {
	file := func(info fs.FileInfo) bool { return !info.IsDir() }
	for _, below := range []string{filepath.Join("channels", "config", name), filepath.Join("config", name)} {
		if found := searchUp(below, cwd, bin, 4, file); found != "" {
			return found
		}
	}
	if found := searchUp(name, cwd, bin, 0, func(fs.FileInfo) bool { return true }); found != "" {
		return found
	}
	if found := searchUp("config", cwd, bin, 4, fs.FileInfo.IsDir); found != "" {
		return filepath.Join(found, name)
	}
	return filepath.Join(filepath.Dir(bin), "config", name)
}

// searchUp looks for path below cwd, below bin, and below as many parents of each.
func searchUp(path, cwd, bin string, parents int, wanted func(fs.FileInfo) bool) string {
	for _, from := range []string{cwd, bin} {
		for up := 0; up <= parents; up++ {
			found := filepath.Join(from, strings.Repeat("../", up), path)
			if info, err := os.Stat(found); err == nil && wanted(info) {
				return found
			}
		}
	}
	return ""
}

// settingsIn is env with the names of settings in capitals, as the server reads them.
func settingsIn(env map[string]string) map[string]string {
	all := make(map[string]string, len(env))
	for k, v := range env {
		if upper := strings.ToUpper(k); strings.HasPrefix(upper, "MM") {
			k = upper
		}
		all[k] = v
	}
	return all
}

// workDir is the directory that the service, installed in dir, works in.
func (u *Unit) workDir(dir string) string {
	switch {
	case u.WorkDir == "" || sameFile(u.WorkDir, dir):
		return dir
	case u.WorkDir == "~":
		if who, err := user.Lookup(u.User); err == nil {
			return who.HomeDir
		}
	}
	return u.WorkDir
}

// sameFile reports whether two paths lead to one file.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
