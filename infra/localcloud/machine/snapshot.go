package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

type snapshot struct {
	InstanceID string
	Hostname   string
	UserData   string
	PublicKeys []string
	Lower      []string
	Volumes    []string // copies of the volumes that were attached
}

// Snapshot copies the disk and the volumes of a machine that is off to dir, for
// Spec.From. A machine made from it has volumes of the same names that are its
// own, and needs dir as long as it lives.
func (m *Machine) Snapshot(ctx context.Context, dir string) error {
	if m.Running() {
		return fmt.Errorf("snapshot machine %s: it is running", m.Spec.Name)
	}
	r, err := m.load()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := copySparse(ctx, m.diskPath(), filepath.Join(dir, "disk.img")); err != nil {
		return fmt.Errorf("snapshot machine %s: %w", m.Spec.Name, err)
	}
	// A machine whose plug was pulled left its journal to be replayed, which a
	// read-only layer cannot do.
	if err := repair(ctx, filepath.Join(dir, "disk.img")); err != nil {
		return fmt.Errorf("snapshot machine %s: %w", m.Spec.Name, err)
	}
	var volumes []string
	for _, v := range r.Spec.Volumes {
		if err := copySparse(ctx, m.volumePath(v), filepath.Join(dir, v.Name+".volume.img")); err != nil {
			return fmt.Errorf("snapshot machine %s: %w", m.Spec.Name, err)
		}
		volumes = append(volumes, v.Name)
	}
	lower := append([]string{filepath.Join(dir, "disk.img")}, r.Lower...)
	data, err := json.MarshalIndent(snapshot{
		InstanceID: m.instanceID(), Hostname: r.Spec.Hostname,
		UserData: r.Spec.UserData, PublicKeys: r.Spec.PublicKeys, Lower: lower, Volumes: volumes,
	}, "", "  ")
	if err != nil {
		return err
	}
	// Written last: a directory without it is no snapshot.
	return os.WriteFile(filepath.Join(dir, "snapshot.json"), data, 0o600)
}

// Rewind takes a machine that is off back to a snapshot made of it: the disk as
// it was, and the volumes it had. Name, addresses and place in the cloud stay.
// It needs dir as long as the machine lives, and may be called again.
func (m *Machine) Rewind(ctx context.Context, dir string) error {
	if m.Running() {
		return fmt.Errorf("rewind machine %s: it is running", m.Spec.Name)
	}
	snap, err := readSnapshot(dir)
	if err != nil {
		return fmt.Errorf("rewind machine %s: %w", m.Spec.Name, err)
	}
	r, err := m.load()
	if err != nil {
		return err
	}
	var had []string
	for _, v := range r.Spec.Volumes {
		had = append(had, v.Name)
	}
	if snap.InstanceID != m.instanceID() || !slices.Equal(had, snap.Volumes) {
		return fmt.Errorf("rewind machine %s: %s is a snapshot of another machine, or of other volumes", m.Spec.Name, dir)
	}
	if err := os.Remove(m.diskPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("rewind machine %s: %w", m.Spec.Name, err)
	}
	// An empty disk over the snapshot's, which is quicker than a copy of it.
	if err := makeDisk(ctx, m.diskPath(), r.Spec); err != nil {
		return fmt.Errorf("rewind machine %s: %w", m.Spec.Name, err)
	}
	for _, v := range r.Spec.Volumes {
		if err := os.Remove(m.volumePath(v)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rewind machine %s: %w", m.Spec.Name, err)
		}
		if err := copySparse(ctx, filepath.Join(dir, v.Name+".volume.img"), m.volumePath(v)); err != nil {
			return fmt.Errorf("rewind machine %s: %w", m.Spec.Name, err)
		}
	}
	return m.change(func(r *record) error {
		r.Lower = snap.Lower
		return nil
	})
}

// inherit fills from the snapshot what the spec leaves open.
func (s *Spec) inherit() error {
	if s.From == "" {
		return nil
	}
	snap, err := readSnapshot(s.From)
	if err != nil {
		return err
	}
	if s.InstanceID == "" {
		s.InstanceID = snap.InstanceID
	}
	if s.Hostname == "" {
		s.Hostname = snap.Hostname
	}
	if s.UserData == "" {
		s.UserData = snap.UserData
	}
	if s.PublicKeys == nil {
		s.PublicKeys = snap.PublicKeys
	}
	for _, name := range snap.Volumes {
		s.Volumes = append(s.Volumes, Volume{Name: name, Copied: true})
	}
	return nil
}

func readSnapshot(dir string) (snapshot, error) {
	var s snapshot
	data, err := os.ReadFile(filepath.Join(dir, "snapshot.json"))
	if errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("%s holds no snapshot", dir)
	}
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(data, &s)
}

func copySparse(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "--sparse=always", "--reflink=auto", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy %s: %w: %s", filepath.Base(from), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func repair(ctx context.Context, image string) error {
	out, err := exec.CommandContext(ctx, "e2fsck", "-p", image).CombinedOutput()
	var exit *exec.ExitError
	// 1: errors were corrected.
	if err == nil || errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil
	}
	return fmt.Errorf("e2fsck: %w: %s", err, strings.TrimSpace(string(out)))
}
