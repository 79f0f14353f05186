package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
)

// The keys of the program that have values only once a cloud runs.
const (
	hostKeyKey  = "townsquare:hostKey"
	tokenKey    = "digitalocean:token"
	sshKeysKey  = "townsquare:sshKeys"
	releasesKey = "townsquare:releases"
	backupsKey  = "townsquare:backups"
)

// releases are the URLs at which the cloud's release mirror has what the vendor has at its own.
func releases(fingerprint string) map[string]string {
	return map[string]string{
		"archive":     "https://docs.townsquare.test/version-archive.mdx",
		"policy":      "https://docs.townsquare.test/release-policy.mdx",
		"github":      "https://api.townsquare.test/repos/mattermost/mattermost/releases",
		"key":         "https://packages.townsquare.test/pubkey.gpg",
		"fingerprint": fingerprint,
	}
}

// stackFile is where the engine reads the stack's configuration: a copy of the project's own, with
// what is known only here. The project's file is never written to.
func (p place) stackFile(stack string) string {
	return filepath.Join(p.project(), "Pulumi."+stack+".yaml")
}

// project is the project's own description, with this program as the provider.
func (o Options) project(p place) (workspace.Project, error) {
	project, err := workspace.LoadProject(filepath.Join(o.Source, "Pulumi.yaml"))
	if err != nil {
		return workspace.Project{}, fmt.Errorf("read the project: %w", err)
	}
	project.Plugins = &workspace.Plugins{Providers: []workspace.PluginOptions{{Name: "digitalocean", Path: p.plugins()}}}
	return *project, nil
}

// settings are the stack's, as the project has them, with the values that exist at run time only. A
// secret that the engine has encrypted already is kept as it is, so that a second run changes nothing.
func (o Options) settings(p place, project *workspace.Project) (workspace.ProjectStack, error) {
	sink := diag.DefaultSink(os.Stderr, os.Stderr, diag.FormatOptions{Color: colors.Never})
	given, err := workspace.LoadProjectStack(sink, project, filepath.Join(o.Source, "Pulumi."+o.Stack+".yaml"))
	if err != nil {
		return workspace.ProjectStack{}, fmt.Errorf("read the stack's settings: %w", err)
	}
	made, err := o.values(p)
	if err != nil {
		return workspace.ProjectStack{}, err
	}
	if given.Config == nil {
		given.Config = config.Map{}
	}
	for name, value := range made {
		key, err := config.ParseKey(name)
		if err != nil {
			return workspace.ProjectStack{}, err
		}
		if value == "" {
			delete(given.Config, key)
		} else if given.Config[key], err = plain(value); err != nil {
			return workspace.ProjectStack{}, fmt.Errorf("set %s: %w", name, err)
		}
	}
	if _, err := os.Stat(p.stackFile(o.Stack)); err == nil {
		kept, err := workspace.LoadProjectStack(sink, project, p.stackFile(o.Stack))
		if err != nil {
			return workspace.ProjectStack{}, fmt.Errorf("read the stack's settings: %w", err)
		}
		given.EncryptionSalt, given.SecretsProvider = kept.EncryptionSalt, kept.SecretsProvider
		for key, value := range kept.Config {
			if value.Secure() {
				given.Config[key] = value
			}
		}
	}
	return *given, nil
}

// values are the configuration that exists at run time only, without the secret ones.
func (o Options) values(p place) (map[string]any, error) {
	operator, err := publicKey(OperatorKey(p.cloud), "ops@"+p.cloud.Name)
	if err != nil {
		return nil, err
	}
	values := map[string]any{sshKeysKey: []string{operator}}
	fingerprint, err := os.ReadFile(filepath.Join(p.cloud.Dir, "mirror", "fingerprint"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the release mirror of cloud %s has no key yet: type localcloud up --cloud %[1]s", p.cloud.Name)
	case err != nil:
		return nil, err
	}
	values[releasesKey] = releases(strings.TrimSpace(string(fingerprint)))
	for name, value := range o.Set {
		values[name] = value
	}
	return values, nil
}

// plain is a value of the configuration: text as it is, a list or a map as an object.
func plain(value any) (config.Value, error) {
	if text, ok := value.(string); ok {
		return config.NewValue(text), nil
	}
	data, err := json.Marshal(value)
	return config.NewObjectValue(string(data)), err
}

// setSecrets gives the stack the secrets that were made for the cloud.
func (s *Stack) setSecrets(ctx context.Context, settings workspace.ProjectStack) error {
	for name, path := range map[string]string{hostKeyKey: s.place.hostKey(), tokenKey: s.place.token()} {
		if err := s.setSecret(ctx, name, path); err != nil {
			return err
		}
	}
	key, err := config.ParseKey(backupsKey)
	if err != nil {
		return err
	}
	if value, ok := settings.Config[key]; !ok {
		return nil
	} else if text, err := value.Value(config.NopDecrypter); err != nil || text != "true" {
		return err
	}
	for name, path := range s.place.backups() {
		if err := s.setSecret(ctx, name, path); err != nil {
			return err
		}
	}
	return nil
}

// setSecret hands the engine a secret over standard input, unless the stack has it.
func (s *Stack) setSecret(ctx context.Context, name, path string) error {
	sink := diag.DefaultSink(os.Stderr, os.Stderr, diag.FormatOptions{Color: colors.Never})
	kept, err := workspace.LoadProjectStack(sink, &s.project, s.place.stackFile(s.options.Stack))
	if err != nil {
		return fmt.Errorf("read the stack's settings: %w", err)
	}
	if key, err := config.ParseKey(name); err != nil {
		return err
	} else if kept.Config[key].Secure() {
		return nil
	}
	secret, err := os.Open(path)
	if err != nil {
		return err
	}
	defer secret.Close()
	return s.pulumi(ctx, secret, "config", "set", "--secret", name, "--stack", s.options.Stack)
}
