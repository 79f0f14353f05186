package provider

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/google/uuid"
)

// VolumeArgs are the inputs of digitalocean.Volume. Size is in GiB.
type VolumeArgs struct {
	Description            *string  `pulumi:"description,optional"`
	FilesystemType         *string  `pulumi:"filesystemType,optional"`
	InitialFilesystemLabel *string  `pulumi:"initialFilesystemLabel,optional"`
	InitialFilesystemType  *string  `pulumi:"initialFilesystemType,optional"`
	Name                   *string  `pulumi:"name,optional"`
	Region                 string   `pulumi:"region"`
	Size                   int      `pulumi:"size"`
	SnapshotId             *string  `pulumi:"snapshotId,optional"`
	Tags                   []string `pulumi:"tags,optional"`
}

// VolumeState is a block-storage volume; it outlives the droplet it is attached to.
type VolumeState struct {
	VolumeArgs
	DropletIds      []int  `pulumi:"dropletIds,optional"`
	FilesystemLabel string `pulumi:"filesystemLabel"`
	VolumeUrn       string `pulumi:"volumeUrn"`
}

var validVolumeName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// maxVolume is the largest volume, in GiB.
const maxVolume = 16384

func newVolumes(cloud *Cloud) infer.InferredResource {
	r := &resource[VolumeArgs, VolumeState]{cloud: cloud, name: "Volume"}
	r.autoname = func(in *VolumeArgs) **string { return &in.Name }
	r.check = func(in *VolumeArgs) []p.CheckFailure {
		failures := checkTags(in.Tags)
		if in.Size < 1 {
			failures = append(failures, fails("size", "must be at least 1 GiB, not %d", in.Size))
		}
		for property, kind := range map[string]*string{"initialFilesystemType": in.InitialFilesystemType, "filesystemType": in.FilesystemType} {
			if kind != nil && !slices.Contains([]string{"ext4", "xfs"}, *kind) {
				failures = append(failures, fails(property, "%q is none of ext4, xfs", *kind))
			}
		}
		return failures
	}
	r.create = func(ctx context.Context, in VolumeArgs) (string, VolumeState, error) {
		return createVolume(ctx, r, in)
	}
	r.update = func(ctx context.Context, id string, old VolumeState, state *VolumeState) error {
		if state.Size > old.Size {
			if err := cloud.backend.GrowVolume(ctx, *state.Name, state.Size); err != nil {
				return err
			}
		}
		return cloud.change(func(c *Contents) error {
			var current VolumeState // attachments change on their own
			if err := c.get(r.name, id, &current); err != nil {
				return err
			}
			state.DropletIds = current.DropletIds
			return c.put(r.name, id, *state)
		})
	}
	r.remove = func(ctx context.Context, id string, state VolumeState) error {
		if err := cloud.change(func(c *Contents) error {
			var current VolumeState
			if err := c.get(r.name, id, &current); err != nil {
				return err
			}
			if len(current.DropletIds) > 0 {
				return conflict("attached volume cannot be deleted")
			}
			return nil
		}); err != nil {
			return err
		}
		if err := cloud.backend.RemoveVolume(ctx, *state.Name); err != nil {
			return err
		}
		return cloud.change(func(c *Contents) error { c.drop(r.name, id); return nil })
	}
	return infer.Resource(r)
}

func createVolume(ctx context.Context, r *resource[VolumeArgs, VolumeState], in VolumeArgs) (string, VolumeState, error) {
	if err := knownRegion(in.Region); err != nil {
		return "", VolumeState{}, err
	}
	if !validVolumeName.MatchString(*in.Name) {
		return "", VolumeState{}, refused("name: %q: lower-case letters, digits and dashes, beginning with a letter, at most 64", *in.Name)
	}
	if in.Size > maxVolume {
		return "", VolumeState{}, refused("size: %d GiB; at most %d", in.Size, maxVolume)
	}
	if in.SnapshotId != nil {
		return "", VolumeState{}, refused("snapshot: %q: this cloud has no volume snapshots", *in.SnapshotId)
	}
	id := uuid.NewString()
	state := VolumeState{VolumeArgs: in, DropletIds: []int{}, FilesystemLabel: value(in.InitialFilesystemLabel), VolumeUrn: "do:volume:" + id}
	filesystem := value(in.InitialFilesystemType)
	if filesystem == "" {
		filesystem = value(in.FilesystemType)
	}
	// The name is taken first: it is what the volume's device is called in a machine.
	if err := r.cloud.change(func(c *Contents) error {
		volumes, err := all[VolumeState](c, r.name)
		if err != nil {
			return err
		}
		for _, other := range volumes {
			if *other.Name == *in.Name {
				return conflict("already exists")
			}
		}
		return c.put(r.name, id, state)
	}); err != nil {
		return "", VolumeState{}, err
	}
	err := r.cloud.backend.CreateVolume(ctx, VolumeSpec{Name: *in.Name, GiB: in.Size, Filesystem: filesystem, Label: state.FilesystemLabel})
	if err != nil {
		_ = r.cloud.change(func(c *Contents) error { c.drop(r.name, id); return nil })
		return "", VolumeState{}, err
	}
	return id, state, nil
}

// VolumeAttachmentArgs are the inputs of digitalocean.VolumeAttachment.
type VolumeAttachmentArgs struct {
	DropletId int    `pulumi:"dropletId"`
	VolumeId  string `pulumi:"volumeId"`
}

// VolumeAttachmentState plugs a volume into a droplet.
type VolumeAttachmentState struct{ VolumeAttachmentArgs }

func newVolumeAttachments(cloud *Cloud) infer.InferredResource {
	r := &resource[VolumeAttachmentArgs, VolumeAttachmentState]{cloud: cloud, name: "VolumeAttachment"}
	r.create = func(ctx context.Context, in VolumeAttachmentArgs) (string, VolumeAttachmentState, error) {
		if err := cloud.attach(ctx, dropletID(in.DropletId), in.VolumeId); err != nil {
			return "", VolumeAttachmentState{}, err
		}
		return r.record(dropletID(in.DropletId)+"-"+in.VolumeId, VolumeAttachmentState{in})
	}
	r.remove = func(ctx context.Context, id string, state VolumeAttachmentState) error {
		if err := cloud.detach(ctx, dropletID(state.DropletId), state.VolumeId); err != nil {
			return err
		}
		return cloud.change(func(c *Contents) error { c.drop(r.name, id); return nil })
	}
	return infer.Resource(r)
}

// attach plugs a volume into a droplet that exists.
func (c *Cloud) attach(ctx context.Context, droplet, volume string) error {
	place, err := c.placement(droplet)
	if err != nil {
		return refused("droplet %s: %w", droplet, err)
	}
	var names []string
	if err := c.change(func(contents *Contents) (err error) {
		names, err = contents.claimVolumes(droplet, []string{volume})
		return err
	}); err != nil {
		return err
	}
	return c.backend.AttachVolume(ctx, place.Machine, names[0])
}

// detach pulls a volume out of the droplet that it is attached to.
func (c *Cloud) detach(ctx context.Context, droplet, volume string) error {
	place, err := c.placement(droplet)
	if err != nil {
		return err
	}
	var state VolumeState
	if err := c.view(func(contents *Contents) error {
		return errors.Join(contents.attached(droplet, []string{volume}), contents.get("Volume", volume, &state))
	}); err != nil {
		return err
	}
	if err := c.backend.DetachVolume(ctx, place.Machine, *state.Name); err != nil {
		return err
	}
	return c.change(func(contents *Contents) error {
		state.DropletIds = []int{}
		return contents.put("Volume", volume, state)
	})
}

// attached refuses volumes that are gone, or at another droplet than this one.
func (c *Contents) attached(droplet string, ids []string) error {
	for _, id := range ids {
		var volume VolumeState
		if err := c.get("Volume", id, &volume); err != nil {
			return err
		}
		if len(volume.DropletIds) == 0 || dropletID(volume.DropletIds[0]) != droplet {
			return refused("Attachment not found")
		}
	}
	return nil
}

// volumesOf returns the volumes at a droplet: those that are known in their order, then the others.
func (c *Contents) volumesOf(droplet string, known []string) ([]string, error) {
	volumes, err := all[VolumeState](c, "Volume")
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(volumes, func(_ string, v VolumeState) bool {
		return len(v.DropletIds) == 0 || dropletID(v.DropletIds[0]) != droplet
	})
	found := []string{}
	for _, id := range append(slices.Clone(known), slices.Sorted(maps.Keys(volumes))...) {
		if _, there := volumes[id]; there && !slices.Contains(found, id) {
			found = append(found, id)
		}
	}
	return found, nil
}

// claimVolumes marks volumes as attached to a droplet and returns their names. A volume can be
// attached to one droplet only.
func (c *Contents) claimVolumes(droplet string, ids []string) ([]string, error) {
	number, err := strconv.Atoi(droplet)
	if err != nil {
		return nil, refused("droplet id %q is no number", droplet)
	}
	var names []string
	for _, id := range ids {
		var volume VolumeState
		if err := c.get("Volume", id, &volume); err != nil {
			return nil, refused("volumes: %w", err)
		}
		if len(volume.DropletIds) > 0 && volume.DropletIds[0] != number {
			return nil, refused("volume is already attached to another droplet: %s is at %d", *volume.Name, volume.DropletIds[0])
		}
		volume.DropletIds = []int{number}
		if err := c.put("Volume", id, volume); err != nil {
			return nil, err
		}
		names = append(names, *volume.Name)
	}
	return names, nil
}

// releaseVolumes marks all volumes of a droplet as attached to none.
func (c *Contents) releaseVolumes(droplet string) error {
	volumes, err := all[VolumeState](c, "Volume")
	if err != nil {
		return err
	}
	for id, volume := range volumes {
		if len(volume.DropletIds) > 0 && dropletID(volume.DropletIds[0]) == droplet {
			volume.DropletIds = []int{}
			if err := c.put("Volume", id, volume); err != nil {
				return err
			}
		}
	}
	return nil
}
