package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/notify"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// outputsFormat is the newest shape of the stack's outputs that this program reads.
const outputsFormat = 1

// outputs is what a stack tells about its server; see infra/stack.go.
type outputs struct {
	Format           int           `json:"format"`
	URL              string        `json:"url"`
	Address          string        `json:"address"`
	SSHUser          string        `json:"sshUser"`
	SSHHostKey       string        `json:"sshHostKey"`
	DatabaseURL      string        `json:"databaseUrl"`
	DatabaseAdminURL string        `json:"databaseAdminUrl"`
	DatabaseCA       string        `json:"databaseCa"`
	Edition          string        `json:"edition"`
	Track            string        `json:"track"`
	Window           string        `json:"window"`
	Freeze           []string      `json:"freeze"`
	SecurityWithin   string        `json:"securityWithin"`
	Automatic        string        `json:"automatic"`
	Timers           *bool         `json:"timers"`
	Notify           string        `json:"notify"` // JSON of a notify.Config
	Releases         state.Sources `json:"releases"`
	BackupAccessKey  string        `json:"backupAccessKey"`
	BackupSecretKey  string        `json:"backupSecretKey"`
	BackupBucket     string        `json:"backupBucket"`
	BackupEndpoint   string        `json:"backupEndpoint"`
	BackupPassword   string        `json:"backupPassword"`
	BackupKeep       state.Keep    `json:"backupKeep"`

	Host *state.Desired `json:"host"`
}

// fromStack asks Pulumi for the stack's outputs.
func (t *target) fromStack(ctx context.Context, stack, project string, a *app) error {
	a.printer.Busy("asking Pulumi for the server of stack " + stack)
	defer a.printer.Idle()
	cmd := exec.CommandContext(ctx, "pulumi", "stack", "output", "--json", "--show-secrets",
		"--non-interactive", "--stack", stack)
	cmd.Dir = project
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &stackError{stack: stack, project: project, cause: err, said: strings.TrimSpace(stderr.String())}
	}
	return t.fromOutputs(stack, stdout.Bytes(), a)
}

// fromOutputs reads the outputs; everything that is missing comes back at once.
func (t *target) fromOutputs(stack string, data []byte, a *app) error {
	var o outputs
	where := "stack " + stack
	if err := json.Unmarshal(data, &o); err != nil {
		return fmt.Errorf("read the outputs of %s: %w", where, err)
	}
	a.redactor.Add(o.DatabaseURL, o.DatabaseAdminURL, o.BackupAccessKey, o.BackupSecretKey, o.BackupPassword)
	var found problem.List
	missing := func(name, value string) {
		if value == "" {
			found = append(found, problem.Problem{Where: where + ": " + name, Found: "no such output",
				Hint: "make the server first: pulumi up --stack " + stack})
		}
	}
	if o.Format > outputsFormat {
		return fmt.Errorf("%s has outputs of format %d, this program knows %d: take the newer one", where, o.Format, outputsFormat)
	}
	missing("address", o.Address)
	missing("sshUser", o.SSHUser)
	missing("sshHostKey", o.SSHHostKey)
	missing("databaseUrl", o.DatabaseURL)
	if len(found) > 0 {
		return found.Err()
	}
	key, err := parseHostKey(o.SSHHostKey)
	if err != nil {
		return fmt.Errorf("%s: sshHostKey %w", where, err)
	}
	config := state.Config{Edition: o.Edition, Track: o.Track, Window: o.Window, Releases: o.Releases, URL: o.URL,
		Freeze: o.Freeze, Automatic: o.Automatic, Timers: o.Timers, Backup: o.backups()}
	if o.SecurityWithin != "" {
		if config.SecurityWithin, err = time.ParseDuration(o.SecurityWithin); err != nil {
			return fmt.Errorf("%s: securityWithin: %w", where, err)
		}
	}
	if found := config.Check(where); len(found) > 0 {
		return found.Err()
	}
	if o.Host != nil {
		if found := o.Host.Check(where + ": host"); len(found) > 0 {
			return found.Err()
		}
	}
	tell, err := notify.Parse(where+": notify", []byte(o.Notify))
	if err != nil {
		return err
	}
	a.redactor.Add(tell.Secrets()...)
	t.made = true
	t.address = host.Address{User: o.SSHUser, Host: o.Address, HostKey: key}
	t.delivery = host.Delivery{Config: &config, SiteURL: o.URL,
		DatabaseURL: o.DatabaseURL, AdminURL: o.DatabaseAdminURL, CA: o.DatabaseCA, Notify: &tell, Desired: o.Host}
	if config.Backup.Repository != "" {
		t.delivery.BackupPassword = o.BackupPassword
		t.delivery.BackupCredentials = fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", o.BackupAccessKey, o.BackupSecretKey)
	}
	return nil
}

// backups are the stack's: a folder in its bucket, so that whatever else is put there is left alone.
func (o *outputs) backups() state.Backups {
	if o.BackupBucket == "" {
		return state.Backups{}
	}
	return state.Backups{Repository: "s3:" + o.BackupEndpoint + "/" + o.BackupBucket + "/townsquare", Keep: o.BackupKeep}
}

// stackError says why Pulumi did not give the outputs.
type stackError struct {
	stack, project string
	cause          error
	said           string
}

func (e *stackError) Error() string {
	if errors.Is(e.cause, exec.ErrNotFound) {
		return "pulumi is not installed, or not on the PATH"
	}
	if e.said == "" {
		return fmt.Sprintf("ask Pulumi for stack %s: %v", e.stack, e.cause)
	}
	return fmt.Sprintf("ask Pulumi for stack %s: %s", e.stack, strings.TrimPrefix(e.said, "error: "))
}

func (e *stackError) Unwrap() error { return e.cause }

// Hint says what to type.
func (e *stackError) Hint() string {
	if errors.Is(e.cause, exec.ErrNotFound) {
		return "install Pulumi, or name the server with --host and --host-key"
	}
	for _, known := range pulumiHints {
		if strings.Contains(e.said, known.said) {
			return known.hint
		}
	}
	return "see your stacks: pulumi stack ls --cwd " + word(e.project) + "    # --project names another folder with Pulumi.yaml"
}

// pulumiHints are Pulumi's usual complaints, by a part of their text, and what to type.
var pulumiHints = []struct{ said, hint string }{
	{"PULUMI_ACCESS_TOKEN must be set", "pulumi login"},
	{"not currently logged in", "pulumi login"},
	{"no Pulumi.yaml project file found", "name the folder with Pulumi.yaml by --project, such as --project ~/townsquare"},
	{"passphrase must be set", "read -rsp 'Passphrase: ' PULUMI_CONFIG_PASSPHRASE && export PULUMI_CONFIG_PASSPHRASE    # the one that the stack was made with"},
	{"incorrect passphrase", "read -rsp 'Passphrase: ' PULUMI_CONFIG_PASSPHRASE && export PULUMI_CONFIG_PASSPHRASE    # the one that the stack was made with"},
}
