package mattermost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/untrusted"
)

// SandboxUnit is the service that a sandbox's server is; there is one at a time, by its name. Its
// network, of the same name, is one that nothing leads into or out of.
const (
	SandboxUnit = "townsquare-rehearsal.service"
	sandboxNet  = "townsquare-rehearsal"
)

// sandboxLife is the longest that a sandbox's server can live, whatever becomes of us.
const sandboxLife = "2h"

// Sandbox is a server that is tried beside the one that serves. It has a network of its own without
// a way out, so that nobody can reach it and it can reach nobody: no mail, no push notification, no
// webhook, whatever its settings and its plugins say. The whole disk is read-only for it but for
// Dir. It gets the processor and the disk when nobody else wants them, and a quarter of the memory
// at most. It lives no longer than the run that made it.
type Sandbox struct {
	Dir      string // of its own; Close removes it
	Version  string // directory of the version that is tried; it is only read
	Unit     *Unit  // the service's, of which it takes the user and the environment
	Config   []byte // the configuration it begins with
	Plugins  string // directory of the installation's plugins; they are copied
	Files    string // directory of its file store, whose plugins are read; empty when they are elsewhere
	Extra    []Place
	Database *Database // the scratch database it works on
	Run      Runner    // nil means host.Run

	relay *relay
}

// SandboxDir is the place for the sandbox of the installation at link.
func SandboxDir(link string) string { return filepath.Join(Root(link), "rehearsal") }

func (s *Sandbox) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	run := s.Run
	if run == nil {
		run = host.Run
	}
	return run(ctx, host.Command{Name: name, Args: args})
}

// Open makes the sandbox's directory and network. Close takes both away, also those that a process
// left which was killed.
func (s *Sandbox) Open(ctx context.Context) error {
	if err := s.Close(ctx); err != nil {
		return err
	}
	if err := s.furnish(ctx); err != nil {
		return fmt.Errorf("make the sandbox: %w", err)
	}
	for _, args := range [][]string{{"netns", "add", sandboxNet}, {"-n", sandboxNet, "link", "set", "lo", "up"}} {
		if _, err := s.run(ctx, "ip", args...); err != nil {
			return fmt.Errorf("make the sandbox's network: %w", err)
		}
	}
	dsn := s.Database.dsn
	if !strings.HasPrefix(s.Database.Host, "/") { // a socket on the disk needs no network
		var err error
		if s.relay, err = newRelay(netnsPath(sandboxNet), s.Database); err != nil {
			return fmt.Errorf("make the sandbox's network: %w", err)
		}
		dsn = dsnFor(dsn, s.Database.Name, s.relay.address)
	}
	return s.writeEnv(dsn)
}

// furnish makes the sandbox as the service's user, who can exchange what is copied into it.
func (s *Sandbox) furnish(ctx context.Context) error {
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		return err
	}
	if err := chownTo(s.Dir, s.Unit.User); err != nil {
		return err
	}
	if err := untrusted.As(s.Unit.User, s.layOut); err != nil {
		return err
	}
	// Copies: the server rewrites some of the web client's files, and may exchange plugins.
	copies := [][2]string{{filepath.Join(s.Version, "client"), "client"}, {s.Plugins, "plugins"}}
	for _, c := range copies {
		if _, err := os.Stat(c[0]); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		cp := host.Command{Name: "cp", Args: []string{"-a", "--reflink=auto", c[0] + "/.", filepath.Join(s.Dir, c[1])}, User: s.Unit.User, Dir: s.Dir}
		if _, err := Idly(s.runner())(ctx, cp); err != nil {
			return err
		}
	}
	return untrusted.As(s.Unit.User, s.complete)
}

var sandboxOwn = []string{"client", "config", "data", "logs", "plugins"}

// layOut lays the release out anew: what a server writes to is of its own, the rest leads to the
// version. A server looks for its folders in its working directory first.
func (s *Sandbox) layOut() error {
	entries, err := os.ReadDir(s.Version)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if slices.Contains(sandboxOwn, e.Name()) {
			continue
		}
		if err := os.Symlink(filepath.Join(s.Version, e.Name()), filepath.Join(s.Dir, e.Name())); err != nil {
			return err
		}
	}
	for _, name := range sandboxOwn {
		if err := os.Mkdir(filepath.Join(s.Dir, name), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// complete puts its own configuration and links in the place of what was copied.
func (s *Sandbox) complete() error {
	// A link to where the server that serves keeps its plugins' web clients.
	if err := os.RemoveAll(filepath.Join(s.Dir, "client", "plugins")); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.Dir, "client", "plugins"), 0o700); err != nil {
		return err
	}
	if bundles := filepath.Join(s.Files, "plugins"); s.Files != "" {
		if _, err := os.Stat(bundles); err == nil {
			if err := os.Symlink(bundles, filepath.Join(s.Dir, "data", "plugins")); err != nil {
				return err
			}
		}
	}
	for _, p := range s.Extra { // such as TLS keys that a setting names
		if path := filepath.Join(s.Dir, p.Name); p.Custom && !strings.Contains(p.Name, "/") {
			if err := os.Symlink(p.Target, path); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	}
	config, err := sandboxConfig(s.Config)
	if err != nil {
		return err
	}
	return os.WriteFile(s.ConfigPath(), config, 0o600)
}

func (s *Sandbox) runner() Runner {
	if s.Run == nil {
		return host.Run
	}
	return s.Run
}

// PluginDir is where the sandbox's plugins are.
func (s *Sandbox) PluginDir() string { return filepath.Join(s.Dir, "plugins") }

// ConfigPath is the sandbox's own configuration; the server rewrites it when it starts.
func (s *Sandbox) ConfigPath() string { return filepath.Join(s.Dir, "config", "config.json") }

// sandboxConfig takes out what cannot be said by the environment.
func sandboxConfig(data []byte) ([]byte, error) {
	settings := map[string]map[string]any{}
	if err := json.Unmarshal(data, &settings); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if sql := settings["SqlSettings"]; sql != nil {
		for _, key := range []string{"DataSourceReplicas", "DataSourceSearchReplicas", "ReplicaLagSettings"} {
			if _, there := sql[key]; there {
				sql[key] = []any{}
			}
		}
	}
	return json.MarshalIndent(settings, "", "    ")
}

// sandboxPort is where the server listens, in a network that is its own.
const sandboxPort = "8065"

// environment is the service's, with what keeps the sandbox to itself on top. The network says so
// too; this spares the server the trying.
func (s *Sandbox) environment(dsn string) map[string]string {
	env := maps.Clone(s.Unit.Env)
	for _, key := range []string{"MM_SQLSETTINGS_DATASOURCEREPLICAS", "MM_SQLSETTINGS_DATASOURCESEARCHREPLICAS"} {
		delete(env, key)
	}
	maps.Copy(env, map[string]string{
		"MM_CONFIG":                                   s.ConfigPath(),
		"MM_SQLSETTINGS_DRIVERNAME":                   "postgres",
		"MM_SQLSETTINGS_DATASOURCE":                   dsn,
		"MM_SQLSETTINGS_MAXOPENCONNS":                 "10",
		"MM_SERVICESETTINGS_LISTENADDRESS":            "127.0.0.1:" + sandboxPort,
		"MM_SERVICESETTINGS_CONNECTIONSECURITY":       "",
		"MM_SERVICESETTINGS_FORWARD80TO443":           "false",
		"MM_SERVICESETTINGS_USELETSENCRYPT":           "false",
		"MM_SERVICESETTINGS_ENABLELOCALMODE":          "false",
		"MM_FILESETTINGS_DRIVERNAME":                  "local",
		"MM_FILESETTINGS_DIRECTORY":                   filepath.Join(s.Dir, "data"),
		"MM_LOGSETTINGS_FILELOCATION":                 filepath.Join(s.Dir, "logs"),
		"MM_LOGSETTINGS_ENABLECONSOLE":                "true",
		"MM_LOGSETTINGS_CONSOLEJSON":                  "true",
		"MM_LOGSETTINGS_ENABLEDIAGNOSTICS":            "false",
		"MM_PLUGINSETTINGS_DIRECTORY":                 filepath.Join(s.Dir, "plugins"),
		"MM_PLUGINSETTINGS_CLIENTDIRECTORY":           filepath.Join(s.Dir, "client", "plugins"),
		"MM_PLUGINSETTINGS_ENABLEREMOTEMARKETPLACE":   "false",
		"MM_EMAILSETTINGS_SENDEMAILNOTIFICATIONS":     "false",
		"MM_EMAILSETTINGS_SENDPUSHNOTIFICATIONS":      "false",
		"MM_SERVICESETTINGS_ENABLEOUTGOINGWEBHOOKS":   "false",
		"MM_CLUSTERSETTINGS_ENABLE":                   "false",
		"MM_METRICSSETTINGS_ENABLE":                   "false",
		"MM_JOBSETTINGS_RUNJOBS":                      "false",
		"MM_JOBSETTINGS_RUNSCHEDULER":                 "false",
		"MM_ELASTICSEARCHSETTINGS_ENABLEINDEXING":     "false",
		"MM_ELASTICSEARCHSETTINGS_ENABLESEARCHING":    "false",
		"MM_BLEVESETTINGS_ENABLEINDEXING":             "false",
		"MM_ANNOUNCEMENTSETTINGS_ADMINNOTICESENABLED": "false",
	})
	return env
}

// writeEnv writes the environment where systemd reads it: it holds the database's password, and
// what is said to systemd-run can be read by everybody.
func (s *Sandbox) writeEnv(dsn string) error {
	env := s.environment(dsn)
	var b strings.Builder
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for _, key := range slices.Sorted(maps.Keys(env)) {
		if !strings.ContainsAny(env[key], "\n\x00") {
			fmt.Fprintf(&b, "%s=\"%s\"\n", key, quoted.Replace(env[key]))
		}
	}
	return os.WriteFile(s.envPath(), []byte(b.String()), 0o600)
}

// envPath is beside the sandbox, where only root can write.
func (s *Sandbox) envPath() string { return s.Dir + ".env" }

// Start starts the server and returns at once; Service().WaitReady says how it went.
func (s *Sandbox) Start(ctx context.Context) error {
	kind := "exec"
	if s.Unit.Type == "notify" {
		kind = "notify"
	}
	args := []string{"--unit=" + SandboxUnit, "--description=Townsquare rehearsal", "--quiet", "--no-block", "--service-type=" + kind}
	for _, property := range []string{
		"User=" + s.Unit.User, "WorkingDirectory=" + s.Dir, "EnvironmentFile=" + s.envPath(),
		"NetworkNamespacePath=" + netnsPath(sandboxNet),
		"ProtectSystem=strict", "ReadWritePaths=" + s.Dir, "ProtectHome=read-only", "PrivateTmp=yes", "PrivateDevices=yes",
		"PrivateIPC=yes", "NoNewPrivileges=yes", "ProtectControlGroups=yes", "ProtectKernelTunables=yes", "UMask=0077",
		"Nice=19", "CPUWeight=1", "IOSchedulingClass=idle", "IOWeight=1", "MemoryHigh=20%", "MemoryMax=25%", "OOMScoreAdjust=1000",
		"LimitNOFILE=49152", "TimeoutStartSec=infinity", "TimeoutStopSec=2", "RuntimeMaxSec=" + sandboxLife,
		"BindsTo=" + host.Unit, "After=" + host.Unit,
	} {
		args = append(args, "--property="+property)
	}
	args = append(args, "--", filepath.Join(s.Dir, "bin", "mattermost"))
	if _, err := s.run(ctx, "systemd-run", args...); err != nil {
		return fmt.Errorf("start the sandbox: %w", err)
	}
	return nil
}

// Service is the sandbox's server.
func (s *Sandbox) Service() Service { return Service{Unit: SandboxUnit, Run: s.Run} }

// Waited is how long the sandbox's server has waited, as a whole, for a processor that others had:
// time that it would not need where it has to give way to nobody. 0 where the kernel does not say.
// Source: Documentation/accounting/psi.rst, "full" of a control group's cpu.pressure.
func (s *Sandbox) Waited(ctx context.Context) time.Duration {
	out, err := s.run(ctx, "systemctl", "show", "--property=ControlGroup", SandboxUnit)
	group := properties(string(out))["ControlGroup"]
	if err != nil || group == "" {
		return 0
	}
	data, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", group, "cpu.pressure"))
	if err != nil {
		return 0
	}
	return stalled(string(data))
}

// stalled reads the total of the line "full".
func stalled(pressure string) time.Duration {
	for line := range strings.Lines(pressure) {
		if !strings.HasPrefix(line, "full ") {
			continue
		}
		_, total, _ := strings.Cut(strings.TrimSpace(line), "total=")
		if us, err := strconv.ParseInt(total, 10, 64); err == nil {
			return time.Duration(us) * time.Microsecond
		}
	}
	return 0
}

// Health asks it from inside its network.
func (s *Sandbox) Health(path string) Health {
	return Health{URL: "http://127.0.0.1:" + sandboxPort + path, Dial: dialIn(netnsPath(sandboxNet))}
}

// Close ends the server and removes the sandbox; one that is not there is no error.
func (s *Sandbox) Close(ctx context.Context) error {
	if s.relay != nil {
		s.relay.Close()
		s.relay = nil
	}
	return CloseSandbox(ctx, s.runner(), s.Dir)
}

// CloseSandbox is Sandbox.Close for one that a process left which was killed.
func CloseSandbox(ctx context.Context, run Runner, dir string) error {
	if filepath.Base(dir) != "rehearsal" {
		return fmt.Errorf("refusing to remove %s: no sandbox", dir)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the sandbox did not end within a minute"))
	defer cancel()
	_, netErr := os.Stat(netnsPath(sandboxNet))
	_, dirErr := os.Lstat(dir)
	if errors.Is(netErr, fs.ErrNotExist) && errors.Is(dirErr, fs.ErrNotExist) {
		return nil // Open makes both before there is a server
	}
	if err := (Service{Unit: SandboxUnit, Run: run}).Kill(ctx); err != nil && !notLoaded(err) {
		return fmt.Errorf("end the sandbox: %w", err)
	}
	if netErr == nil {
		if _, err := run(ctx, host.Command{Name: "ip", Args: []string{"netns", "delete", sandboxNet}}); err != nil {
			return fmt.Errorf("remove the sandbox's network: %w", err)
		}
	}
	return errors.Join(ignoreMissing(os.Remove(dir+".env")), os.RemoveAll(dir))
}
