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
	printed := strings.Join([]string{
		"Type=notify",
		"User=mattermost",
		"Group=mattermost",
		"WorkingDirectory=!/opt/mattermost",
		"ExecStart={ path=/opt/mattermost/bin/mattermost ; argv[]=/opt/mattermost/bin/mattermost server --config /etc/mm.json ; ignore_errors=no ; start_time=[n/a] }",
		"Environment=MM_A=unit \"MM_B=two words\"",
		"EnvironmentFiles=" + env + " (ignore_errors=no)",
		"EnvironmentFiles=/nowhere/env (ignore_errors=yes)",
		"ProtectSystem=strict", "ReadWritePaths=-/var/lib/mattermost /srv", "LoadState=loaded", "ActiveState=active", "FragmentPath=/lib/systemd/system/mattermost.service", ""}, "\n")
	u, err := FindUnit(t.Context(), answers(t, "mattermost.service", printed), "", "/opt/mattermost")
	if err != nil {
		t.Fatal(err)
	}
	want := &Unit{Name: "mattermost.service", User: "mattermost", Type: "notify", WorkDir: "/opt/mattermost", live: true, file: "/lib/systemd/system/mattermost.service",
		Args: []string{"/opt/mattermost/bin/mattermost", "server", "--config", "/etc/mm.json"},
		Env:  map[string]string{"MM_A": "file", "MM_B": "two words"}, Strict: true, Writable: []string{"/var/lib/mattermost", "/srv"}}
	if diff := cmp.Diff(want, u, cmp.AllowUnexported(Unit{})); diff != "" {
		t.Error(diff)
	}
	if got := u.ConfigFlag(); got != "/etc/mm.json" {
		t.Errorf("config flag %q", got)
	}
	if !u.MayWrite("/srv/files") || u.MayWrite("/opt/elsewhere") || u.MayWrite("/srvx") {
		t.Error("MayWrite is wrong about ReadWritePaths")
	}
}

// shown is what `systemctl show` prints of a service.
func shown(name, state, program string, more ...string) string {
	return strings.Join(append([]string{"Id=" + name, "LoadState=loaded", "ActiveState=" + state, "FragmentPath=/etc/systemd/system/" + name,
		"ExecStart={ path=/x ; argv[]=" + program + " ; ignore_errors=no }"}, more...), "\n") + "\n"
}

// TestFindUnitOfAnotherName: the service that runs is the one, whatever it is called and wherever it is.
func TestFindUnitOfAnotherName(t *testing.T) {
	const (
		missing = "LoadState=not-found\n"
		usual   = "ReadWritePaths mattermost.service"
		mm      = "/opt/mattermost/bin/mattermost"
	)
	ssh := shown("ssh.service", "active", "/usr/sbin/sshd -D")
	for name, c := range map[string]struct {
		usual string
		all   []string
		want  string // or what the refusal says
	}{
		"another name":           {missing, []string{ssh, shown("chat.service", "active", mm)}, "chat.service"},
		"elsewhere":              {missing, []string{ssh, shown("chat.service", "active", "/srv/chat/mattermost/bin/mattermost")}, "chat.service"},
		"stopped":                {missing, []string{ssh, shown("chat.service", "inactive", mm)}, "chat.service"},
		"a script in front":      {missing, []string{shown("chat.service", "active", "/opt/mattermost/run.sh server")}, "chat.service"},
		"the usual one is stale": {shown("mattermost.service", "inactive", mm), []string{shown("mattermost.service", "inactive", mm), shown("chat.service", "active", mm)}, "chat.service"},
		"the usual one alone":    {shown("mattermost.service", "inactive", mm), []string{shown("mattermost.service", "inactive", mm)}, "mattermost.service"},
		"one of two runs":        {missing, []string{shown("a.service", "active", mm), shown("b.service", "inactive", mm)}, "a.service"},
		"instances":              {missing, []string{shown("mm@prod.service", "active", mm), shown("mm@test.service", "active", mm)}, "mm@prod.service, mm@test.service"},
		"none":                   {missing, []string{ssh}, ErrNoUnit.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			outputs := []string{usual, c.usual, "list-unit-files", "ssh.service enabled enabled\nmm@.service disabled enabled\n", "--type=service", strings.Join(c.all, "\n")}
			u, err := FindUnit(t.Context(), answers(t, append(outputs, "ReadWritePaths "+c.want, shown(c.want, "active", mm))...), "", "/opt/mattermost")
			switch {
			case err != nil && !strings.Contains(err.Error(), c.want):
				t.Errorf("%v; want %s", err, c.want)
			case err == nil && u.Name != c.want:
				t.Errorf("found %s, want %s", u.Name, c.want)
			}
		})
	}
}

func TestConfigFlag(t *testing.T) {
	for line, want := range map[string]string{
		"/opt/mattermost/bin/mattermost":                                             "/env.json",
		"/opt/mattermost/bin/mattermost server -c x.json":                            "x.json",
		"/opt/mattermost/bin/mattermost --config=x.json":                             "x.json",
		"/bin/sh -c exec /opt/mattermost/bin/mattermost":                             "/env.json",
		"/bin/sh -c cd /opt/mattermost; exec bin/mattermost -c x.json":               "x.json",
		"/bin/bash -c /opt/start":                                                    "/env.json",
		"/usr/bin/env -S nice -n 5 /opt/mattermost/bin/mattermost server --config /": "/",
		"/opt/mattermost/run.sh server --config x.json":                              "x.json",
	} {
		u := &Unit{Args: strings.Fields(line), Env: map[string]string{"mm_config": "/env.json"}}
		if got := u.ConfigFlag(); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
