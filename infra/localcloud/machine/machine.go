// Package machine makes and runs the servers of a local cloud: Debian with its
// own systemd, users, packages and network, in systemd-nspawn.
//
// A machine's disk is a file system image of its own, mounted over the shared
// base image, so a power cut here loses what a power cut loses: everything
// that was not yet synced.
package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"

	"townsquare/infra/localcloud/network"
)

// ErrNotExist is returned by Open for a machine that was never made or has
// been removed.
var ErrNotExist = errors.New("no such machine")

// Spec is what a machine is made from.
type Spec struct {
	Name       string     // lower-case letters, digits and dashes, at most 40
	InstanceID string     // cloud-init's instance id; empty: Name, with From: as in the snapshot
	Hostname   string     // empty: Name
	MemoryMB   int        // limit in MiB; 0: 8192
	DiskGB     int        // size in GiB of the (sparse) disk; 0: 60; with From: as in the snapshot
	Address    netip.Addr // zero: allocated by the network
	Address6   netip.Addr // zero: allocated by the network
	UserData   string     // cloud-init user data; with From and empty: as in the snapshot
	PublicKeys []string   // cloud-init's public-keys, as a provider hands them over
	Volumes    []Volume   // plugged in before the first boot
	From       string     // directory made by Snapshot; empty: the plain base image
}

// Machine is one server, running or not.
type Machine struct {
	Cloud *network.Cloud
	Spec  Spec

	dir string
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// Limits of what Create makes when Spec leaves it open.
const (
	defaultMemoryMB = 8192 // s-4vcpu-8gb
	defaultDiskGB   = 60
)

func directory(cloud *network.Cloud, name string) string {
	return filepath.Join(cloud.Dir, "machines", name)
}

// Create makes a machine that is off. It fails if the name is taken.
func Create(ctx context.Context, cloud *network.Cloud, spec Spec) (made *Machine, err error) {
	if !validName.MatchString(spec.Name) {
		return nil, fmt.Errorf("create machine %q: a name is 1 to 40 lower-case letters, digits and dashes and begins with a letter", spec.Name)
	}
	if spec.MemoryMB == 0 {
		spec.MemoryMB = defaultMemoryMB
	}
	if spec.DiskGB == 0 {
		spec.DiskGB = defaultDiskGB
	}
	if err := spec.inherit(); err != nil {
		return nil, err
	}
	if spec.Hostname == "" {
		spec.Hostname = spec.Name
	}
	lower, err := lowerLayers(spec)
	if err != nil {
		return nil, fmt.Errorf("create machine %s: %w", spec.Name, err)
	}
	m := &Machine{Cloud: cloud, Spec: spec, dir: directory(cloud, spec.Name)}
	if err := os.MkdirAll(filepath.Dir(m.dir), 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("create machine %s: there is one already", spec.Name)
		}
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("create machine %s: %w", spec.Name, err), m.Remove(context.WithoutCancel(ctx)))
		}
	}()
	addr, err := cloud.Claim(spec.Name, network.MachineAddr{Address: spec.Address, Address6: spec.Address6})
	if err != nil {
		return nil, err
	}
	m.Spec.Address, m.Spec.Address6 = addr.Address, addr.Address6
	for _, v := range spec.Volumes {
		if v.Copied {
			err = copySparse(ctx, filepath.Join(spec.From, v.Name+".volume.img"), m.volumePath(v))
		} else {
			err = m.mayAttach(v.Name)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := makeDisk(ctx, m.diskPath(), spec); err != nil {
		return nil, err
	}
	return m, m.save(record{Spec: m.Spec, Lower: lower})
}

// record is what the machine's directory says about it.
type record struct {
	Spec  Spec
	Lower []string // read-only layers under the disk, uppermost first
}

func (m *Machine) diskPath() string { return filepath.Join(m.dir, "disk.img") }

func (m *Machine) save(r record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	// User data may hold a host key: root only, as everything in here.
	temp := filepath.Join(m.dir, "machine.json.new")
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(m.dir, "machine.json"))
}

func (m *Machine) load() (record, error) {
	var r record
	data, err := os.ReadFile(filepath.Join(m.dir, "machine.json"))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read machine %s: %w", filepath.Base(m.dir), err)
	}
	return r, nil
}

// Open finds a machine that Create made. The error is ErrNotExist if there is
// none.
func Open(cloud *network.Cloud, name string) (*Machine, error) {
	m := &Machine{Cloud: cloud, dir: directory(cloud, name)}
	r, err := m.load()
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("machine %s: %w", name, ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	m.Spec = r.Spec
	return m, nil
}

// List returns all machines of a cloud, by name.
func List(cloud *network.Cloud) ([]*Machine, error) {
	entries, err := os.ReadDir(directory(cloud, ""))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var all []*Machine
	for _, entry := range entries {
		m, err := Open(cloud, entry.Name())
		if errors.Is(err, ErrNotExist) {
			continue // being made or removed
		}
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// SetMemory changes the memory limit, in MiB, from the next start on.
func (m *Machine) SetMemory(mb int) error {
	return m.change(func(r *record) error {
		r.Spec.MemoryMB = mb
		return nil
	})
}

func (m *Machine) change(f func(*record) error) error {
	r, err := m.load()
	if err != nil {
		return err
	}
	if err := f(&r); err != nil {
		return err
	}
	m.Spec = r.Spec
	return m.save(r)
}

// Remove kills the machine if it runs and deletes its disk. Volumes stay.
// Removing twice is no error.
func (m *Machine) Remove(ctx context.Context) error {
	if err := m.Kill(ctx); err != nil {
		return fmt.Errorf("remove machine %s: %w", m.Spec.Name, err)
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return fmt.Errorf("remove machine %s: %w", m.Spec.Name, err)
	}
	return m.Cloud.Free(m.Spec.Name)
}
