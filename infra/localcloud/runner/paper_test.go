//go:build machine

package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
	"golang.org/x/sys/unix"

	"townsquare/infra"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/provider"
	"townsquare/infra/localcloud/provider/local"
	"townsquare/infra/localcloud/runner"
	"townsquare/infra/localcloud/spaces"
)

// paper is the backend of a cloud without machines: the engine, the program and the provider are
// real, and a machine, a volume or a bucket is an entry in a file. The provider's process ends with
// each operation, so everything is in the file.
type paper struct {
	provider.Backend // a method that is not below
	dir              string
}

// sheet is the file's content.
type sheet struct {
	Machines map[string]*paperMachine
	Volumes  map[string]int // GiB
	Buckets  map[string]bool
	Keys     []string
	Refuses  string // what DigitalOcean answers to a resize, once the power is off; empty: it resizes
}

type paperMachine struct {
	Status   string
	MemoryMB int
	Number   int

	PowerCuts int // while it was on
}

func sheetFile(dir string) string { return filepath.Join(dir, "paper.json") }

// onPaper reports whether this process is the provider of a cloud without machines.
func onPaper() bool {
	cloud, err := network.Open(os.Getenv(provider.CloudVariable))
	if err != nil {
		return false
	}
	_, err = os.Stat(sheetFile(cloud.Dir))
	return local.Called() && err == nil
}

func openPaper(name string) (string, provider.Backend, error) {
	cloud, err := network.Open(name)
	if err != nil {
		return "", nil, err
	}
	return cloud.Dir, &paper{dir: cloud.Dir}, nil
}

func servePaper() int {
	opened := &provider.Cloud{Open: openPaper}
	if err := p.RunProvider(context.Background(), provider.Name, provider.Version, provider.New(opened)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func readSheet(dir string) (sheet, error) {
	var s sheet
	data, err := os.ReadFile(sheetFile(dir))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	return s, err
}

func writeSheet(dir string, s sheet) error {
	data, err := json.Marshal(s)
	return errors.Join(err, os.WriteFile(sheetFile(dir), data, 0o600))
}

// changeSheet reads the sheet, changes and writes it while no other process does: the provider and the
// API are two.
func changeSheet(dir string, change func(*sheet) error) (err error) {
	lock, err := os.OpenFile(sheetFile(dir)+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	s, err := readSheet(dir)
	if err != nil {
		return err
	}
	if err := change(&s); err != nil {
		return err
	}
	return writeSheet(dir, s)
}

func (b *paper) change(change func(*sheet) error) error { return changeSheet(b.dir, change) }

func (b *paper) CreateMachine(_ context.Context, spec provider.MachineSpec) (place provider.Placement, err error) {
	err = b.change(func(s *sheet) error {
		if s.Machines[spec.Name] != nil {
			return fmt.Errorf("there is a machine %s already", spec.Name)
		}
		number := 10
		for _, m := range s.Machines {
			number = max(number, m.Number+1)
		}
		s.Machines[spec.Name] = &paperMachine{Status: "active", MemoryMB: spec.MemoryMB, Number: number}
		place = provider.Placement{
			Machine: spec.Name, Address: netip.AddrFrom4([4]byte{10, 91, 0, byte(number)}),
			Address6: netip.MustParseAddr(fmt.Sprintf("fd91::%d", number)),
		}
		return nil
	})
	return place, err
}

func (b *paper) WaitMachine(context.Context, string) error { return nil }

func (b *paper) MachineStatus(_ context.Context, name string) (status string, err error) {
	err = b.change(func(s *sheet) error {
		if m := s.Machines[name]; m != nil {
			status = m.Status
		}
		return nil
	})
	return status, err
}

func (b *paper) ResizeMachine(_ context.Context, name string, memoryMB int, graceful bool) error {
	refused := ""
	err := b.change(func(s *sheet) error {
		m := s.Machines[name]
		if m.Status == "active" && !graceful {
			m.PowerCuts++
		}
		if m.Status, refused = "off", s.Refuses; refused == "" {
			m.Status, m.MemoryMB = "active", memoryMB
		}
		return nil
	})
	if refused != "" {
		return fmt.Errorf("422: %s", refused)
	}
	return err
}

func (b *paper) ShutDownMachine(_ context.Context, name string) error {
	return b.change(func(s *sheet) error { s.Machines[name].Status = "off"; return nil })
}

func (b *paper) RemoveMachine(_ context.Context, name string) error {
	return b.change(func(s *sheet) error { delete(s.Machines, name); return nil })
}

func (b *paper) Run(context.Context, string, io.Reader, ...string) ([]byte, error) { return nil, nil }

func (b *paper) CreateVolume(ctx context.Context, volume provider.VolumeSpec) error {
	return b.GrowVolume(ctx, volume.Name, volume.GiB)
}

func (b *paper) GrowVolume(_ context.Context, name string, gib int) error {
	return b.change(func(s *sheet) error { s.Volumes[name] = gib; return nil })
}

func (b *paper) RemoveVolume(_ context.Context, name string) error {
	return b.change(func(s *sheet) error { delete(s.Volumes, name); return nil })
}

func (b *paper) AttachVolume(context.Context, string, string) error { return nil }

func (b *paper) DetachVolume(context.Context, string, string) error { return nil }

func (b *paper) ApplyNetwork(context.Context, provider.Network) error { return nil }

func (b *paper) CreateBucket(_ context.Context, bucket string, versioned bool) error {
	return b.change(func(s *sheet) error {
		if _, taken := s.Buckets[bucket]; taken {
			return errors.New("BucketAlreadyExists")
		}
		s.Buckets[bucket] = versioned
		return nil
	})
}

func (b *paper) SetVersioning(_ context.Context, bucket string, on bool) error {
	return b.change(func(s *sheet) error { s.Buckets[bucket] = on; return nil })
}

func (b *paper) BucketStatus(_ context.Context, bucket string) (exists, versioned bool, err error) {
	err = b.change(func(s *sheet) error { versioned, exists = s.Buckets[bucket]; return nil })
	return exists, versioned, err
}

// RemoveBucket takes every bucket for one with backups in it.
func (b *paper) RemoveBucket(_ context.Context, bucket string, force bool) error {
	return b.change(func(s *sheet) error {
		if _, exists := s.Buckets[bucket]; exists && !force {
			return errors.New("BucketNotEmpty")
		}
		delete(s.Buckets, bucket)
		return nil
	})
}

func (b *paper) ApplyKeys(_ context.Context, _ []string, keys []provider.AccessKey) error {
	return b.change(func(s *sheet) error {
		s.Keys = nil
		for _, key := range keys {
			s.Keys = append(s.Keys, key.ID)
		}
		return nil
	})
}

func (b *paper) HasKey(_ context.Context, id string) (has bool, err error) {
	err = b.change(func(s *sheet) error {
		for _, key := range s.Keys {
			has = has || key == id
		}
		return nil
	})
	return has, err
}

// paperStack is the whole program on a cloud without machines.
type paperStack struct {
	t     *testing.T
	cloud *network.Cloud
	said  bytes.Buffer // what the engine said last
	set   map[string]any
	api   *paperAPI
}

// newPaperStack is a stack with the settings of Pulumi.dev.yaml, and some on top of them.
func newPaperStack(t *testing.T, name string, set map[string]any) *paperStack {
	t.Helper()
	cloud := newCloud(t, name)
	err := writeSheet(cloud.Dir, sheet{Machines: map[string]*paperMachine{}, Volumes: map[string]int{}, Buckets: map[string]bool{}})
	id, secret := spaces.KeyFiles(cloud)
	for _, file := range []string{id, secret} {
		err = errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("a key to all buckets"), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &paperStack{t: t, cloud: cloud, set: map[string]any{}}
	s.api = &paperAPI{stack: s}
	server := httptest.NewServer(s.api)
	t.Cleanup(server.Close)
	maps.Copy(s.set, set)
	s.set["digitalocean:apiEndpoint"] = server.URL
	return s
}

func (s *paperStack) try(work func(context.Context, *runner.Stack) (runner.Changes, error)) (runner.Changes, error) {
	s.t.Helper()
	s.said.Reset()
	stack := stackOf(s.t, s.cloud, &s.said, infra.New, s.set)
	defer stack.Close()
	return work(s.t.Context(), stack)
}

func (s *paperStack) tryUp(options ...optup.Option) (runner.Changes, error) {
	s.t.Helper()
	return s.try(func(ctx context.Context, stack *runner.Stack) (runner.Changes, error) {
		return stack.Up(ctx, options...)
	})
}

func (s *paperStack) tryPreview(options ...optpreview.Option) (runner.Changes, error) {
	s.t.Helper()
	return s.try(func(ctx context.Context, stack *runner.Stack) (runner.Changes, error) {
		return stack.Preview(ctx, options...)
	})
}

func (s *paperStack) up(options ...optup.Option) runner.Changes {
	s.t.Helper()
	changes, err := s.tryUp(options...)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.said.String())
	}
	return changes
}

// droplet is the stack's one droplet, by its URN in the cloud, and project what is in its project.
func (s *paperStack) droplet() (urn string, project []string) {
	s.t.Helper()
	var inventory struct {
		Resources struct {
			Droplet map[string]struct{ DropletUrn string }
			Project map[string]struct{ Resources []string }
		}
	}
	data, err := os.ReadFile(filepath.Join(s.cloud.Dir, "inventory.json"))
	if err == nil {
		err = json.Unmarshal(data, &inventory)
	}
	if err != nil || len(inventory.Resources.Droplet) != 1 || len(inventory.Resources.Project) != 1 {
		s.t.Fatalf("%v in %s", err, data)
	}
	for _, d := range inventory.Resources.Droplet {
		urn = d.DropletUrn
	}
	for _, p := range inventory.Resources.Project {
		project = p.Resources
	}
	return urn, project
}
