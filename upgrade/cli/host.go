package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/host"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/release"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

// request is what the operator's side asks of the host's, as JSON on stdin: the delivery in it
// holds secrets.
type request struct {
	Delivery  host.Delivery `json:"delivery"`
	Operation string        `json:"operation,omitempty"` // of phase.Operations
	phase.Options
	Who     string `json:"who,omitempty"`
	Look    bool   `json:"look,omitempty"`    // nothing is done after the examination, so a run that leaves the server as it is does not matter
	Try     bool   `json:"try,omitempty"`     // the delivered configuration is for this examination only
	Follow  bool   `json:"follow,omitempty"`  // of a plan that a run comes after: name the operation that must come first
	Compare bool   `json:"compare,omitempty"` // of a status: with what the stack says
	Repair  bool   `json:"repair,omitempty"`  // put back what was left unfinished, and nothing else
}

// server is the host's side: what its commands need, so that a test can give them another place
// than / and no systemd.
type server struct {
	app     *app
	root    string // "/"; all paths are below it
	service host.Service
	self    string               // the program that a run's unit starts
	choice  func() []phase.Phase // what check does

	operations map[string]phase.Sequence
	system     func(context.Context, *state.State, state.Config) (*phase.OSFacts, error)       // what waits for the operating system
	repository func(context.Context, *phase.Operation)                                         // notes whether the backups' repository opens
	drift      func(context.Context, *state.Desired, drift.Options) (*drift.Comparison, error) // how the host differs from its stack
}

func (a *app) thisServer() *server {
	return &server{app: a, root: "/", service: host.Service{Run: host.Run}, self: host.Upgrader,
		choice: phase.Check, operations: phase.Operations(), system: phase.LookAtSystem, drift: phase.Drift, repository: phase.LookAtBackups}
}

func (h *server) path(p string) string { return filepath.Join(h.root, p) }

// host is the parent of what the operator's side calls over SSH. Not for people.
func (a *app) host() *cobra.Command {
	cmd := &cobra.Command{Use: "host", Short: "the server's side of the other commands", Hidden: true,
		PersistentPreRun: func(*cobra.Command, []string) { a.printer.Relay = true }}
	h := a.server()
	cmd.AddCommand(h.examineCommand(), h.startCommand(), h.runCommand(), h.recoverCommand(), h.eventsCommand(),
		h.statusCommand(), h.backupsCommand(), h.unlockCommand(), h.cancelCommand(),
		h.timersCommand(), h.ranCommand(), h.tellCommand(), h.versionCommand())
	return cmd
}

// phases finds an operation's phases.
func (h *server) phases(operation string) (phase.Sequence, error) {
	return phase.Find(h.operations, operation)
}

// take reads the request from stdin.
func (h *server) take() (request, error) {
	var r request
	if err := h.read(&r); err != nil {
		return r, err
	}
	h.app.redactor.Add(r.Delivery.Secrets()...)
	return r, nil
}

// read reads any request.
func (h *server) read(into any) error {
	decoder := json.NewDecoder(io.LimitReader(h.app.stdin, 1<<20))
	if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the request: %w", err)
	}
	return nil
}

func (h *server) answer(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = io.WriteString(h.app.stdout, h.app.redactor.String(string(data))+"\n")
	return err
}

// operation fills in what phases need from outside.
func (h *server) operation(id, name string, emit func(phase.Event)) (*phase.Operation, error) {
	config, err := state.LoadConfig(h.path(state.ConfigFile))
	if err != nil {
		return nil, err
	}
	return h.operationWith(config, id, name, emit)
}

// unfinished is operation for a run that was begun before: it ends well or is undone with a
// configuration that cannot be read, too.
func (h *server) unfinished(id, name string, emit func(phase.Event)) (*phase.Operation, error) {
	config, broken := state.LoadConfig(h.path(state.ConfigFile))
	if broken != nil {
		config = state.Config{}
	}
	op, err := h.operationWith(config, id, name, emit)
	if err == nil && broken != nil {
		op.Timers = nil
		op.Notices = append(op.Notices, fmt.Sprintf("the defaults are used in place of %s: %v", h.path(state.ConfigFile), broken))
	}
	return op, err
}

func (h *server) operationWith(config state.Config, id, name string, emit func(phase.Event)) (*phase.Operation, error) {
	record, err := state.Load(h.path(state.Path))
	if err != nil {
		return nil, err
	}
	url := config.URL
	if config.URL, err = h.site(config.URL); err != nil {
		return nil, err
	}
	op := &phase.Operation{
		ID: id, Name: name, URL: url,
		Operations: h.operations,
		Record:     record,
		Config:     config,
		Releases: &release.Client{
			Sources:  release.Sources(config.Releases),
			CacheDir: h.path(state.Dir + "/cache"),
		},
		Arch:    runtime.GOARCH,
		Notices: config.Ignored,
	}
	op.Save = func() error { return op.Record.Save(h.path(state.Path)) }
	op.Pending = func(kind schedule.Kind, p state.Pending) (state.Pending, error) {
		return state.NotePending(h.path(state.PendingFile), kind, p)
	}
	op.Timers = h.syncTimers
	op.Conceal = h.app.redactor.String
	op.Reload = func() (*state.State, error) { return state.Load(h.path(state.Path)) }
	h.knowSecrets()
	if run := record.Run; run != nil { // to put it back, nobody looks at the installation first
		h.knowConfig(run.User, run.ConfigPath)
		h.knowConfig("", run.ConfigCopy)
	}
	learned := false
	op.Emit = func(e phase.Event) {
		if !learned && op.Facts != nil && op.Facts.Config != nil {
			learned = true
			for _, key := range secretSettings {
				h.app.redactor.Add(op.Facts.Config.String(key))
			}
		}
		emit(e)
	}
	return op, nil
}

// site returns the address that is in use: where the stack says another one, that waits for a repair.
func (h *server) site(url string) (string, error) {
	site, err := host.SiteURL(h.root)
	if err != nil || site == "" || url == "" {
		return url, err
	}
	return site, nil
}

// secretSettings are the settings of Mattermost that nobody may read in a log.
var secretSettings = []string{
	"SqlSettings.DataSource", "SqlSettings.AtRestEncryptKey", "FileSettings.PublicLinkSalt",
	"FileSettings.AmazonS3SecretAccessKey", "EmailSettings.SMTPPassword", "LdapSettings.BindPassword",
	"GitLabSettings.Secret", "GoogleSettings.Secret", "Office365Settings.Secret", "OpenIdSettings.Secret",
	"ElasticsearchSettings.Password", "MessageExportSettings.GlobalRelaySettings.SMTPPassword",
}

// knowSecrets tells the redactor what the host's own files hold.
func (h *server) knowSecrets() {
	if data, err := os.ReadFile(h.path(state.AdminFile)); err == nil {
		h.app.redactor.Add(strings.TrimSpace(string(data)))
	}
	var backups host.Delivery
	for path, into := range map[string]*string{state.BackupPassword: &backups.BackupPassword, state.BackupCredentials: &backups.BackupCredentials} {
		if data, err := os.ReadFile(h.path(path)); err == nil {
			*into = strings.TrimSpace(string(data))
		}
	}
	h.app.redactor.Add(backups.Secrets()...)
	if c, err := h.notifyConfig(); err == nil {
		h.app.redactor.Add(c.Secrets()...)
	}
	if data, err := os.ReadFile(h.path(state.EnvFile)); err == nil {
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && secretName(key) {
				h.app.redactor.Add(strings.Trim(value, `"'`))
			}
		}
	}
}

// knowConfig tells the redactor the secrets in a config.json, if it is there.
func (h *server) knowConfig(user, path string) {
	var sections map[string]map[string]any
	data, err := mattermost.ReadConfig(user, h.path(path))
	if path == "" || err != nil || json.Unmarshal(data, &sections) != nil {
		return
	}
	for _, setting := range secretSettings {
		section, key, _ := strings.Cut(setting, ".")
		if value, ok := sections[section][key].(string); ok {
			h.app.redactor.Add(value)
		}
	}
}

func secretName(key string) bool {
	for _, word := range []string{"DATASOURCE", "PASSWORD", "SECRET", "SALT", "KEY"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// deliver puts the operator's configuration in place and says what someone should know of that. It
// holds the lock meanwhile: a run must not find another database half way.
func (h *server) deliver(r request) (notices []string, err error) {
	d, who := r.Delivery, r.Who
	d.Replace = r.Operation == "restore" && r.Replace
	if changes, err := d.Changes(h.root); err != nil || !changes {
		return nil, err
	}
	lock, err := host.TakeLock(h.path(host.LockPath), host.Holder{Who: who, Why: "bring the configuration"}, func(error) {})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	_, before := os.Stat(h.path(state.EnvFile))
	from, to, err := d.Moves(h.root)
	if err != nil {
		return nil, err
	}
	changed, err := d.Write(h.root)
	if err == nil && from != "" {
		return []string{"the database " + from + " does not answer; the server now uses the stack's, " + to}, nil
	}
	if err == nil && before == nil && slices.Contains(changed, state.EnvFile) {
		return []string{"the service's settings in " + state.EnvFile + " have changed; they count from its next start: sudo systemctl restart mattermost"}, nil
	}
	return nil, err
}

// lines emits events to stdout, one a line.
func (h *server) lines() func(phase.Event) {
	return func(e phase.Event) {
		if line, err := phase.Encode(e, h.app.redactor); err == nil {
			_, _ = h.app.stdout.Write(line)
		}
	}
}

// running returns the run in progress, if any; also one that is between the two boots it asked for.
func (h *server) running(ctx context.Context) (string, error) {
	id, err := h.service.Running(ctx)
	if err != nil || id != "" {
		return id, err
	}
	record, err := state.Load(h.path(state.Path))
	if err != nil {
		return "", nil // whoever needs it says so
	}
	if run := record.Run; run != nil && run.Rebooting() && time.Since(run.System.Rebooting) < bootTimeout {
		return run.ID, nil
	}
	return "", nil
}

// bootTimeout is how long after it asked for a reboot a run may take to go on.
const bootTimeout = 15 * time.Minute
