package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/blang/semver"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	pulumi "github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// fakeBackend is a cloud in memory that refuses what a real one would.
type fakeBackend struct {
	mu       sync.Mutex
	machines map[string]*fakeMachine
	volumes  map[string]int // GiB
	buckets  map[string]*fakeBucket
	keys     []AccessKey
	network  Network
	scripts  []string // everything that was run, with its input
	fail     map[string]error
}

type fakeMachine struct {
	spec    MachineSpec
	status  string
	volumes []string

	shutdown time.Duration // how long it takes
}

func (f *fakeBackend) CreateMachine(_ context.Context, spec MachineSpec) (Placement, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fail["CreateMachine"]; err != nil {
		return Placement{}, err
	}
	if f.machines[spec.Name] != nil {
		return Placement{}, fmt.Errorf("there is a machine %s already", spec.Name)
	}
	for _, volume := range spec.Volumes {
		if _, ok := f.volumes[volume]; !ok {
			return Placement{}, fmt.Errorf("no volume %s", volume)
		}
	}
	f.machines[spec.Name] = &fakeMachine{spec: spec, status: "active", volumes: slices.Clone(spec.Volumes)}
	last := byte(9 + len(f.machines))
	return Placement{
		Machine: spec.Name, Address: netip.AddrFrom4([4]byte{10, 91, 0, last}),
		Address6: netip.MustParseAddr(fmt.Sprintf("fd91::%d", last)),
	}, nil
}

func (f *fakeBackend) WaitMachine(context.Context, string) error { return f.fail["WaitMachine"] }

func (f *fakeBackend) MachineStatus(_ context.Context, machine string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.machines[machine]; m != nil {
		return m.status, nil
	}
	return "", nil
}

func (f *fakeBackend) ResizeMachine(_ context.Context, machine string, memoryMB int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.machines[machine].spec.MemoryMB = memoryMB
	return nil
}

func (f *fakeBackend) ShutDownMachine(ctx context.Context, machine string) error {
	f.mu.Lock()
	m := f.machines[machine]
	f.mu.Unlock()
	if m == nil {
		return errors.New("no machine " + machine)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(m.shutdown):
		m.status = "off"
		return nil
	}
}

func (f *fakeBackend) RemoveMachine(_ context.Context, machine string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.machines, machine)
	return nil
}

func (f *fakeBackend) Run(_ context.Context, machine string, input io.Reader, argv ...string) ([]byte, error) {
	text, _ := io.ReadAll(input)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scripts = append(f.scripts, fmt.Sprint(machine, argv, "\n", string(text)))
	return nil, f.fail["Run"]
}

func (f *fakeBackend) CreateVolume(_ context.Context, volume VolumeSpec) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.volumes[volume.Name] = volume.GiB
	return f.fail["CreateVolume"]
}

func (f *fakeBackend) GrowVolume(_ context.Context, volume string, gib int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.volumes[volume] = gib
	return nil
}

func (f *fakeBackend) RemoveVolume(_ context.Context, volume string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.volumes, volume)
	return nil
}

func (f *fakeBackend) AttachVolume(_ context.Context, machine, volume string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.machines[machine]
	if m == nil {
		return errors.New("no machine " + machine)
	}
	m.volumes = append(m.volumes, volume)
	return nil
}

func (f *fakeBackend) DetachVolume(_ context.Context, machine, volume string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.machines[machine]; m != nil {
		m.volumes = slices.DeleteFunc(m.volumes, func(v string) bool { return v == volume })
	}
	return nil
}

func (f *fakeBackend) ApplyNetwork(_ context.Context, network Network) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fail["ApplyNetwork"]; err != nil {
		return err
	}
	f.network = network
	return nil
}

var _ Backend = (*fakeBackend)(nil)

// account is the provider as the engine meets it, over a cloud in memory.
type account struct {
	t       *testing.T
	server  integration.Server
	cloud   *Cloud
	backend *fakeBackend
}

func newAccount(t *testing.T) *account {
	t.Helper()
	return configured(t, in{"cloud": text("unit"), "token": text("t")})
}

func configured(t *testing.T, config in) *account {
	t.Helper()
	backend := &fakeBackend{machines: map[string]*fakeMachine{}, volumes: map[string]int{}, buckets: map[string]*fakeBucket{}, fail: map[string]error{}}
	dir := t.TempDir()
	cloud := &Cloud{Open: func(name string) (string, Backend, error) {
		if name != "unit" {
			return "", nil, fmt.Errorf("no cloud %s", name)
		}
		return dir, backend, nil
	}}
	server, err := integration.NewServer(t.Context(), Name, semver.MustParse(Version), integration.WithProvider(New(cloud)))
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Configure(p.ConfigureRequest{Args: property.NewMap(config)}); err != nil {
		t.Fatal(err)
	}
	return &account{t: t, server: server, cloud: cloud, backend: backend}
}

// thing is one resource that a test made.
type thing struct {
	kind, id      string
	inputs, state property.Map
}

func urn(kind, name string) pulumi.URN {
	return pulumi.NewURN("test", "townsquare", "", tokens.Type("digitalocean:index/"+lowerFirst(kind)+":"+kind), name)
}

// try checks and creates a resource, as `pulumi up` does.
func (a *account) try(kind, name string, inputs map[string]property.Value) (thing, error) {
	a.t.Helper()
	checked, err := a.server.Check(p.CheckRequest{Urn: urn(kind, name), Inputs: property.NewMap(inputs)})
	if err != nil {
		return thing{}, err
	}
	if len(checked.Failures) > 0 {
		return thing{}, fmt.Errorf("check: %v", checked.Failures)
	}
	preview, err := a.server.Create(p.CreateRequest{Urn: urn(kind, name), Properties: checked.Inputs, DryRun: true})
	if err != nil {
		return thing{}, fmt.Errorf("preview: %w", err)
	}
	if preview.ID != "" {
		return thing{}, fmt.Errorf("preview made %s", preview.ID)
	}
	made, err := a.server.Create(p.CreateRequest{Urn: urn(kind, name), Properties: checked.Inputs})
	return thing{kind, made.ID, checked.Inputs, made.Properties}, err
}

func (a *account) create(kind, name string, inputs map[string]property.Value) thing {
	a.t.Helper()
	made, err := a.try(kind, name, inputs)
	if err != nil {
		a.t.Fatal(err)
	}
	return made
}

// diff says how a change of inputs would be carried out.
func (a *account) diff(of thing, changes map[string]property.Value) (p.DiffResponse, property.Map) {
	a.t.Helper()
	inputs := of.inputs
	for key, changed := range changes {
		inputs = inputs.Set(key, changed)
	}
	checked, err := a.server.Check(p.CheckRequest{Urn: urn(of.kind, "x"), State: of.inputs, Inputs: inputs})
	if err != nil || len(checked.Failures) > 0 {
		a.t.Fatal(err, checked.Failures)
	}
	resp, err := a.server.Diff(p.DiffRequest{ID: of.id, Urn: urn(of.kind, "x"), State: of.state, OldInputs: of.inputs, Inputs: checked.Inputs})
	if err != nil {
		a.t.Fatal(err)
	}
	return resp, checked.Inputs
}

func replaces(diff p.DiffResponse) bool {
	for _, change := range diff.DetailedDiff {
		if change.Kind == p.UpdateReplace || change.Kind == p.AddReplace || change.Kind == p.DeleteReplace {
			return true
		}
	}
	return false
}

func (a *account) tryUpdate(of thing, changes map[string]property.Value) (thing, error) {
	a.t.Helper()
	diff, inputs := a.diff(of, changes)
	if !diff.HasChanges || replaces(diff) {
		a.t.Fatalf("%s %v: not a change in place: %+v", of.kind, changes, diff)
	}
	resp, err := a.server.Update(p.UpdateRequest{ID: of.id, Urn: urn(of.kind, "x"), State: of.state, OldInputs: of.inputs, Inputs: inputs})
	return thing{of.kind, of.id, inputs, resp.Properties}, err
}

func (a *account) update(of thing, changes map[string]property.Value) thing {
	a.t.Helper()
	updated, err := a.tryUpdate(of, changes)
	if err != nil {
		a.t.Fatal(err)
	}
	return updated
}

func (a *account) tryDelete(of thing) error {
	return a.server.Delete(p.DeleteRequest{ID: of.id, Urn: urn(of.kind, "x"), Properties: of.state})
}

// delete deletes a resource, and once more: the real provider does not take it well that some are gone.
func (a *account) delete(of thing) {
	a.t.Helper()
	if err := a.tryDelete(of); err != nil {
		a.t.Fatal(err)
	}
	err := a.tryDelete(of)
	if missed := slices.Contains([]string{"DatabaseCluster", "Droplet", "Volume", "VolumeAttachment"}, of.kind); missed != (err != nil) {
		a.t.Fatalf("delete a %s that is gone: %v", of.kind, err)
	}
}

func (a *account) tryRead(of thing) (p.ReadResponse, error) {
	return a.server.Read(p.ReadRequest{ID: of.id, Urn: urn(of.kind, "x"), Properties: of.state, Inputs: of.inputs})
}

// read is what a refresh finds; the id is empty when the resource is gone.
func (a *account) read(of thing) p.ReadResponse {
	a.t.Helper()
	resp, err := a.tryRead(of)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp
}

// contents is a copy of the inventory.
func (a *account) contents() Contents {
	a.t.Helper()
	var found Contents
	if err := a.cloud.view(func(c *Contents) error { found = *c; return nil }); err != nil {
		a.t.Fatal(err)
	}
	return found
}

type in = map[string]property.Value

func text(s string) property.Value { return property.New(s) }

func list(values ...property.Value) property.Value { return property.New(values) }

func object(values in) property.Value { return property.New(property.NewMap(values)) }
