package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/base"
)

// makeDisk writes an empty disk.
func makeDisk(ctx context.Context, path string, spec Spec) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = file.Truncate(int64(spec.DiskGB) << 30)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return makeExt4(ctx, path, "")
}

func makeExt4(ctx context.Context, path, label string) error {
	args := []string{"-q", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"}
	if label != "" {
		args = append(args, "-L", label)
	}
	out, err := exec.CommandContext(ctx, "mkfs.ext4", append(args, path)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format %s: %w: %s", filepath.Base(path), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// lowerLayers finds what lies under a new machine's disk.
func lowerLayers(spec Spec) ([]string, error) {
	if spec.From == "" {
		rootfs, err := base.Find()
		if errors.Is(err, os.ErrNotExist) {
			return nil, errors.New("the base image is not built (run: localcloud build base)")
		}
		if err != nil {
			return nil, err
		}
		return []string{rootfs}, nil
	}
	snap, err := readSnapshot(spec.From)
	if err != nil {
		return nil, err
	}
	return snap.Lower, nil
}

// openLoop gives an image a loop device, which lives until every user of it is
// gone: the returned file, mounts, and processes. So a killed supervisor
// leaves none behind.
func openLoop(path string, readOnly bool) (*os.File, error) {
	mode, flags := os.O_RDWR, uint32(unix.LO_FLAGS_AUTOCLEAR)
	if readOnly {
		mode, flags = os.O_RDONLY, flags|unix.LO_FLAGS_READ_ONLY
	}
	backing, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return nil, err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("make loop device: %w (try: modprobe loop)", err)
	}
	defer control.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd())}
	config.Info.Flags = flags
	copy(config.Info.File_name[:len(config.Info.File_name)-1], path)
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("find a free loop device: %w", err)
		}
		device, err := openLoopNode(n, mode)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) { // EBUSY: somebody was quicker
			return nil, fmt.Errorf("attach %s to %s: %w", path, device.Name(), err)
		}
	}
}

// openLoopNode makes the device node where no udev does.
func openLoopNode(n, mode int) (*os.File, error) {
	name := fmt.Sprintf("/dev/loop%d", n)
	device, err := os.OpenFile(name, mode, 0)
	if errors.Is(err, os.ErrNotExist) {
		if err := unix.Mknod(name, unix.S_IFBLK|0o660, int(unix.Mkdev(7, uint32(n)))); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("make %s: %w", name, err)
		}
		device, err = os.OpenFile(name, mode, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open loop device: %w", err)
	}
	return device, nil
}

// mountImage mounts an image's ext4 file system. The caller closes the device
// when it likes: the mount keeps it.
func mountImage(path, target string, readOnly bool) error {
	device, err := openLoop(path, readOnly)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := os.MkdirAll(target, 0o700); err != nil {
		return err
	}
	// A power cut is simulated inside this kernel, so the write barriers that
	// guard against the real one would only cost time. No discard: the kernel
	// discards what was freed last also when the cut came before its journal
	// knew of that, and zeros would stand in files that are there again.
	flags, options := uintptr(0), "barrier=0"
	if readOnly {
		flags, options = unix.MS_RDONLY, ""
	}
	if err := unix.Mount(device.Name(), target, "ext4", flags, options); err != nil {
		return fmt.Errorf("mount %s: %w", path, err)
	}
	return nil
}

// mountRoot puts a machine's root directory together under dir/root: the disk
// over the read-only layers. It is meant for a private mount namespace.
func (m *Machine) mountRoot(r record) (root string, err error) {
	disk := filepath.Join(m.dir, "disk")
	if err := mountImage(m.diskPath(), disk, false); err != nil {
		return "", err
	}
	var lower []string
	for n, layer := range r.Lower {
		if strings.HasSuffix(layer, ".img") {
			at := filepath.Join(m.dir, fmt.Sprintf("layer%d", n))
			if err := mountImage(layer, at, true); err != nil {
				return "", err
			}
			layer = filepath.Join(at, "upper")
		}
		lower = append(lower, layer)
	}
	for _, name := range []string{"upper", "work"} {
		if err := os.MkdirAll(filepath.Join(disk, name), 0o755); err != nil {
			return "", err
		}
	}
	root = filepath.Join(m.dir, "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	// redirect_dir: without it a directory from a lower layer cannot be
	// renamed, which on a server's ordinary file system it can.
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on,index=off,metacopy=off",
		strings.Join(lower, ":"), filepath.Join(disk, "upper"), filepath.Join(disk, "work"))
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		return "", fmt.Errorf("mount root of machine %s: %w", m.Spec.Name, err)
	}
	return root, nil
}
