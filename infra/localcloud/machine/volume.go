package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/network"
)

// Volume is a block device that outlives machines. A machine sees it as
// /dev/disk/by-id/scsi-0DO_Volume_<Name>.
type Volume struct {
	Name string
	// Copied volumes came with a snapshot: they belong to the one machine, and
	// go when it goes.
	Copied bool `json:",omitempty"`
}

func devicePath(volume string) string { return "/dev/disk/by-id/scsi-0DO_Volume_" + volume }

// path is where a volume of this machine is kept.
func (m *Machine) volumePath(v Volume) string {
	if v.Copied {
		return filepath.Join(m.dir, v.Name+".volume.img")
	}
	return volumePath(m.Cloud, v.Name)
}

func volumePath(cloud *network.Cloud, name string) string {
	return filepath.Join(cloud.Dir, "volumes", name+".img")
}

// CreateVolume makes a volume of sizeGB GiB (sparse). With filesystem "ext4" it
// holds an empty one with that label; with "" it is blank. It fails if the name
// is taken.
func CreateVolume(ctx context.Context, cloud *network.Cloud, name string, sizeGB int, filesystem, label string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("create volume %q: a name is 1 to 40 lower-case letters, digits and dashes and begins with a letter", name)
	}
	if filesystem != "" && filesystem != "ext4" {
		return fmt.Errorf("create volume %s: file system %q: want ext4 or none", name, filesystem)
	}
	path := volumePath(cloud, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create volume %s: %w", name, err)
	}
	err = errors.Join(file.Truncate(int64(sizeGB)<<30), file.Close())
	if err == nil && filesystem == "ext4" {
		err = makeExt4(ctx, path, label)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("create volume %s: %w", name, err), os.Remove(path))
	}
	return nil
}

// GrowVolume makes a volume sizeGB GiB large, which a running machine sees at
// once. Its file system stays as it is, as DigitalOcean's does. A volume never
// shrinks.
func GrowVolume(_ context.Context, cloud *network.Cloud, name string, sizeGB int) error {
	path := volumePath(cloud, name)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("grow volume %s: %w", name, err)
	}
	if info.Size() > int64(sizeGB)<<30 {
		return fmt.Errorf("grow volume %s: it has %d GiB already", name, info.Size()>>30)
	}
	if err := os.Truncate(path, int64(sizeGB)<<30); err != nil {
		return err
	}
	owner, err := attachedTo(cloud, name)
	if err != nil || owner == "" {
		return err
	}
	m, err := Open(cloud, owner)
	if err != nil {
		return err
	}
	run, err := m.readRunning()
	if err != nil || run.Volumes[name] == "" {
		return nil // off: it looks when it starts
	}
	device, err := os.OpenFile(run.Volumes[name], os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("grow volume %s: %w", name, err)
	}
	defer device.Close()
	if err := unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_CAPACITY, 0); err != nil {
		return fmt.Errorf("grow volume %s: %w", name, err)
	}
	return nil
}

// RemoveVolume deletes a volume. Removing twice is no error; removing one that
// is attached is.
func RemoveVolume(_ context.Context, cloud *network.Cloud, name string) error {
	owner, err := attachedTo(cloud, name)
	if err != nil {
		return err
	}
	if owner != "" {
		return fmt.Errorf("remove volume %s: it is attached to machine %s", name, owner)
	}
	if err := os.Remove(volumePath(cloud, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove volume %s: %w", name, err)
	}
	return nil
}

func attachedTo(cloud *network.Cloud, volume string) (machine string, err error) {
	all, err := List(cloud)
	if err != nil {
		return "", err
	}
	for _, m := range all {
		if slices.Contains(m.Spec.Volumes, Volume{Name: volume}) {
			return m.Spec.Name, nil
		}
	}
	return "", nil
}

func (m *Machine) mayAttach(volume string) error {
	if _, err := os.Stat(volumePath(m.Cloud, volume)); err != nil {
		return fmt.Errorf("attach volume %s: %w", volume, err)
	}
	owner, err := attachedTo(m.Cloud, volume)
	if err != nil {
		return err
	}
	if owner != "" && owner != m.Spec.Name {
		return fmt.Errorf("attach volume %s: it is attached to machine %s", volume, owner)
	}
	return nil
}

// Attach plugs a volume into the machine, running or not. Attaching twice is
// no error; a volume attached elsewhere is.
func (m *Machine) Attach(ctx context.Context, v Volume) error {
	if err := m.mayAttach(v.Name); err != nil {
		return err
	}
	err := m.change(func(r *record) error {
		if !slices.Contains(r.Spec.Volumes, v) {
			r.Spec.Volumes = append(r.Spec.Volumes, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.awaitVolumes(ctx, v.Name, true)
}

// Detach pulls a volume out. It must not be mounted in the machine. Detaching
// twice is no error.
func (m *Machine) Detach(ctx context.Context, name string) error {
	if run, err := m.readRunning(); err == nil && run.Volumes[name] != "" {
		mounted, err := mountPoints(run.Leader, run.Volumes[name])
		if err != nil {
			return err
		}
		if len(mounted) > 0 {
			return fmt.Errorf("detach volume %s: machine %s has it mounted at %s", name, m.Spec.Name, mounted[0])
		}
	}
	err := m.change(func(r *record) error {
		r.Spec.Volumes = slices.DeleteFunc(r.Spec.Volumes, func(v Volume) bool { return v.Name == name })
		return nil
	})
	if err != nil {
		return err
	}
	return m.awaitVolumes(ctx, name, false)
}

// awaitVolumes has a running machine's supervisor look at its volumes again.
func (m *Machine) awaitVolumes(ctx context.Context, name string, want bool) error {
	run, err := m.readRunning()
	if err != nil {
		return nil // off: it looks when it starts
	}
	if err := unix.Kill(run.Supervisor, unix.SIGHUP); err != nil {
		return fmt.Errorf("tell machine %s: %w", m.Spec.Name, err)
	}
	err = network.Settle(ctx, func() bool {
		run, err := m.readRunning()
		return err != nil || (run.Volumes[name] != "") == want
	})
	if err != nil {
		return fmt.Errorf("wait for machine %s to follow with volume %s (see %s): %w", m.Spec.Name, name, m.ConsolePath(), err)
	}
	return nil
}

// plug opens a device for every volume of the machine that has none yet.
func (s *supervisor) plug() error {
	r, err := s.m.load()
	if err != nil {
		return err
	}
	for _, v := range r.Spec.Volumes {
		if s.volumes[v.Name] != nil {
			continue
		}
		device, err := openLoop(s.m.volumePath(v), false)
		if err != nil {
			return fmt.Errorf("attach volume %s: %w", v.Name, err)
		}
		s.volumes[v.Name] = device
	}
	for name, device := range s.volumes {
		if !slices.ContainsFunc(r.Spec.Volumes, func(v Volume) bool { return v.Name == name }) {
			device.Close()
			delete(s.volumes, name)
		}
	}
	return nil
}

// replug does the same for a machine that is running, in its own /dev.
func (s *supervisor) replug(nspawn int) error {
	before := map[string]bool{}
	for name := range s.volumes {
		before[name] = true
	}
	if err := s.plug(); err != nil {
		return err
	}
	leader := findLeader(nspawn)
	root := fmt.Sprintf("/proc/%d/root", leader)
	for name, device := range s.volumes {
		if before[name] {
			delete(before, name)
			continue
		}
		var stat unix.Stat_t
		if err := unix.Fstat(int(device.Fd()), &stat); err != nil {
			return err
		}
		node := root + devicePath(name)
		if err := os.MkdirAll(filepath.Dir(node), 0o755); err != nil {
			return err
		}
		if err := unix.Mknod(node, unix.S_IFBLK|0o660, int(stat.Rdev)); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("make %s: %w", devicePath(name), err)
		}
	}
	for name := range before {
		node := root + devicePath(name)
		// Present from boot on, it is a mount of the outer node.
		if err := unix.Unmount(node, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return err
		}
		os.Remove(node)
	}
	return s.writeRunning(nspawn, leader)
}
