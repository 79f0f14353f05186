// Package local makes what the provider asks for out of machines of a local cloud.
package local

import (
	"context"
	"errors"
	"io"
	"strconv"
	"time"

	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/provider"
)

// Open finds the local cloud of that name. It must be up when machines are made, not before.
func Open(name string) (dir string, backend provider.Backend, err error) {
	cloud, err := network.Open(name)
	if err != nil {
		return "", nil, err
	}
	return cloud.Dir, &local{cloud: cloud}, nil
}

type local struct{ cloud *network.Cloud }

var _ provider.Backend = (*local)(nil)

// bootLimit is how long a machine may take to boot, which is seconds; the rest is for a busy computer.
const bootLimit = 3 * time.Minute

func (l *local) CreateMachine(ctx context.Context, spec provider.MachineSpec) (provider.Placement, error) {
	// An interruption does not stop a boot half way: the engine waits, and knows of the machine then.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bootLimit)
	defer cancel()
	wanted := machine.Spec{
		Name: spec.Name, Hostname: spec.Hostname, InstanceID: spec.InstanceID, MemoryMB: spec.MemoryMB,
		UserData: spec.UserData, PublicKeys: spec.PublicKeys,
	}
	for _, name := range spec.Volumes {
		wanted.Volumes = append(wanted.Volumes, machine.Volume{Name: name})
	}
	m, err := machine.Create(ctx, l.cloud, wanted)
	if err != nil {
		return provider.Placement{}, err
	}
	if err := m.Start(ctx); err != nil {
		return provider.Placement{}, errors.Join(err, m.Remove(context.WithoutCancel(ctx)))
	}
	return provider.Placement{Machine: spec.Name, Address: m.Spec.Address, Address6: m.Spec.Address6}, nil
}

func (l *local) WaitMachine(ctx context.Context, name string) error {
	m, err := machine.Open(l.cloud, name)
	if err != nil {
		return err
	}
	return m.WaitReady(ctx)
}

func (l *local) MachineStatus(_ context.Context, name string) (string, error) {
	m, err := machine.Open(l.cloud, name)
	switch {
	case errors.Is(err, machine.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case m.Running():
		return "active", nil
	default:
		return "off", nil
	}
}

func (l *local) ResizeMachine(ctx context.Context, name string, memoryMB int) error {
	m, err := machine.Open(l.cloud, name)
	if err != nil {
		return err
	}
	if err := m.PowerOff(ctx); err != nil {
		return err
	}
	if err := m.SetMemory(memoryMB); err != nil {
		return err
	}
	return m.Start(ctx)
}

func (l *local) ShutDownMachine(ctx context.Context, name string) error {
	m, err := machine.Open(l.cloud, name)
	if err != nil {
		return err
	}
	// PowerOff gives up after two minutes; ctx may have more.
	for {
		if err := m.PowerOff(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
}

func (l *local) RemoveMachine(ctx context.Context, name string) error {
	m, err := machine.Open(l.cloud, name)
	if errors.Is(err, machine.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := m.Remove(ctx); err == nil {
		return nil
	}
	// A machine that is only about to boot cannot be switched off yet; by now it can.
	return m.Remove(ctx)
}

func (l *local) Run(ctx context.Context, name string, input io.Reader, argv ...string) ([]byte, error) {
	m, err := machine.Open(l.cloud, name)
	if err != nil {
		return nil, err
	}
	output, err := m.ExecInput(ctx, input, argv...)
	return []byte(output), err
}

func (l *local) CreateVolume(ctx context.Context, volume provider.VolumeSpec) error {
	return machine.CreateVolume(ctx, l.cloud, volume.Name, volume.GiB, volume.Filesystem, volume.Label)
}

func (l *local) GrowVolume(ctx context.Context, name string, gib int) error {
	return machine.GrowVolume(ctx, l.cloud, name, gib)
}

func (l *local) RemoveVolume(ctx context.Context, name string) error {
	return machine.RemoveVolume(ctx, l.cloud, name)
}

func (l *local) AttachVolume(ctx context.Context, name, volume string) error {
	m, err := machine.Open(l.cloud, name)
	if err != nil {
		return err
	}
	return m.Attach(ctx, machine.Volume{Name: volume})
}

func (l *local) DetachVolume(ctx context.Context, name, volume string) error {
	m, err := machine.Open(l.cloud, name)
	if errors.Is(err, machine.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return m.Detach(ctx, volume)
}

// ApplyNetwork replaces all records, firewalls and reserved addresses of the cloud; which address a
// machine has is the network's own business.
func (l *local) ApplyNetwork(_ context.Context, wanted provider.Network) error {
	return l.cloud.Update(func(state *network.State) error {
		state.Firewalls = map[string]network.Firewall{}
		for name, firewall := range wanted.Firewalls {
			state.Firewalls[name] = network.Firewall{
				Machines: []string{name}, Inbound: rules(firewall.Inbound), Outbound: rules(firewall.Outbound),
			}
		}
		state.Reserved = map[string]network.ReservedIP{}
		for address, name := range wanted.Reserved {
			state.Reserved[address.String()] = network.ReservedIP{Machine: name}
		}
		state.Records = map[string]network.Record{}
		for i, record := range wanted.Records {
			state.Records[strconv.Itoa(i)] = network.Record{
				Name: record.Name, Type: record.Type, Value: record.Value, TTL: record.TTL,
				Flags: record.Flags, Tag: record.Tag, Priority: record.Priority, Weight: record.Weight, Port: record.Port,
			}
		}
		return nil
	})
}

func rules(wanted []provider.Rule) []network.Rule {
	made := make([]network.Rule, len(wanted))
	for i, rule := range wanted {
		made[i] = network.Rule{Protocol: rule.Protocol, Ports: rule.Ports, Prefixes: rule.Peers}
	}
	return made
}
