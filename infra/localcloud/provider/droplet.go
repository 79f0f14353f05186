package provider

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"townsquare/infra/slug"
)

// DropletArgs are the inputs of digitalocean.Droplet.
type DropletArgs struct {
	BackupPolicy      *BackupPolicy `pulumi:"backupPolicy,optional"`
	Backups           *bool         `pulumi:"backups,optional"`
	DropletAgent      *bool         `pulumi:"dropletAgent,optional"`
	GracefulShutdown  *bool         `pulumi:"gracefulShutdown,optional"`
	Image             string        `pulumi:"image"`
	Ipv6              *bool         `pulumi:"ipv6,optional"`
	Ipv6Address       *string       `pulumi:"ipv6Address,optional"`
	Monitoring        *bool         `pulumi:"monitoring,optional"`
	Name              *string       `pulumi:"name,optional"`
	PrivateNetworking *bool         `pulumi:"privateNetworking,optional"`
	PublicNetworking  *bool         `pulumi:"publicNetworking,optional"`
	Region            *string       `pulumi:"region,optional"`
	ResizeDisk        *bool         `pulumi:"resizeDisk,optional"`
	Size              string        `pulumi:"size"`
	SshKeys           []string      `pulumi:"sshKeys,optional"`
	Tags              []string      `pulumi:"tags,optional"`
	UserData          *string       `pulumi:"userData,optional"`
	VolumeIds         []string      `pulumi:"volumeIds,optional"`
	VpcUuid           *string       `pulumi:"vpcUuid,optional"`
}

// BackupPolicy says when DigitalOcean backs a droplet up. Hour is in UTC.
type BackupPolicy struct {
	Hour    *int    `pulumi:"hour,optional"`
	Plan    *string `pulumi:"plan,optional"`
	Weekday *string `pulumi:"weekday,optional"`
}

// DropletState is a droplet: a machine of the cloud. Memory is in MiB, disk in GiB.
type DropletState struct {
	DropletArgs
	CreatedAt          string  `pulumi:"createdAt"`
	Disk               int     `pulumi:"disk"`
	DropletUrn         string  `pulumi:"dropletUrn"`
	Ipv4Address        string  `pulumi:"ipv4Address"`
	Ipv4AddressPrivate string  `pulumi:"ipv4AddressPrivate"`
	Locked             bool    `pulumi:"locked"`
	Memory             int     `pulumi:"memory"`
	PriceHourly        float64 `pulumi:"priceHourly"`
	PriceMonthly       float64 `pulumi:"priceMonthly"`
	Status             string  `pulumi:"status"`
	Vcpus              int     `pulumi:"vcpus"`
}

// maxUserData is the most user data that DigitalOcean takes, in bytes.
// https://docs.digitalocean.com/reference/api/reference/droplets/
const maxUserData = 64 << 10

var validHostname = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$`)

var validTag = regexp.MustCompile(`^[a-zA-Z0-9:_-]{1,255}$`)

type droplets struct {
	*resource[DropletArgs, DropletState]
}

func newDroplets(cloud *Cloud) infer.InferredResource {
	d := droplets{&resource[DropletArgs, DropletState]{cloud: cloud, name: "Droplet"}}
	d.autoname = func(in *DropletArgs) **string { return &in.Name }
	d.check, d.create, d.update, d.refresh, d.remove = checkDroplet, d.make, d.alter, d.look, d.destroy
	return infer.Resource(d.resource)
}

func checkDroplet(in *DropletArgs) (failures []p.CheckFailure) {
	for property, given := range map[string]string{"image": in.Image, "size": in.Size, "name": value(in.Name)} {
		if given == "" {
			failures = append(failures, fails(property, "must not be empty"))
		}
	}
	failures = append(failures, checkTags(in.Tags)...)
	if policy := in.BackupPolicy; policy != nil {
		if !value(in.Backups) {
			failures = append(failures, fails("backupPolicy", "can only be set when backups are enabled"))
		}
		if hour := value(policy.Hour); hour < 0 || hour > 20 {
			failures = append(failures, fails("backupPolicy", "expected hour to be in the range (0 - 20), got %d", hour))
		}
	}
	return failures
}

func checkTags(tags []string) (failures []p.CheckFailure) {
	for _, tag := range tags {
		if !validTag.MatchString(tag) {
			failures = append(failures, fails("tags", "%q may only have letters, digits, colons, dashes and underscores, at most 255", tag))
		}
	}
	return failures
}

// refuse is what the API answers to a droplet that it cannot make.
func (d droplets) refuse(in DropletArgs) error {
	var problems []error
	if _, ok := slug.Droplets[in.Size]; !ok {
		problems = append(problems, refused("You specified an invalid size for Droplet creation: %q", in.Size))
	}
	if !slices.Contains(images(), in.Image) {
		problems = append(problems, refused("You specified an invalid image for Droplet creation: %q", in.Image))
	} else if in.Image != bootableImage {
		problems = append(problems, fmt.Errorf("image: this cloud boots %s only, not %s", bootableImage, in.Image))
	}
	if in.Region != nil {
		problems = append(problems, knownRegion(*in.Region))
	}
	if size := len(value(in.UserData)); size > maxUserData {
		problems = append(problems, refused("user_data: %d bytes are too many; at most %d (64 KiB)", size, maxUserData))
	}
	if !validHostname.MatchString(value(in.Name)) {
		problems = append(problems, refused("name: %q: only valid hostname characters are allowed (a-z, A-Z, 0-9, . and -)", value(in.Name)))
	}
	return errors.Join(problems...)
}

func (d droplets) make(ctx context.Context, in DropletArgs) (string, DropletState, error) {
	if err := d.refuse(in); err != nil {
		return "", DropletState{}, err
	}
	var id string
	spec := MachineSpec{Hostname: *in.Name, UserData: value(in.UserData), MemoryMB: slug.Droplets[in.Size].MemoryMB}
	// Names and volumes are taken before the machine boots, so that two droplets made at the same
	// time cannot take the same one.
	err := d.cloud.change(func(c *Contents) (err error) {
		if err := d.knows(c, in); err != nil {
			return err
		}
		if spec.PublicKeys, err = authorizedKeys(c, in.SshKeys); err != nil {
			return err
		}
		id = c.number()
		spec.Name, spec.InstanceID = c.machineName(*in.Name, id), id
		if spec.Volumes, err = c.claimVolumes(id, in.VolumeIds); err != nil {
			return err
		}
		c.Machines[id] = Placement{Machine: spec.Name}
		return nil
	})
	if err != nil {
		return "", DropletState{}, err
	}
	place, err := d.cloud.backend.CreateMachine(ctx, spec)
	if err != nil {
		return "", DropletState{}, errors.Join(err, d.undo(ctx, id, spec.Name))
	}
	state := dropletState(id, in, place)
	err = d.cloud.changeNetwork(ctx, func(c *Contents) error {
		c.Machines[id] = place
		return c.put(d.name, id, state)
	})
	if err != nil {
		return "", DropletState{}, errors.Join(err, d.undo(ctx, id, spec.Name))
	}
	return id, state, nil
}

// undo takes back a droplet that could not be made. A machine that cannot be removed stays in the
// inventory, for Sweep to find.
func (d droplets) undo(ctx context.Context, id, machine string) error {
	ctx = context.WithoutCancel(ctx)
	if err := d.cloud.backend.RemoveMachine(ctx, machine); err != nil {
		return err
	}
	return d.forget(ctx, id)
}

func dropletState(id string, in DropletArgs, place Placement) DropletState {
	size := slug.Droplets[in.Size]
	state := DropletState{
		DropletArgs: in, DropletUrn: "do:droplet:" + id, CreatedAt: now(), Status: "active",
		Ipv4Address: place.Address.String(), Ipv4AddressPrivate: place.Address.String(),
		Memory: size.MemoryMB, Vcpus: size.VCPUs, Disk: size.DiskGB,
	}
	if state.Region == nil {
		state.Region = ptr("nyc3")
	}
	state.PrivateNetworking, state.PublicNetworking = ptr(true), ptr(true)
	if value(in.Ipv6) {
		state.Ipv6Address = ptr(place.Address6.String())
	}
	return state
}

// knows checks that what the droplet refers to exists.
func (d droplets) knows(c *Contents, in DropletArgs) error {
	if in.VpcUuid == nil {
		return nil
	}
	var vpc VpcState
	if err := c.get("Vpc", *in.VpcUuid, &vpc); err != nil {
		return refused("vpc_uuid: %w", err)
	}
	if in.Region != nil && vpc.Region != *in.Region {
		return refused("vpc_uuid: the VPC is in %s, the droplet in %s", vpc.Region, *in.Region)
	}
	return nil
}

// maxMachineName is the longest name that a machine can have.
const maxMachineName = 40

var notInMachineName = regexp.MustCompile(`[^a-z0-9]+`)

// machineName is the droplet's own name as far as a machine can have it, and, where that is taken,
// the id after it.
func (c *Contents) machineName(name, id string) string {
	name = strings.Trim(notInMachineName.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if name == "" || name[0] < 'a' {
		name = "m-" + name
	}
	name = strings.TrimRight(name[:min(len(name), maxMachineName)], "-")
	for _, place := range c.Machines {
		if place.Machine == name {
			return name[:min(len(name), maxMachineName-len(id)-1)] + "-" + id
		}
	}
	return name
}

func (d droplets) alter(ctx context.Context, id string, old DropletState, state *DropletState) error {
	if err := d.refuse(state.DropletArgs); err != nil {
		return err
	}
	place, err := d.cloud.placement(id)
	if err != nil {
		return err
	}
	fresh := dropletState(id, state.DropletArgs, place)
	fresh.CreatedAt = old.CreatedAt
	*state = fresh
	if err := d.resize(ctx, place.Machine, old, state); err != nil {
		return err
	}
	for _, volume := range state.VolumeIds {
		if !slices.Contains(old.VolumeIds, volume) {
			if err := d.cloud.attach(ctx, id, volume); err != nil {
				return err
			}
		}
	}
	for _, volume := range old.VolumeIds {
		if !slices.Contains(state.VolumeIds, volume) {
			if err := d.cloud.detach(ctx, id, volume); err != nil {
				return err
			}
		}
	}
	return d.cloud.changeNetwork(ctx, func(c *Contents) error { return c.put(d.name, id, *state) })
}

// resize does to a machine what DigitalOcean's provider does to a droplet: cut the power, resize, power
// on. What the API refuses costs the downtime all the same, and the provider keeps the new size as the
// state's: only a refresh finds the old one.
// Source: resourceDigitalOceanDropletUpdate of terraform-provider-digitalocean; Resource.Apply of the
// plugin SDK keeps the whole plan as state after an error.
func (d droplets) resize(ctx context.Context, machine string, old DropletState, state *DropletState) error {
	wanted := state.Disk
	if !value(state.ResizeDisk) {
		state.Disk = old.Disk
	}
	if state.Size == old.Size {
		return nil
	}
	memory, refusal := state.Memory, error(nil)
	if wanted < old.Disk {
		memory, refusal = old.Memory, refused("This size is not available because it has a smaller disk.")
	}
	if err := d.cloud.backend.ResizeMachine(ctx, machine, memory, false); err != nil {
		return err
	}
	if refusal != nil {
		return errors.Join(refusal, infer.ResourceInitFailedError{Reasons: []string{refusal.Error()}})
	}
	return nil
}

func (d droplets) look(ctx context.Context, id string, state *DropletState) error {
	place, err := d.cloud.placement(id)
	if err != nil {
		return err
	}
	status, err := d.cloud.backend.MachineStatus(ctx, place.Machine)
	if err != nil {
		return err
	}
	if status == "" {
		return errNotFound
	}
	state.Status = status
	return d.cloud.view(func(c *Contents) (err error) {
		state.VolumeIds, err = c.volumesOf(id, state.VolumeIds)
		return err
	})
}

// destroy does what DigitalOcean's provider does, with its words: a droplet that is gone already is an
// error, as is a volume that was detached meanwhile, and a shutdown has as long as ctx has. A refresh
// helps against the former two.
func (d droplets) destroy(ctx context.Context, id string, state DropletState) error {
	place, err := d.cloud.placement(id)
	if err != nil {
		return fmt.Errorf("error waiting for droplet to be unlocked for destroy (%s): error retrieving droplet: %w", id, err)
	}
	if value(state.GracefulShutdown) {
		if err := d.cloud.backend.ShutDownMachine(ctx, place.Machine); err != nil {
			return fmt.Errorf("error waiting for droplet (%s) to become off: %w", id, err)
		}
	}
	if err := d.cloud.view(func(c *Contents) error { return c.attached(id, state.VolumeIds) }); err != nil {
		return fmt.Errorf("error detaching the volumes from the droplet (%s): %w", id, err)
	}
	if err := d.cloud.backend.RemoveMachine(context.WithoutCancel(ctx), place.Machine); err != nil {
		return err
	}
	return d.forget(ctx, id)
}

// forget takes a droplet that is gone, or never came to be, out of the inventory and out of all that
// named it.
func (d droplets) forget(ctx context.Context, id string) error {
	return d.cloud.changeThenNetwork(ctx, func(c *Contents) error {
		if err := c.releaseVolumes(id); err != nil {
			return err
		}
		if err := c.unassign(id); err != nil {
			return err
		}
		delete(c.Machines, id)
		c.drop(d.name, id)
		return nil
	})
}

// placement returns where a droplet or a database cluster runs, or errNotFound.
func (c *Cloud) placement(id string) (place Placement, err error) {
	err = c.view(func(contents *Contents) error {
		var ok bool
		if place, ok = contents.Machines[id]; !ok {
			return errNotFound
		}
		return nil
	})
	return place, err
}

// prefixes returns the machine's addresses as prefixes of one address each.
func (place Placement) prefixes() (found []netip.Prefix) {
	for _, address := range []netip.Addr{place.Address, place.Address6} {
		if address.IsValid() {
			found = append(found, netip.PrefixFrom(address, address.BitLen()))
		}
	}
	return found
}

// dropletID is a droplet's id as other resources write it: a number.
func dropletID(id int) string { return strconv.Itoa(id) }
