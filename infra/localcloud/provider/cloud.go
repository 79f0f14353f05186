package provider

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
)

// Cloud is the local cloud as the resources see it: an inventory of everything, and a backend for
// the part of it that is real.
type Cloud struct {
	// Open finds the cloud of that name: the directory its state lives in, and its backend. It is
	// called once, when the first resource needs it.
	Open func(name string) (dir string, backend Backend, err error)

	// databases keeps changes of users and databases apart: a user's removal visits every database,
	// and one that is dropped meanwhile would fail it.
	databases sync.Mutex

	Name   string // from the provider's configuration; empty: from the environment
	denied error  // what every request is answered

	opening   sync.Mutex
	inventory *Inventory
	backend   Backend
}

// Placement is where a droplet or a database cluster runs.
type Placement struct {
	Machine  string     `json:"machine"` // its name in the cloud
	Address  netip.Addr `json:"address"`
	Address6 netip.Addr `json:"address6"`
}

// Backend is the part of the local cloud that is real. Removing what is not there, or setting what
// is set already, is no error; making what exists is one.
type Backend interface {
	// CreateMachine makes a machine and boots it; it returns when the machine runs, not when
	// cloud-init has finished, as DigitalOcean does. After an error nothing is left of it.
	CreateMachine(ctx context.Context, spec MachineSpec) (Placement, error)
	// WaitMachine waits until cloud-init has finished; a cloud-init that failed is an error.
	WaitMachine(ctx context.Context, machine string) error
	// MachineStatus is "active", "off", or "" when there is no such machine.
	MachineStatus(ctx context.Context, machine string) (string, error)
	// ResizeMachine gives a machine another amount of memory, switching it off and on.
	ResizeMachine(ctx context.Context, machine string, memoryMB int) error
	// ShutDownMachine powers a machine off in order. One that takes longer than ctx has goes on with it,
	// and that is an error.
	ShutDownMachine(ctx context.Context, machine string) error
	// RemoveMachine cuts the power of one that is on.
	RemoveMachine(ctx context.Context, machine string) error
	// Run runs a program in the machine as root and returns its standard output. Secrets belong in
	// input, never in argv.
	Run(ctx context.Context, machine string, input io.Reader, argv ...string) ([]byte, error)

	CreateVolume(ctx context.Context, volume VolumeSpec) error
	GrowVolume(ctx context.Context, volume string, gib int) error
	RemoveVolume(ctx context.Context, volume string) error
	AttachVolume(ctx context.Context, machine, volume string) error
	DetachVolume(ctx context.Context, machine, volume string) error

	// ApplyNetwork makes firewalls, reserved addresses and names exactly what is given.
	ApplyNetwork(ctx context.Context, network Network) error

	ObjectStorage
}

// ObjectStorage is the part of Backend that keeps buckets. Its errors name a bucket that is taken,
// missing or not empty as S3 does.
type ObjectStorage interface {
	CreateBucket(ctx context.Context, bucket string, versioned bool) error
	SetVersioning(ctx context.Context, bucket string, on bool) error
	// BucketStatus says whether there is such a bucket, and whether it keeps versions.
	BucketStatus(ctx context.Context, bucket string) (exists, versioned bool, err error)
	// RemoveBucket refuses a bucket with anything in it, old versions included, unless force is set.
	RemoveBucket(ctx context.Context, bucket string, force bool) error
	// ApplyKeys makes access keys, and what they open of the buckets, exactly what is given.
	ApplyKeys(ctx context.Context, buckets []string, keys []AccessKey) error
	HasKey(ctx context.Context, id string) (bool, error)
}

// AccessKey is a key to buckets: to all of them, or to some with a permission each.
type AccessKey struct {
	ID, Secret string
	Full       bool
	Grants     map[string]string // by bucket: read, readwrite or fullaccess
}

// MachineSpec is a machine to make. Volumes are attached before the first boot.
type MachineSpec struct {
	Name, Hostname string
	InstanceID     string // what cloud-init sees; another one makes it run its first boot again
	MemoryMB       int
	UserData       string
	PublicKeys     []string // for cloud-init's metadata, in authorized_keys form
	Volumes        []string
}

// VolumeSpec is a block-storage volume to make. An empty Filesystem leaves it raw.
type VolumeSpec struct {
	Name              string
	GiB               int
	Filesystem, Label string
}

// Network is everything about the cloud's network that resources decide.
type Network struct {
	Firewalls map[string]HostFirewall // by machine; a machine without one is open
	Reserved  map[netip.Addr]string   // reserved address → machine, or "" while it points nowhere
	Records   []Record
}

// HostFirewall is what may reach, and be reached from, one machine.
type HostFirewall struct{ Inbound, Outbound []Rule }

// Rule allows traffic. Ports is "443", "8000-9000", or empty for all; no peers is nobody.
type Rule struct {
	Protocol string // tcp, udp or icmp
	Ports    string
	Peers    []netip.Prefix
}

// Record is one DNS record; Name is fully qualified, without the last dot.
type Record struct {
	Name, Type, Value string
	TTL               int
	Flags             int    // CAA
	Tag               string // CAA
	Priority          int    // MX, SRV
	Weight, Port      int    // SRV
}

// CloudVariable is the environment variable that names the cloud.
const CloudVariable = "TOWNSQUARE_CLOUD"

// ready opens the cloud at the first use.
func (c *Cloud) ready() error {
	c.opening.Lock()
	defer c.opening.Unlock()
	if c.inventory != nil || c.denied != nil {
		return c.denied
	}
	name := c.Name
	if name == "" {
		name = os.Getenv(CloudVariable)
	}
	if name == "" {
		return fmt.Errorf("no cloud is named: set %s, or digitalocean:cloud in the stack's configuration", CloudVariable)
	}
	dir, backend, err := c.Open(name)
	if err != nil {
		return fmt.Errorf("open cloud %s: %w", name, err)
	}
	c.inventory, c.backend = &Inventory{dir: dir}, backend
	return nil
}

func (c *Cloud) view(look func(*Contents) error) error {
	if err := c.ready(); err != nil {
		return err
	}
	return c.inventory.View(look)
}

func (c *Cloud) change(change func(*Contents) error) error {
	if err := c.ready(); err != nil {
		return err
	}
	return c.inventory.Change(change)
}

// changeNetwork is change for what firewalls, reserved addresses and names are made from: the
// network is brought in line before the lock is given back, so that the last writer is right. An
// error of the network leaves the inventory as it was.
func (c *Cloud) changeNetwork(ctx context.Context, change func(*Contents) error) error {
	return c.change(func(contents *Contents) error {
		if err := change(contents); err != nil {
			return err
		}
		network, err := networkOf(contents)
		if err != nil {
			return err
		}
		return c.backend.ApplyNetwork(ctx, network)
	})
}

// changeThenNetwork is changeNetwork for what has happened already and cannot be taken back: the
// inventory is changed whatever becomes of the network.
func (c *Cloud) changeThenNetwork(ctx context.Context, change func(*Contents) error) error {
	if err := c.change(change); err != nil {
		return err
	}
	return c.changeNetwork(ctx, func(*Contents) error { return nil })
}
