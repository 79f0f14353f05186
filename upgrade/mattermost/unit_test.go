package mattermost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/host"
)

// answers fakes programs: the first key that the command line contains gives the output.
func answers(t *testing.T, outputs ...string) Runner {
	t.Helper()
	return func(_ context.Context, c host.Command) ([]byte, error) {
		line := c.Name + " " + strings.Join(c.Args, " ")
		for i := 0; i+1 < len(outputs); i += 2 {
			if strings.Contains(line, outputs[i]) {
				return []byte(outputs[i+1]), nil
			}
		}
		t.Errorf("unexpected command: %s", line)
		return nil, errors.New("unexpected")
	}
}

func TestFindUnit(t *testing.T) {
	env := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(env, []byte("MM_A=file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shown := strings.Join([]string{
		"Type=notify",
		"User=mattermost",
		"Group=mattermost",
		"WorkingDirectory=!/opt/mattermost",
		"ExecStart={ path=/opt/mattermost/bin/mattermost ; argv[]=/opt/mattermost/bin/mattermost server --config /etc/mm.json ; ignore_errors=no ; start_time=[n/a] }",
		"Environment=MM_A=unit \"MM_B=two words\"",
		"EnvironmentFiles=" + env + " (ignore_errors=no)",
		"EnvironmentFiles=/nowhere/env (ignore_errors=yes)",
		"ProtectSystem=strict", "ReadWritePaths=-/var/lib/mattermost /srv", "LoadState=loaded", "FragmentPath=/lib/systemd/system/mattermost.service", ""}, "\n")
	u, err := FindUnit(t.Context(), answers(t, "mattermost.service", shown), "", "/opt/mattermost")
	if err != nil {
		t.Fatal(err)
	}
	want := &Unit{Name: "mattermost.service", User: "mattermost", Type: "notify",
		Args: []string{"/opt/mattermost/bin/mattermost", "server", "--config", "/etc/mm.json"}, WorkDir: "/opt/mattermost",
		Env: map[string]string{"MM_A": "file", "MM_B": "two words"}, Strict: true, Writable: []string{"/var/lib/mattermost", "/srv"}}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Error(diff)
	}
	if got := u.ConfigFlag(); got != "/etc/mm.json" {
		t.Errorf("config flag %q", got)
	}
	if !u.MayWrite("/srv/files") || u.MayWrite("/opt/elsewhere") || u.MayWrite("/srvx") {
		t.Error("MayWrite is wrong about ReadWritePaths")
	}
}

func TestFindUnitOfAnotherName(t *testing.T) {
	const missing = "LoadState=not-found\n"
	const all = "Id=ssh.service\nExecStart={ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D ; }\n\n" +
		"Id=chat.service\nExecStart={ path=/srv/mm/bin/mattermost ; argv[]=/srv/mm/bin/mattermost ; }\n"
	chat := "LoadState=loaded\nUser=mm\nExecStart={ path=/srv/mm/bin/mattermost ; argv[]=/srv/mm/bin/mattermost ; }\n"
	u, err := FindUnit(t.Context(), answers(t, "mattermost.service", missing, "--type=service", all, "chat.service", chat), "", "/srv/mm")
	if err != nil || u.Name != "chat.service" || u.User != "mm" {
		t.Errorf("got %+v, %v", u, err)
	}
	_, err = FindUnit(t.Context(), answers(t, "mattermost.service", missing, "--type=service", all), "", "/opt/mattermost")
	if !errors.Is(err, ErrNoUnit) {
		t.Errorf("no unit at all: %v", err)
	}
}
