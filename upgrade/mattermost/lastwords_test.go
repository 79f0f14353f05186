package mattermost

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"townsquare/upgrade/host"
)

// What the server says of the reason why it does not start is cited, also where it said so in an attempt
// before, and what can be typed about it changes nothing that the log names.
func TestWhyItDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{os.Mkdir(dir+"/9.10.0", 0o700), os.WriteFile(dir+"/9.10.0/mattermost", nil, 0o700), os.Symlink("9.10.0", dir+"/link")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	exec := "ExecStart={ path=" + dir + "/link/mattermost ; argv[]=x ; }\nTimeoutStartUSec=1min 30s\n"
	for name, c := range map[string]struct {
		show, log  string
		says, hint string
		not        string
	}{
		"a port below 1024": {show("activating", "auto-restart", "success", 0, 0, 0), "Error: listen tcp :80: bind: permission denied",
			"exited before it was ready; its log says: Error: listen tcp :80: bind: permission denied", "sudo setcap cap_net_bind_service=+ep " + dir + "/9.10.0/mattermost", "status 0"},
		"a port in use": {show("failed", "failed", "exit-code", 0, 0, 1), "Error: listen tcp 0.0.0.0:8065: bind: address already in use",
			"with status 1 (exit-code)", "sudo ss -ltnp 'sport = :8065'", ""},
		"a file of another user": {show("activating", "auto-restart", "success", 0, 0, 0), "Error: failed to persist: open /opt/mattermost/config/config.json: permission denied",
			"config.json: permission denied", "sudo namei -l /opt/mattermost/config/config.json", "status 0"},
		"a file with a name to be run": {show("failed", "failed", "exit-code", 0, 0, 1), "Error: open /x;reboot: permission denied", "permission denied", "", ""},
		"a refused configuration":      {show("failed", "failed", "exit-code", 0, 0, 1), "Error: invalid config: Minimum password length\nbye", "its log says: Error: invalid config: Minimum password length", "", ""},
		"systemd's own limit": {show("activating", "auto-restart", "timeout", 0, 0, 15), "Pinging SQL", "the start operation timed out (TimeoutStartSec of mm.service is 1min 30s); its log says: Pinging SQL",
			`printf '[Service]\nTimeoutStartSec=3600\n' | sudo tee /etc/systemd/system/mm.service.d/timeout.conf`, "status 15"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				s := Service{Unit: "mm.service", Run: func(_ context.Context, command host.Command) ([]byte, error) {
					switch {
					case command.Name == "journalctl" && strings.Contains(strings.Join(command.Args, " "), "--since="+stamp(began)):
						return []byte(c.log), nil
					case command.Name == "journalctl": // nothing since the last attempt
						return nil, nil
					}
					return []byte(c.show + exec), nil
				}}
				time.Sleep(time.Minute)
				_, err := s.WaitReady(t.Context(), Patience{Limit: time.Hour, Since: began})
				var hinted interface{ Hint() string }
				if !errors.Is(err, ErrExited) || errors.As(err, &hinted) != (c.hint != "") || !strings.Contains(err.Error(), c.says) || c.not != "" && strings.Contains(err.Error(), c.not) {
					t.Fatalf("says %v", err)
				}
				if c.hint != "" && !strings.Contains(hinted.Hint(), c.hint) {
					t.Errorf("hint %q", hinted.Hint())
				}
			})
		})
	}
}
