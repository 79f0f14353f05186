package base

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Mirror is where this computer gets Debian from.
type Mirror struct {
	Archive  string // base URL of the archive
	Security string // base URL of the security archive
	Proxy    string // apt's HTTP proxy; empty: none
	// Options are the apt options of this computer that a machine needs too,
	// such as not checking the age of a frozen mirror's index.
	Options map[string]string
}

// HostMirror reads apt's configuration in root ("/" for this computer).
func HostMirror(root string) (Mirror, error) {
	codename, err := codename(filepath.Join(root, "/etc/os-release"))
	if err != nil {
		return Mirror{}, err
	}
	sources, err := aptSources(filepath.Join(root, "/etc/apt"))
	if err != nil {
		return Mirror{}, err
	}
	var m Mirror
	for _, s := range sources {
		if s.uri, err = resolve(root, s.uri); err != nil {
			return Mirror{}, err
		}
		switch s.suite {
		case codename:
			if m.Archive == "" && s.has("main") {
				m.Archive = strings.TrimSuffix(s.uri, "/")
			}
		case codename + "-security":
			if m.Security == "" {
				m.Security = strings.TrimSuffix(s.uri, "/")
			}
		}
	}
	if m.Archive == "" {
		return Mirror{}, fmt.Errorf("read apt sources: no archive with suite %q and component main in %s/etc/apt; a local cloud takes Debian from where this computer does", codename, strings.TrimSuffix(root, "/"))
	}
	if m.Security == "" {
		// Mirrors carry both side by side.
		m.Security = m.Archive + "-security"
	}
	m.Options = aptOptions(root)
	m.Proxy = m.Options["Acquire::http::Proxy"]
	delete(m.Options, "Acquire::http::Proxy")
	return m, nil
}

// Schemes says how each host that a machine's apt may reach through the proxy
// is reached: http or https.
func (m Mirror) Schemes() map[string]string {
	schemes := map[string]string{}
	for _, raw := range []string{m.Archive, m.Security} {
		if u, err := url.Parse(raw); err == nil && u.Host != "" {
			schemes[u.Host] = u.Scheme
		}
	}
	return schemes
}

// seenByMachines is an archive's URL in a machine: always http, as the proxy
// can keep only what it can read. What apt trusts is Debian's signature.
func seenByMachines(archive string) string {
	if rest, ok := strings.CutPrefix(archive, "https://"); ok {
		return "http://" + rest
	}
	return archive
}

// resolve replaces a list of mirrors, as Debian's own cloud images have, by
// its first entry.
func resolve(root, uri string) (string, error) {
	path, ok := strings.CutPrefix(uri, "mirror+file:")
	if !ok {
		return uri, nil
	}
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return "", fmt.Errorf("read apt's list of mirrors: %w", err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		// After the URL there may be a tab and options.
		if fields := strings.Fields(line); len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
			return fields[0], nil
		}
	}
	return "", fmt.Errorf("read apt's list of mirrors: %s is empty", path)
}

func codename(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read which Debian this is: %w", err)
	}
	var id, name string
	for _, line := range strings.Split(string(data), "\n") {
		key, value, _ := strings.Cut(line, "=")
		value = strings.Trim(value, `"`)
		switch key {
		case "ID":
			id = value
		case "VERSION_CODENAME":
			name = value
		}
	}
	if id != "debian" || name == "" {
		return "", fmt.Errorf("this computer runs %q; a local cloud needs Debian 12 or 13", id)
	}
	return name, nil
}

type source struct {
	uri, suite string
	components []string
}

func (s source) has(component string) bool {
	for _, c := range s.components {
		if c == component {
			return true
		}
	}
	return false
}

// aptSources reads both formats of sources.list(5).
func aptSources(dir string) ([]source, error) {
	files := []string{filepath.Join(dir, "sources.list")}
	for _, pattern := range []string{"*.list", "*.sources"} {
		found, err := filepath.Glob(filepath.Join(dir, "sources.list.d", pattern))
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	var all []source
	for _, name := range files {
		data, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read apt sources: %w", err)
		}
		if strings.HasSuffix(name, ".sources") {
			all = append(all, deb822Sources(string(data))...)
		} else {
			all = append(all, lineSources(string(data))...)
		}
	}
	return all, nil
}

func lineSources(text string) []source {
	var all []source
	scanner := bufio.NewScanner(strings.NewReader(text))
	for scanner.Scan() {
		line, _, _ := strings.Cut(scanner.Text(), "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			_, rest, _ = strings.Cut(rest, "]")
		}
		fields := strings.Fields(rest)
		if len(fields) >= 3 {
			all = append(all, source{uri: fields[0], suite: fields[1], components: fields[2:]})
		}
	}
	return all
}

func deb822Sources(text string) []source {
	var all []source
	stanza := map[string]string{}
	flush := func() {
		defer clear(stanza)
		if stanza["enabled"] == "no" || !strings.Contains(" "+stanza["types"]+" ", " deb ") {
			return
		}
		for _, uri := range strings.Fields(stanza["uris"]) {
			for _, suite := range strings.Fields(stanza["suites"]) {
				all = append(all, source{uri: uri, suite: suite, components: strings.Fields(stanza["components"])})
			}
		}
	}
	last := ""
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			flush()
		case line[0] == ' ' || line[0] == '\t':
			stanza[last] += " " + strings.TrimSpace(line)
		default:
			key, value, _ := strings.Cut(line, ":")
			last = strings.ToLower(strings.TrimSpace(key))
			stanza[last] = strings.TrimSpace(value)
		}
	}
	flush()
	return all
}

// aptOptions asks apt itself, as options may stand in any of its files. A
// computer without apt-config has none.
func aptOptions(root string) map[string]string {
	wanted := []string{"Acquire::http::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date"}
	options := map[string]string{}
	if root != "/" {
		return options
	}
	for _, key := range wanted {
		out, err := exec.Command("apt-config", "dump", "--no-empty", "--format", "%f %v%n", key).Output()
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(out), "\n") {
			if name, value, ok := strings.Cut(line, " "); ok && name == key {
				options[key] = value
			}
		}
	}
	return options
}
