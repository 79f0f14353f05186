//go:build machine

package faults

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// kill ends the upgrader, which gets no chance to say goodbye.
func kill(_ *trial, pid int) error { return unix.Kill(pid, unix.SIGKILL) }

// unsynced is how long an upload may be in memory only: Linux writes what is half a minute old, for which
// it looks every five seconds (vm.dirty_expire_centisecs, vm.dirty_writeback_centisecs).
const unsynced = 35 * time.Second

// power pulls the machine's plug; a person switches it on again, and does nothing else.
// Mattermost does not sync what people upload: what was uploaded just before the cut is the server's to
// lose, with an upgrade or without. What the run's backup has is not: that syncs it.
func power(tr *trial, _ int) error {
	safe := time.Now().Add(-unsynced)
	if t := tr.backedUp(); t.After(safe) {
		safe = t
	}
	files := tr.writer.SoFar().Files
	for tr.kept < len(files) && files[tr.kept].Taken.Before(safe) {
		tr.kept++
	}
	tr.unsynced = len(files) - tr.kept
	if err := tr.s.Machine.Kill(tr.Context()); err != nil {
		return err
	}
	return tr.s.Machine.Start(tr.Context())
}

// reboot restarts the machine in order, as a person at the provider's panel may.
func reboot(tr *trial, _ int) error {
	_, err := tr.s.Machine.Exec(tr.Context(), "systemctl", "reboot", "--no-block")
	return err
}

// brokenPolicy is strike on a server whose policy file was edited wrongly meanwhile.
func brokenPolicy(strike func(*trial, int) error) func(*trial, int) error {
	return func(tr *trial, pid int) error {
		err := tr.host(`
cd /etc/townsquare
if [ -e upgrade.yaml ]; then cp -a upgrade.yaml upgrade.yaml.well; fi
echo 'window: Sundays at three' >upgrade.yaml
sync`)
		return errors.Join(err, strike(tr, pid))
	}
}

// mendPolicy is what an operator does about it.
func mendPolicy(tr *trial) {
	if err := tr.host("cd /etc/townsquare; rm upgrade.yaml; if [ -e upgrade.yaml.well ]; then mv upgrade.yaml.well upgrade.yaml; fi"); err != nil {
		tr.Fatal(err)
	}
}

// unknownStep is power for a run that has asked for the reboot, in a step that only another version of
// this program knows.
func unknownStep(tr *trial, pid int) error {
	err := tr.host(`
cd /var/lib/townsquare
grep -q '"step": "start"' state.json
sed -i 's/"step": "start"/"step": "of-another-version"/
	s/^  "run": {/&"system": {"reboot_for": "a test", "rebooting": "'$(date -u +%Y-%m-%dT%H:%M:%SZ)'"},/' state.json
grep -q reboot_for state.json
sync`)
	return errors.Join(err, power(tr, pid))
}

// hangUp ends the program that the operator typed.
func hangUp(tr *trial, _ int) error {
	tr.operator.Kill()
	return nil
}

// full fills a file system of the host to the last block. A machine that was rewound has its files on
// a layer below, where removing one makes no room: what the upgrader keeps to make some is written
// anew first, so that it lies on the disk that is filled, as it does on a host without layers.
func full(path string) func(*trial, int) error {
	return func(tr *trial, _ int) error {
		return tr.host(fmt.Sprintf(`
spare=/var/lib/townsquare/state.json.room
if [ -e $spare ]; then cp $spare $spare.new; mv $spare.new $spare; sync $spare; fi
while room=$(df --output=avail -B1 %[1]s | tail -1); [ "$room" -gt 4096 ]; do
	fallocate --length "$room" "%[1]s/filler-$room" 2>/dev/null || dd if=/dev/zero of=%[1]s/filler-rest bs=4096 2>/dev/null || break
done`, path))
	}
}

// empty makes room again, as whoever looks after disks does at some time.
func empty(path string) func(*trial) {
	return func(tr *trial) {
		if err := tr.host("rm -f " + path + "/filler-*"); err != nil {
			tr.Fatal(err)
		}
	}
}

// fullFor is full, and room again after a while.
func fullFor(path string, d time.Duration) func(*trial, int) error {
	return func(tr *trial, pid int) error {
		if err := full(path)(tr, pid); err != nil {
			return err
		}
		return tr.later(d, "rm -f "+path+"/filler-*")
	}
}

// roomAgain waits until what fullFor wrote is gone.
func roomAgain(path string) func(*trial) {
	return func(tr *trial) {
		if err := tr.host(fmt.Sprintf("while compgen -G '%s/filler-*' >/dev/null; do [ $SECONDS -lt 1200 ]; sleep 0.1; done", path)); err != nil {
			tr.Fatal(err)
		}
	}
}

// databaseDies kills PostgreSQL; systemd starts it again.
func databaseDies(tr *trial, _ int) error {
	return tr.host("systemctl kill --kill-whom=main --signal=KILL postgresql@17-main")
}

// databaseAway stops PostgreSQL for a while, as its maintenance does.
func databaseAway(tr *trial, _ int) error {
	if err := tr.later(8*time.Second, "systemctl start postgresql@17-main"); err != nil {
		return err
	}
	return tr.host("systemctl stop postgresql@17-main")
}

// host runs a script on the host.
func (tr *trial) host(script string) error {
	_, err := tr.s.Machine.Exec(tr.Context(), "bash", "-euc", script)
	return err
}

// later runs a command on the host after a while, whatever becomes of this case.
func (tr *trial) later(d time.Duration, command string) error {
	return tr.host(fmt.Sprintf("systemd-run --quiet --collect --on-active=%s --timer-property=AccuracySec=100ms bash -c %q", d, command))
}

// sever cuts the host from a port of the outside for a while: 443 is the vendor and the world, 22
// the operator.
func sever(port string, d time.Duration) func(*trial, int) error {
	return func(tr *trial, _ int) error {
		address := tr.s.Machine.Spec.Address
		err := tr.filter(fmt.Sprintf("add table inet severed\n"+
			"add chain inet severed %[1]s { type filter hook input priority -300; }\n"+
			"add chain inet severed %[1]sout { type filter hook output priority -300; }\n"+
			"add rule inet severed %[1]s ip saddr %[2]s tcp dport %[3]s drop\n"+
			"add rule inet severed %[1]s ip saddr %[2]s tcp sport %[3]s drop\n"+
			"add rule inet severed %[1]sout ip daddr %[2]s tcp dport %[3]s drop\n", "port"+port, address, port))
		if err != nil {
			return err
		}
		mended := make(chan error, 1)
		time.AfterFunc(d, func() { mended <- tr.filter("delete table inet severed\n") })
		tr.Cleanup(func() {
			if err := <-mended; err != nil {
				tr.Error(err)
			}
		})
		return nil
	}
}

// filter changes the rules of the cloud's own namespace.
func (tr *trial) filter(rules string) error {
	cmd := exec.Command("nsenter", "--net="+tr.s.Cloud.NamespacePath(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

// mirror says something to the release mirror, such as "fault", "archive", "shape".
func mirror(arguments ...string) func(*trial) {
	return func(tr *trial) {
		tr.s.Stage.Localcloud(tr.Context(), append([]string{"mirror"}, arguments...)...).Must(tr.T)
	}
}

// vendorWell makes all well at the vendor's.
func vendorWell(tr *trial) { mirror("fault", "--clear")(tr) }
