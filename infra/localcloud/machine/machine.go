// Package machine makes and runs the servers of a local cloud: Debian with its
// own systemd, users, packages and network, in systemd-nspawn.
//
// A machine's disk is a file system image of its own, mounted over the shared
// base image, so a power cut here loses what a power cut loses: everything
// that was not yet synced.
package machine

import (
	"context"
	"errors"
	"net/netip"

	"townsquare/infra/localcloud/network"
)

// ErrNotExist is returned by Open for a machine that was never made or has
// been removed.
var ErrNotExist = errors.New("no such machine")

// Spec is what a machine is made from.
type Spec struct {
	Name     string     // also its cloud-init instance id
	Hostname string     // empty: Name
	MemoryMB int        // limit in MiB; 0: 8192
	Address  netip.Addr // zero: allocated by the network
	Address6 netip.Addr // zero: allocated by the network
	UserData string     // cloud-init user data; with From and empty: as in the snapshot
	Volumes  []Volume
	From     string // directory made by Snapshot; empty: the plain base image
}

// Volume is a block device that outlives machines. A machine sees it as
// /dev/disk/by-id/scsi-0DO_Volume_<Name>.
type Volume struct {
	Name string
}

// Machine is one server, running or not.
type Machine struct {
	Cloud *network.Cloud
	Spec  Spec
}

// Create makes a machine that is off. It fails if the name is taken.
func Create(ctx context.Context, cloud *network.Cloud, spec Spec) (*Machine, error) {
	return nil, errors.ErrUnsupported
}

// Open finds a machine that Create made. The error is ErrNotExist if there is
// none.
func Open(cloud *network.Cloud, name string) (*Machine, error) { return nil, ErrNotExist }

// List returns all machines of a cloud, by name.
func List(cloud *network.Cloud) ([]*Machine, error) { return nil, nil }

// Start switches the machine on and returns when its systemd answers. It
// returns at once when the machine is running.
func (m *Machine) Start(ctx context.Context) error { return errors.ErrUnsupported }

// WaitReady waits until the system has booted and cloud-init has finished. A
// cloud-init that ended in error is an error with its own report in it.
func (m *Machine) WaitReady(ctx context.Context) error { return errors.ErrUnsupported }

// PowerOff shuts the machine down in order. It returns at once when it is off.
func (m *Machine) PowerOff(ctx context.Context) error { return errors.ErrUnsupported }

// Kill pulls the plug: writes that were not synced are lost.
func (m *Machine) Kill(ctx context.Context) error { return errors.ErrUnsupported }

// Remove kills the machine if it runs and deletes its disk. Volumes stay.
// Removing twice is no error.
func (m *Machine) Remove(ctx context.Context) error { return errors.ErrUnsupported }

// Running says whether the machine is on.
func (m *Machine) Running() bool { return false }

// Exec runs a program as root inside the running machine and returns what it
// wrote to standard output. A program that fails is an *ExecError.
func (m *Machine) Exec(ctx context.Context, argv ...string) (string, error) {
	return "", errors.ErrUnsupported
}

// Rootfs is the root directory of the running machine as seen from outside;
// empty when it is off.
func (m *Machine) Rootfs() string { return "" }

// Snapshot copies the disk of a machine that is off to dir, for Spec.From.
func (m *Machine) Snapshot(ctx context.Context, dir string) error { return errors.ErrUnsupported }

// Attach plugs a volume into the machine, running or not. Attaching twice is
// no error; a volume attached elsewhere is.
func (m *Machine) Attach(ctx context.Context, v Volume) error { return errors.ErrUnsupported }

// Detach pulls a volume out. It must not be mounted in a running machine.
func (m *Machine) Detach(ctx context.Context, name string) error { return errors.ErrUnsupported }

// CreateVolume makes a volume of sizeGB GiB (sparse) holding an empty ext4 file
// system. It fails if the name is taken.
func CreateVolume(ctx context.Context, cloud *network.Cloud, name string, sizeGB int) error {
	return errors.ErrUnsupported
}

// RemoveVolume deletes a volume. Removing twice is no error; removing one that
// is attached is.
func RemoveVolume(ctx context.Context, cloud *network.Cloud, name string) error {
	return errors.ErrUnsupported
}

// GrowVolume makes a volume sizeGB GiB large; its file system grows when a
// machine runs resize2fs, as on a real server.
func GrowVolume(ctx context.Context, cloud *network.Cloud, name string, sizeGB int) error {
	return errors.ErrUnsupported
}
