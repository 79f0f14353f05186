//go:build machine

package machine_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/machine"
)

const device = "/dev/disk/by-id/scsi-0DO_Volume_files"

func TestVolumeOutlivesMachines(t *testing.T) {
	cloud := newCloud(t, "mvolume")
	ctx := t.Context()
	if err := machine.CreateVolume(ctx, cloud, "files", 1, "ext4", "files"); err != nil {
		t.Fatal(err)
	}
	mounting := userData + `mounts:
  - ["` + device + `", /srv/files, ext4, "defaults,nofail,discard", "0", "2"]
`
	spec := machine.Spec{Name: "first", UserData: mounting, Volumes: []machine.Volume{{Name: "files"}}}
	first := boot(t, cloud, spec)
	if got := sh(t, first, "findmnt -n -o FSTYPE /srv/files; systemctl is-system-running"); got != "ext4\nrunning" {
		t.Fatalf("the volume is not mounted at first boot: %s\n%s", got, sh(t, first, "systemctl --failed; cat /etc/fstab"))
	}
	sh(t, first, "echo kept > /srv/files/note; sync")
	if err := machine.RemoveVolume(ctx, cloud, "files"); err == nil {
		t.Error("an attached volume was removed")
	}
	if err := first.Detach(ctx, "files"); err == nil {
		t.Error("a mounted volume was detached")
	}
	spec.Name = "second"
	if _, err := machine.Create(ctx, cloud, spec); err == nil {
		t.Error("a volume was attached to two machines")
	}
	if err := errors.Join(first.Remove(ctx), first.Remove(ctx)); err != nil {
		t.Fatal(err)
	}
	second := boot(t, cloud, spec)
	if got := sh(t, second, "cat /srv/files/note"); got != "kept" {
		t.Errorf("after a rebuild: %q", got)
	}

	// Pulled out and plugged in while the machine runs.
	sh(t, second, "umount /srv/files")
	if err := errors.Join(second.Detach(ctx, "files"), second.Detach(ctx, "files")); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, second, "ls "+device+" 2>/dev/null || echo gone"); got != "gone" {
		t.Errorf("detached, but there: %s", got)
	}
	if err := machine.GrowVolume(ctx, cloud, "files", 2); err != nil {
		t.Fatal(err)
	}
	if err := second.Attach(ctx, machine.Volume{Name: "files"}); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, second, "e2fsck -fp "+device+" >/dev/null; resize2fs "+device+" >/dev/null 2>&1; mount "+device+" /srv/files; cat /srv/files/note; df -BM --output=size /srv/files | tail -1"); !strings.HasPrefix(got, "kept\n") || !strings.Contains(got, "19") {
		t.Errorf("attached and grown: %q", got)
	}
	if err := machine.GrowVolume(ctx, cloud, "files", 3); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, second, "blockdev --getsize64 "+device+"; dumpe2fs -h "+device+" 2>/dev/null | awk '/^Block count/ {print $3}'"); got != "3221225472\n524288" {
		t.Errorf("grown while it is mounted, the device and its file system are %q", got)
	}
	if err := errors.Join(second.PowerOff(ctx), second.PowerOff(ctx), second.Start(ctx)); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, second, "mount -a; cat /srv/files/note"); got != "kept" {
		t.Errorf("after a power-off: %q", got)
	}
}

func TestPowerCutLosesWhatWasNotSynced(t *testing.T) {
	cloud := newCloud(t, "mcut")
	ctx := t.Context()
	if err := machine.CreateVolume(ctx, cloud, "files", 1, "ext4", ""); err != nil {
		t.Fatal(err)
	}
	m := boot(t, cloud, machine.Spec{Name: "cut", UserData: userData, Volumes: []machine.Volume{{Name: "files"}}})
	sh(t, m, `
		mkdir /srv/files; mount `+device+` /srv/files
		for dir in /root /srv/files; do
			echo whole > $dir/synced
		done
		sync
		for dir in /root /srv/files; do
			echo lost > $dir/unsynced
		done`)
	// Somebody's program from outside, which would not end by itself.
	visitor, err := m.Command(ctx, "setsid", "sh", "-c", "trap '' TERM HUP; echo ready; while :; do sleep 1; done")
	if err != nil {
		t.Fatal(err)
	}
	said, err := visitor.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := visitor.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(said, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	// And one that is in the machine's network only, so it survives.
	holding := exec.Command("nsenter", "--net="+strings.TrimSuffix(m.Rootfs(), "root")+"ns/net", "sleep", "60")
	if err := holding.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holding.Process.Kill()
		_ = holding.Wait()
	})
	if err := errors.Join(m.Kill(ctx), m.Kill(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := visitor.Wait(); err == nil {
		t.Error("a visitor's program outlived the machine")
	}
	if m.Running() || m.Rootfs() != "" {
		t.Error("killed, but running")
	}
	if _, err := m.Exec(ctx, "true"); err == nil {
		t.Error("a program ran in a machine that is off")
	}
	if err := errors.Join(m.Start(ctx), m.WaitReady(ctx)); err != nil {
		t.Fatal(err)
	}
	sh(t, m, "mount "+device+" /srv/files")
	for _, dir := range []string{"/root", "/srv/files"} {
		if got := sh(t, m, "cat "+dir+"/synced"); got != "whole" {
			t.Errorf("%s: what was synced: %q", dir, got)
		}
		if got, err := m.Exec(ctx, "cat", dir+"/unsynced"); err == nil && got != "" {
			t.Errorf("%s: what was not synced survived: %q", dir, got)
		}
	}
	if got := sh(t, m, "wc -l < /var/log/first-boots"); got != "1" {
		t.Errorf("cloud-init ran %s times", got)
	}
}

func TestSnapshotMakesFastClones(t *testing.T) {
	cloud := newCloud(t, "mclone")
	ctx := t.Context()
	if err := machine.CreateVolume(ctx, cloud, "files", 1, "ext4", ""); err != nil {
		t.Fatal(err)
	}
	m := boot(t, cloud, machine.Spec{Name: "golden", UserData: userData, Volumes: []machine.Volume{{Name: "files"}}})
	sh(t, m, "mkdir /srv/files; mount "+device+" /srv/files; echo in a volume > /srv/files/note")
	sh(t, m, "mkdir -p /opt/thing/deep; echo original > /opt/thing/deep/file")
	dir := filepath.Join(t.TempDir(), "snapshot")
	if err := m.Snapshot(ctx, dir); err == nil {
		t.Error("a running machine was copied")
	}
	if err := m.PowerOff(ctx); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := m.Snapshot(ctx, dir); err != nil {
		t.Fatal(err)
	}
	t.Logf("snapshot: %s", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	left := boot(t, cloud, machine.Spec{Name: "left", From: dir})
	t.Logf("clone, booted: %s", time.Since(began).Round(time.Millisecond))
	right := boot(t, cloud, machine.Spec{Name: "right", From: dir, Hostname: "right"})
	for _, clone := range []*machine.Machine{left, right} {
		if got := sh(t, clone, "mount "+device+" /srv/files; cat /srv/files/note; hostname > /srv/files/note"); got != "in a volume" {
			t.Errorf("volume of clone %s: %q", clone.Spec.Name, got)
		}
	}
	sh(t, left, "mv /opt/thing /opt/moved; echo changed > /opt/moved/deep/file")
	if got := sh(t, right, "cat /opt/thing/deep/file; wc -l < /var/log/first-boots"); got != "original\n1" {
		t.Errorf("the other clone: %q", got)
	}
	// A clone of a clone, from one that lost power.
	if err := left.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "again")
	if err := left.Snapshot(ctx, again); err != nil {
		t.Fatal(err)
	}
	third := boot(t, cloud, machine.Spec{Name: "third", From: again})
	sh(t, third, "ls /opt")
	if _, err := os.Stat(third.Rootfs() + "/etc/greeting"); err != nil {
		t.Error(err)
	}
}

func TestRewindPutsDiskAndVolumesBack(t *testing.T) {
	cloud := newCloud(t, "mrewind")
	ctx := t.Context()
	if err := machine.CreateVolume(ctx, cloud, "files", 1, "ext4", ""); err != nil {
		t.Fatal(err)
	}
	m := boot(t, cloud, machine.Spec{Name: "actor", UserData: userData, Volumes: []machine.Volume{{Name: "files"}}})
	sh(t, m, "mkdir /srv/files; mount "+device+" /srv/files; echo then > /srv/files/note; mkdir -p /opt/thing; echo then > /opt/thing/note")
	if err := m.PowerOff(ctx); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "scene")
	if err := m.Snapshot(ctx, dir); err != nil {
		t.Fatal(err)
	}
	address := m.Spec.Address
	for range 2 {
		if err := m.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if err := m.Rewind(ctx, dir); err == nil {
			t.Error("a running machine was rewound")
		}
		got := sh(t, m, "mount "+device+" /srv/files; cat /srv/files/note /opt/thing/note; wc -l < /var/log/first-boots")
		if got != "then\nthen\n1" {
			t.Errorf("it has %q", got)
		}
		sh(t, m, "echo now > /srv/files/note; mv /opt/thing /opt/gone; sync")
		if err := m.Kill(ctx); err != nil {
			t.Fatal(err)
		}
		if err := m.Rewind(ctx, dir); err != nil {
			t.Fatal(err)
		}
	}
	if m.Spec.Address != address {
		t.Errorf("it moved from %s to %s", address, m.Spec.Address)
	}
}
