//go:build machine

package safety

import (
	"strings"
	"testing"
)

// TestLogins: the operator's account may have any login shell, also one that greets, and sshd may allow
// one session at a time. Where commands cannot run as root the hint, typed as it stands, mends it.
func TestLogins(t *testing.T) {
	s := fresh(t)
	s.Exec(t, `
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy fish tcsh >/dev/null
cd /home/ops
printf 'echo Welcome to chat01\necho stty: no terminal >&2\n' >.bashrc
echo 'echo Welcome to chat01' >.cshrc
install -d .config/fish
printf 'echo Welcome to chat01\necho stty: no terminal >&2\n' >.config/fish/config.fish
chown -R ops: .bashrc .cshrc .config
echo 'MaxSessions 1' >/etc/ssh/sshd_config.d/10-test.conf
systemctl restart ssh`)
	for _, shell := range []string{"/bin/bash", "/usr/bin/fish", "/usr/bin/tcsh", "/bin/dash"} {
		t.Run(shell, func(t *testing.T) {
			s.Exec(t, "usermod -s "+shell+" ops; rm -f /usr/local/lib/townsquare/upgrade")
			if r := s.Upgrade(t.Context(), "history", "--json").Must(t); strings.Contains(r.Stdout+r.Stderr, "Welcome") {
				t.Errorf("it says:\n%s", r)
			}
			s.Exec(t, "test -x /usr/local/lib/townsquare/upgrade")
		})
	}
	t.Run("a shell that runs nothing", func(t *testing.T) {
		s.Exec(t, "usermod -s /usr/sbin/nologin ops")
		if r := s.Upgrade(t.Context(), "history").Must(t, 1); !strings.Contains(r.Stderr, "This account is currently not available") {
			t.Errorf("it says:\n%s", r)
		}
		s.Exec(t, "usermod -s /bin/bash ops")
	})
	s.Exec(t, "grep -l ops /etc/sudoers.d/* | xargs rm")
	for says, rules := range map[string]string{
		"requiretty":         `Defaults:ops requiretty\nops ALL=(ALL) NOPASSWD: ALL`,
		"only some commands": `ops ALL=(ALL) NOPASSWD: /usr/bin/systemctl`,
		"without a password": `ops ALL=(ALL) ALL`,
	} {
		t.Run(says, func(t *testing.T) {
			s.Exec(t, `printf '`+rules+`\n' >/etc/sudoers.d/10-test; rm -f /etc/sudoers.d/90-upgrade`)
			r := s.Upgrade(t.Context(), "history").Must(t, 1)
			_, hint, ok := strings.Cut(r.Stderr, "on the server, as root: ")
			if !ok || !strings.Contains(r.Stderr, says) {
				t.Fatalf("it says:\n%s", r)
			}
			hint, _, _ = strings.Cut(hint, "\n")
			s.Exec(t, hint)
			s.Upgrade(t.Context(), "history").Must(t)
		})
	}
}
