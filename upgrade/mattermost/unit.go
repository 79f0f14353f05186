package mattermost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"townsquare/upgrade/host"
)

// Runner runs one program; host.Run does it for real, a test puts its own there.
type Runner func(context.Context, host.Command) ([]byte, error)

// ErrNoUnit says that systemd knows no service for this installation.
var ErrNoUnit = errors.New("no systemd unit")

// Unit is what systemd knows of the service. Env holds secrets: never print it.
type Unit struct {
	Name     string // "mattermost.service"
	User     string
	Type     string // "notify" when READY can be waited for
	Args     []string
	Env      map[string]string // Environment= and every EnvironmentFile= that could be read
	Strict   bool              // ProtectSystem=strict: only Writable can be written to
	Writable []string
}

// FindUnit finds the service that runs the installation at link: the named one, else
// mattermost.service, else the one loaded unit whose program lies under link.
func FindUnit(ctx context.Context, run Runner, name, link string) (*Unit, error) {
	if name == "" {
		name = "mattermost.service"
		if u, err := loadUnit(ctx, run, name); !errors.Is(err, ErrNoUnit) {
			return u, err
		}
		found, err := unitsUnder(ctx, run, link)
		if err != nil {
			return nil, err
		}
		switch len(found) {
		case 0:
			return nil, fmt.Errorf("%w runs a program under %s, and there is no mattermost.service", ErrNoUnit, link)
		case 1:
			name = found[0]
		default:
			return nil, fmt.Errorf("more than one unit runs a program under %s: %s", link, strings.Join(found, ", "))
		}
	}
	return loadUnit(ctx, run, name)
}

func unitsUnder(ctx context.Context, run Runner, link string) ([]string, error) {
	out, err := run(ctx, host.Command{Name: "systemctl", Args: []string{"show", "--type=service", "--all", "--property=Id,ExecStart", "*"}})
	if err != nil {
		return nil, fmt.Errorf("look for the unit: %w", err)
	}
	var names []string
	for _, block := range strings.Split(string(out), "\n\n") {
		p := properties(block)
		if args := execArgs(p["ExecStart"]); len(args) > 0 && strings.HasPrefix(args[0], link+"/") && strings.HasSuffix(p["Id"], ".service") {
			names = append(names, p["Id"])
		}
	}
	sort.Strings(names)
	return names, nil
}

var unitProperties = []string{"Id", "LoadState", "User", "Type",
	"ExecStart", "Environment", "EnvironmentFiles", "ProtectSystem", "ReadWritePaths"}

func loadUnit(ctx context.Context, run Runner, name string) (*Unit, error) {
	out, err := run(ctx, host.Command{Name: "systemctl", Args: []string{"show", "--property=" + strings.Join(unitProperties, ","), name}})
	if err != nil {
		return nil, fmt.Errorf("ask systemd about %s: %w", name, err)
	}
	p := properties(string(out))
	if p["LoadState"] != "loaded" {
		return nil, fmt.Errorf("%w %s (systemd says: %s)", ErrNoUnit, name, p["LoadState"])
	}
	u := &Unit{Name: name, User: p["User"], Type: p["Type"], Args: execArgs(p["ExecStart"]), Env: map[string]string{},
		Strict: p["ProtectSystem"] == "strict"}
	if u.User == "" {
		u.User = "root"
	}
	for _, word := range splitQuoted(p["Environment"]) {
		if k, v, ok := strings.Cut(word, "="); ok {
			u.Env[k] = v
		}
	}
	for _, path := range strings.Fields(p["ReadWritePaths"]) {
		u.Writable = append(u.Writable, strings.TrimLeft(path, "-+"))
	}
	// systemctl prints one line a file: EnvironmentFiles=/etc/x (ignore_errors=yes).
	for _, line := range strings.Split(string(out), "\n") {
		value, ok := strings.CutPrefix(line, "EnvironmentFiles=")
		if !ok || value == "" {
			continue
		}
		path, flags, _ := strings.Cut(value, " (")
		if err := readEnvFiles(path, strings.Contains(flags, "ignore_errors=yes"), u.Env); err != nil {
			return nil, fmt.Errorf("environment of %s: %w", name, err)
		}
	}
	return u, nil
}

// properties reads KEY=value lines; of a key that comes twice, the last.
func properties(text string) map[string]string {
	p := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if k, v, ok := strings.Cut(line, "="); ok {
			p[k] = v
		}
	}
	return p
}

// execArgs takes the argument list out of "{ path=… ; argv[]=… ; ignore_errors=… }".
func execArgs(s string) []string {
	_, rest, ok := strings.Cut(s, "argv[]=")
	if !ok {
		return nil
	}
	args, _, _ := strings.Cut(rest, " ; ")
	return strings.Fields(args)
}

// ConfigFlag is the value of --config or -c on the unit's command line, or of MM_CONFIG.
func (u *Unit) ConfigFlag() string {
	for i, a := range u.Args {
		switch {
		case (a == "--config" || a == "-c") && i+1 < len(u.Args):
			return u.Args[i+1]
		case strings.HasPrefix(a, "--config="):
			return strings.TrimPrefix(a, "--config=")
		}
	}
	return u.Env["MM_CONFIG"]
}

// Environ is the unit's environment as a program of the target needs it, with the service's home.
func (u *Unit) Environ() []string {
	env := make([]string, 0, len(u.Env))
	for k, v := range u.Env {
		env = append(env, k+"="+v)
	}
	sort.Strings(env)
	return env
}

// MayWrite says whether the unit's sandbox lets the service write below path.
func (u *Unit) MayWrite(path string) bool {
	if !u.Strict {
		return true
	}
	for _, w := range u.Writable {
		if real, err := filepath.EvalSymlinks(w); err == nil {
			w = real
		}
		if path == w || strings.HasPrefix(path, w+string(os.PathSeparator)) {
			return true
		}
	}
	return false
}
