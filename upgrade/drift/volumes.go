package drift

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// mount is a volume's unit, as the stack has it.
type mount struct{ device, where string }

// mounts are the volumes that the stack mounts.
func (c *Comparison) mounts() (list []mount) {
	for _, f := range c.want.Files {
		if !strings.HasPrefix(f.Path, unitDir) || !strings.HasSuffix(f.Path, ".mount") {
			continue
		}
		var m mount
		for line := range strings.Lines(f.Content) {
			switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key {
			case "What":
				m.device = value
			case "Where":
				m.where = value
			}
		}
		list = append(list, m)
	}
	return list
}

// blockGroup is what ext4 may leave unused at the end of a device: a last group of blocks that is too
// small for its own tables.
const blockGroup = 128 << 20

// compareVolumes looks for file systems that are smaller than their volumes: DigitalOcean grows the
// volume only.
func (c *Comparison) compareVolumes(ctx context.Context) error {
	for _, m := range c.mounts() {
		mounted, err := c.host.mounted(m)
		if err != nil {
			return err
		}
		if !mounted { // its unit is compared
			continue
		}
		device, system, err := c.host.sizes(ctx, m.device)
		if err != nil {
			return fmt.Errorf("size of the volume at %s: %w", m.where, err)
		}
		if device-system <= blockGroup {
			continue
		}
		c.add(Difference{Kind: KindVolume, Name: "the file system at " + m.where,
			Found: fmt.Sprintf("has %s of its volume's %s", gib(system), gib(device))})
		c.grow = append(c.grow, m)
	}
	return nil
}

func gib(bytes int64) string {
	return strconv.FormatFloat(float64(bytes/(1<<20))/1024, 'f', -1, 64) + " GiB"
}

// mounted reports whether an ext4 file system is mounted at the volume's place.
func (h Host) mounted(m mount) (bool, error) {
	table, err := os.ReadFile(h.path("/proc/self/mounts"))
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == m.where && f[2] == "ext4" {
			return true, nil
		}
	}
	return false, nil
}

// sizes asks the kernel for the size of a device, and its file system for its own.
func (h Host) sizes(ctx context.Context, device string) (size, system int64, err error) {
	out, err := h.ask(ctx, "blockdev", "--getsize64", device)
	if err != nil {
		return 0, 0, err
	}
	if size, err = strconv.ParseInt(strings.TrimSpace(out), 10, 64); err != nil {
		return 0, 0, err
	}
	if out, err = h.ask(ctx, "dumpe2fs", "-h", device); err != nil {
		return 0, 0, err
	}
	blocks, err := superblock(out, "Block count:")
	if err != nil {
		return 0, 0, err
	}
	block, err := superblock(out, "Block size:")
	return size, blocks * block, err
}

func superblock(text, key string) (int64, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, key); ok {
			return strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, fmt.Errorf("dumpe2fs does not print %q", key)
}

// Grow makes file systems as large as their volumes, while they are in use.
func (c *Comparison) Grow(ctx context.Context) error {
	for _, m := range c.grow {
		if _, err := c.host.ask(ctx, "resize2fs", m.device); err != nil {
			return fmt.Errorf("grow the file system at %s: %w", m.where, err)
		}
	}
	return nil
}
