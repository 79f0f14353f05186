package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/crypto/ssh"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// targetFlags names the server, in one of three ways.
type targetFlags struct {
	stack    string
	stacks   []string // every --stack, in order; only commands for fleets take more than one
	all      bool     // every stack of the project; only commands for fleets have that flag
	project  string
	host     string
	hostKey  string
	identity string
	config   string
	local    bool
	wait     time.Duration

	elsewhere map[string]string // what failed on other stacks' servers; nil: nobody asked
}

func (f *targetFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Var(stackValue{f}, "stack", "the server of this Pulumi stack, such as prod")
	flags.StringVar(&f.project, "project", ".", "where that stack's Pulumi.yaml is")
	flags.StringVar(&f.host, "host", "", "any other server: user@name, or user@name:port")
	flags.StringVar(&f.hostKey, "host-key", "", `its SSH host key, as in "ssh-ed25519 AAAA…"`)
	flags.BoolVar(&f.local, "local", false, "this machine (as root)")
	flags.StringVar(&f.identity, "identity", "", "the SSH key file to log in with, or the .pub file of one that your agent holds (default: your agent, then ~/.ssh)")
	flags.StringVar(&f.config, "config", "", "with --host or --local: an upgrade.yaml to put on the server, with backup.password, .credentials and .key if they are beside it")
	flags.DurationVar(&f.wait, "wait", 10*time.Minute, "how long to wait for a server that is still booting")
}

// label names the server in few words.
func (f *targetFlags) label() string { return cmp.Or(f.stack, f.host, "this machine") }

// stackValue collects each --stack.
type stackValue struct{ f *targetFlags }

func (v stackValue) String() string { return "" }
func (v stackValue) Type() string   { return "string" }

// Set implements pflag.Value.
func (v stackValue) Set(name string) error {
	v.f.stack, v.f.stacks = name, append(v.f.stacks, name)
	return nil
}

// stackShape is what Pulumi allows: STACK, PROJECT/STACK or ORGANISATION/PROJECT/STACK.
var stackShape = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}){0,2}$`)

const stackAllowed = "a stack's name, such as prod or organisation/townsquare/prod"

func flagNames(names *[]string) func(*pflag.Flag) {
	return func(f *pflag.Flag) {
		if !f.Hidden {
			*names = append(*names, f.Name)
		}
	}
}

// plainWord needs no quotes in a shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// word returns a value as one word of a shell's.
func word(value string) string {
	if plainWord.MatchString(value) {
		return value
	}
	return host.Quote(value)
}

func quoted(values []string) (list []string) {
	for _, value := range values {
		list = append(list, word(value))
	}
	return list
}

// words are the flags as typed, for hints.
func (f *targetFlags) words() string {
	var b strings.Builder
	add := func(name, value string) {
		if value = strings.TrimSpace(value); value == "" {
			return
		}
		fmt.Fprintf(&b, " --%s %s", name, word(value))
	}
	if f.all {
		b.WriteString(" --all-stacks")
	}
	for _, stack := range f.stacks {
		add("stack", stack)
	}
	if f.project != "." {
		add("project", f.project)
	}
	add("host", f.host)
	add("host-key", f.hostKey)
	if f.local {
		b.WriteString(" --local")
	}
	add("identity", f.identity)
	add("config", f.config)
	return strings.TrimSpace(b.String())
}

// named are the words that hold on any computer: no paths of this one.
func (f *targetFlags) named() string {
	return (&targetFlags{project: ".", stacks: f.stacks, host: f.host, hostKey: f.hostKey, local: f.local}).words()
}

// target is a server, found.
type target struct {
	local    bool
	made     bool // by Townsquare: ready only when its first boot said so
	address  host.Address
	keys     host.Keys
	delivery host.Delivery
}

// userAtHost allows what ssh does, less what could be taken for something else.
var userAtHost = regexp.MustCompile(`^([a-z_][a-z0-9_.-]*)@(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?)(:[0-9]+)?$`)

// check finds everything that is wrong with the flags before anything is contacted.
func (f *targetFlags) check() problem.List {
	var found problem.List
	add := func(where, what, allowed, hint string) {
		found = append(found, problem.Problem{Where: where, Found: what, Allowed: allowed, Hint: hint})
	}
	named := 0
	for _, set := range []bool{f.stack != "", f.host != "", f.local} {
		if set {
			named++
		}
	}
	switch {
	case named == 0:
		add("server", "not named", "one of --stack, --host, --local", "for example: upgrade status --stack prod")
	case named > 1:
		add("server", "named more than once", "only one of --stack, --host, --local", "")
	}
	if len(f.stacks) > 1 {
		add("--stack", "given more than once", "one stack for this command", "several stacks at once: check, plan, apply, notice and os apply")
	} else if f.stack != "" && !stackShape.MatchString(f.stack) {
		add("--stack", fmt.Sprintf("%q", f.stack), stackAllowed, "see your stacks: pulumi stack ls")
	}
	if f.host != "" {
		if !userAtHost.MatchString(f.host) {
			add("--host", fmt.Sprintf("%q", f.host), "user@name or user@name:port", "for example: --host ops@chat.example.org")
		} else if _, err := parseAddress(f.host); err != nil {
			add("--host", err.Error(), "a port from 1 to 65535", "")
		}
		if f.hostKey == "" {
			add("--host-key", "missing: a server's key is never learned from the network", `its line, as in "ssh-ed25519 AAAA…"`,
				"on the server itself, type: cat /etc/ssh/ssh_host_ed25519_key.pub")
		}
	}
	if f.hostKey != "" {
		if f.host == "" {
			add("--host-key", "given without --host", "", "")
		}
		if _, err := parseHostKey(f.hostKey); err != nil {
			add("--host-key", err.Error(), `one public key, as in "ssh-ed25519 AAAA…"`, "")
		}
	}
	if f.identity != "" {
		if info, err := os.Stat(f.identity); err != nil {
			add("--identity", err.Error(), "a private key file, or the .pub file of a key that your agent holds", "")
		} else if info.IsDir() {
			add("--identity", f.identity+" is a directory", "a private key file, or the .pub file of a key that your agent holds", "")
		}
	}
	if f.config != "" && f.stack != "" {
		add("--config", "given with --stack", "the stack's own settings decide: pulumi config --stack "+f.stack, "")
	}
	if f.wait < 0 {
		add("--wait", printable.Duration(f.wait), "a duration such as 10m, or 0", "")
	}
	return found
}

// find reads what the flags point to: the stack's outputs, the configuration.
func (f *targetFlags) find(ctx context.Context, a *app) (target, error) {
	if found := f.check(); len(found) > 0 {
		return target{}, &usageError{problems: found}
	}
	home, _ := os.UserHomeDir()
	t := target{local: f.local, keys: host.Keys{Identity: f.identity, Agent: a.env("SSH_AUTH_SOCK"), Home: home}}
	if f.config != "" {
		config, err := readConfig(f.config)
		if err != nil {
			return target{}, err
		}
		t.delivery.Config = &config
		if err := secretsBeside(f.config, &t.delivery); err != nil {
			return target{}, err
		}
		a.redactor.Add(t.delivery.Secrets()...)
	}
	var err error
	switch {
	case f.stack != "":
		var all state.Fleet
		if all, err = state.LoadFleet(f.project); err != nil {
			return t, err
		}
		if err = t.fromStack(ctx, f.stack, f.project, a); err == nil {
			t.delivery.Config.Skip, t.delivery.Config.Elsewhere, t.delivery.Config.Stack = all.Skip, f.elsewhere, path.Base(f.stack)
		}
	case f.host != "":
		if t.address, err = parseAddress(f.host); err == nil {
			t.address.HostKey, err = parseHostKey(f.hostKey)
		}
	}
	return t, err
}

// secretsBeside reads the secrets of the backups that lie beside an upgrade.yaml, named as they are
// on the server. Those that are not there stay as they are on it.
func secretsBeside(config string, d *host.Delivery) error {
	var found problem.List
	for name, into := range map[string]*string{
		state.BackupPassword: &d.BackupPassword, state.BackupCredentials: &d.BackupCredentials, state.BackupKey: &d.BackupKey,
	} {
		path := filepath.Join(filepath.Dir(config), filepath.Base(name))
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			found = append(found, problem.Problem{Where: path, Found: fmt.Sprintf("mode %04o: others can read it", info.Mode().Perm()), Allowed: "0600", Hint: "chmod 600 " + path})
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			found = append(found, problem.Problem{Where: path, Found: err.Error(), Allowed: "a readable file"})
			continue
		}
		*into = string(data)
	}
	if len(found) > 0 {
		return &usageError{problems: found}
	}
	return nil
}

// readConfig reads a file that must be there, unlike the host's own.
func readConfig(path string) (state.Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return state.Config{}, usage(problem.Problem{Where: "--config", Found: err.Error(), Allowed: "a readable file"})
	}
	config, err := state.ParseConfig(path, data)
	var list problem.List
	if errors.As(err, &list) {
		return state.Config{}, &usageError{problems: list}
	}
	return config, err
}

func parseAddress(s string) (host.Address, error) {
	user, rest, _ := strings.Cut(s, "@")
	a := host.Address{User: user, Host: strings.Trim(rest, "[]")}
	if name, port, err := net.SplitHostPort(rest); err == nil {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return a, fmt.Errorf("port %s", port)
		}
		a.Host, a.Port = name, n
	}
	return a, nil
}

// parseHostKey reads "type base64 comment", with or without a host's name before it, as
// ssh-keyscan and known_hosts have it.
func parseHostKey(s string) (ssh.PublicKey, error) {
	s = strings.TrimSpace(s)
	if key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(s)); err == nil && len(rest) == 0 {
		return key, nil
	}
	if _, _, key, _, rest, err := ssh.ParseKnownHosts([]byte(s)); err == nil && len(rest) == 0 {
		return key, nil
	}
	if strings.HasPrefix(s, "SHA256:") {
		return nil, fmt.Errorf("is a fingerprint, not the key itself")
	}
	return nil, fmt.Errorf("is no SSH public key")
}
