package mattermost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"townsquare/upgrade/host"
	"townsquare/upgrade/problem"
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
	WorkDir  string            // WorkingDirectory=
	Env      map[string]string // Environment= and every EnvironmentFile= that could be read
	Strict   bool              // ProtectSystem=strict: only Writable can be written to
	Writable []string
	live     bool   // it runs, or systemd is about to start it
	file     string // that defines it
}

// FindUnit finds the service that runs the installation at link: the named one, else mattermost.service
// if it runs, else the one that runs from a program below link, or from any, else mattermost.service. A
// problem.List means that there is more than one to choose from.
func FindUnit(ctx context.Context, run Runner, name, link string) (*Unit, error) {
	if name != "" {
		return loadUnit(ctx, run, name)
	}
	usual, usualErr := loadUnit(ctx, run, "mattermost.service")
	if usualErr == nil && usual.live || usualErr != nil && !errors.Is(usualErr, ErrNoUnit) {
		return usual, usualErr
	}
	all, err := serverUnits(ctx, run)
	if err != nil {
		return nil, err
	}
	here := slices.DeleteFunc(slices.Clone(all), func(u *Unit) bool { return !u.runs(link, link) })
	if len(here) == 0 {
		here = slices.DeleteFunc(all, func(u *Unit) bool { return u.tree() == "" })
	}
	live := slices.DeleteFunc(slices.Clone(here), func(u *Unit) bool { return !u.live })
	switch {
	case len(live) == 1:
		return loadUnit(ctx, run, live[0].Name)
	case usualErr == nil:
		return usual, nil
	case len(here) == 1:
		return loadUnit(ctx, run, here[0].Name)
	case len(here) == 0:
		return nil, fmt.Errorf("%w runs a program under %s, and there is no mattermost.service", ErrNoUnit, link)
	}
	var names []string
	for _, u := range here {
		names = append(names, u.Name)
	}
	return nil, problem.List{{Where: "systemd", Found: "more than one service runs Mattermost: " + strings.Join(names, ", "),
		Allowed: "one on this server, or one that is called mattermost.service", Hint: "systemctl cat " + strings.Join(names, " ")}}
}

var unitProperties = []string{"Id", "LoadState", "User", "Type",
	"ActiveState", "FragmentPath", "ExecStart", "WorkingDirectory", "Environment", "EnvironmentFiles", "ProtectSystem", "ReadWritePaths"}

func loadUnit(ctx context.Context, run Runner, name string) (*Unit, error) {
	out, err := run(ctx, host.Command{Name: "systemctl", Args: []string{"show", "--property=" + strings.Join(unitProperties, ","), name}})
	if err != nil {
		return nil, fmt.Errorf("ask systemd about %s: %w", name, err)
	}
	p := properties(string(out))
	if p["LoadState"] != "loaded" {
		return nil, fmt.Errorf("%w %s (systemd says: %s)", ErrNoUnit, name, p["LoadState"])
	}
	u := unitOf(p, name)
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

// unitOf reads what `systemctl show` printed of a unit, but for its environment.
func unitOf(p map[string]string, name string) *Unit {
	live := p["ActiveState"] != "" && p["ActiveState"] != "inactive" && p["ActiveState"] != "failed"
	return &Unit{Name: cmp.Or(p["Id"], name), User: cmp.Or(p["User"], "root"), Type: p["Type"], Args: execArgs(p["ExecStart"]), Env: map[string]string{},
		WorkDir: cmp.Or(strings.TrimLeft(p["WorkingDirectory"], "-!"), "/"), Strict: p["ProtectSystem"] == "strict", live: live, file: p["FragmentPath"]}
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

// ConfigFlag is the value of --config or -c on the server's command line, or of MM_CONFIG.
func (u *Unit) ConfigFlag() string {
	args := serverArgs(u.Args)
	for i, a := range args {
		switch {
		case (a == "--config" || a == "-c") && i+1 < len(args):
			return args[i+1]
		case strings.HasPrefix(a, "--config="):
			return strings.TrimPrefix(a, "--config=")
		}
	}
	return settingsIn(u.Env)["MM_CONFIG"]
}

// serverArgs are the words after the server's program: in "/bin/sh -c 'exec /opt/mattermost/bin/mattermost'"
// the flags before it are the shell's. A script hands its own on; a shell's line without the program has none.
func serverArgs(args []string) []string {
	if i := slices.IndexFunc(args, isServerProgram); i >= 0 {
		return args[i+1:]
	}
	if len(args) == 0 || slices.Contains([]string{"sh", "bash", "dash", "zsh", "ksh"}, filepath.Base(args[0])) {
		return nil
	}
	return args[1:]
}

// isServerProgram reports whether a path names the server; before 5.20 it was called platform.
func isServerProgram(path string) bool {
	name := filepath.Base(path)
	return filepath.Base(filepath.Dir(path)) == "bin" && (name == "mattermost" || name == "platform")
}

// tree is the install directory of the program that the unit starts; empty where its command line does
// not name one.
func (u *Unit) tree() string {
	i := slices.IndexFunc(u.Args, isServerProgram)
	if i < 0 || !filepath.IsAbs(u.Args[i]) && !filepath.IsAbs(u.WorkDir) {
		return ""
	}
	path := u.Args[i]
	if !filepath.IsAbs(path) {
		path = filepath.Join(u.WorkDir, path)
	}
	return filepath.Dir(filepath.Dir(path))
}

// Environ is the unit's environment as a program of the target needs it, with the service's home.
func (u *Unit) Environ() []string {
	env := make([]string, 0, len(u.Env))
	for k, v := range u.Env {
		env = append(env, k+"="+v)
	}
	slices.Sort(env)
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
