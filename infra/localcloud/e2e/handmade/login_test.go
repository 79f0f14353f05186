//go:build machine

package handmade

import (
	"strings"
	"testing"
)

// Logins that administrators have: another shell, a greeting, a limit of sshd.
func TestLogins(t *testing.T) {
	s := fresh(t)
	s.Exec(t, "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y fish tcsh >/dev/null")
	for _, c := range []struct{ name, change, undo string }{
		{"greeting", `printf 'echo Welcome to chat01\n%s\n' "$(cat ~ops/.bashrc)" >~ops/.bashrc`, `sed -i 1d ~ops/.bashrc`},
		{"fish", "chsh -s /usr/bin/fish ops", "chsh -s /bin/bash ops"},
		{"tcsh", "chsh -s /usr/bin/tcsh ops", "chsh -s /bin/bash ops"},
		{"one session a connection", "echo MaxSessions 1 >/etc/ssh/sshd_config.d/one.conf; systemctl restart ssh", "rm /etc/ssh/sshd_config.d/one.conf; systemctl restart ssh"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.Exec(t, c.change)
			defer s.Exec(t, c.undo)
			s.Exec(t, "rm -rf /usr/local/lib/townsquare") // the upload is part of it
			r := s.Upgrade(t.Context(), "plan", "--json", "--wait", "5s", "--to", "9.10.0").Must(t)
			if !strings.Contains(r.Stdout, "7.7.0") {
				t.Errorf("it says\n%s", r)
			}
		})
	}
}
