// Package drift compares a host with how its stack says it should be, and puts back what differs: what
// someone changed by hand, and what a newer program makes at first boot that this host has not seen.
// It asks Debian's own tools (dpkg, systemd, nft, sshd) how things are, and changes them by the same.
package drift

import (
	"context"
	"fmt"
	"path/filepath"

	"townsquare/upgrade/host"
	"townsquare/upgrade/state"
	"townsquare/upgrade/system"
)

// Kind is what a difference is about.
type Kind string

// The kinds of differences.
const (
	KindFile      Kind = "file"
	KindDirectory Kind = "directory"
	KindPackage   Kind = "package"
	KindArchive   Kind = "archive" // that packages come from
	KindUnit      Kind = "unit"
	KindAccount   Kind = "account"
	KindKey       Kind = "key"
	KindFirewall  Kind = "firewall"
	KindSSH       Kind = "ssh"
	KindKernel    Kind = "kernel"
	KindVolume    Kind = "volume"
	KindSite      Kind = "site"
)

// Difference is one thing that is not as it should be.
type Difference struct {
	Kind  Kind   `json:"kind"`
	Name  string `json:"name"`                              // what differs, such as a path
	Found string `json:"found"`                             // how, as the end of a sentence that begins with Name
	Lines string `json:"lines,omitempty" printable:"lines"` // of a text: what a repair changes, as diff -u writes it
	Left  string `json:"left,omitempty"`                    // why a repair leaves it as it is; empty: it puts it back
	Risk  string `json:"risk,omitempty"`                    // of what is left: why it needs attention all the same
	Hint  string `json:"hint,omitempty"`                    // of what is left: what to type
}

// String says it in one line.
func (d Difference) String() string { return d.Name + " " + d.Found }

// Options are what a person asked for.
type Options struct {
	RemoveKeys bool   // SSH keys that the stack does not know are removed
	KeepKey    string // except the one with this fingerprint, which the operator connects with
	Own        Own    // compared as well
	Changed    bool   // only what the stack has changed since the host last followed it, and file systems that are too small
}

// Host is the one that we run on.
type Host struct{ system.System }

// Comparison is how a host differs. Differences are for people; the rest is what a repair does.
type Comparison struct {
	Differences []Difference

	host        Host
	stack       bool           // want is a stack's
	want        *state.Desired // by the stack
	look        *state.Desired // the part of want that is compared
	before      *state.Desired // that the host last followed
	formerKeys  []string       // of the stack, in before only, that are still there and stay
	files       []state.File
	directories []state.Directory
	accounts    []string
	packages    []string
	unwanted    []string
	suite       bool
	units       []order
	firewall    bool
	kernel      bool
	site        *Site
	grow        []mount      // whose file systems are smaller than their volumes
	secrets     []string     // files to be given back to root
	timers      []host.Timer // to be enabled; nil: they are as they should be
	recovery    bool         // the recovery unit is to be enabled
}

// Compare looks and changes nothing. Without want only what this program keeps itself is compared.
func (h Host) Compare(ctx context.Context, want *state.Desired, o Options) (*Comparison, error) {
	stack := want != nil
	if !stack {
		want = &state.Desired{}
	}
	c := &Comparison{host: h, want: want, look: want, stack: stack}
	accounts, err := h.accounts()
	if err != nil {
		return nil, err
	}
	if c.before, err = h.before(want); err != nil {
		return nil, err
	}
	if o.Changed {
		if !stack {
			return c, nil
		}
		c.look = h.changed(want, c.before)
	} else if err := c.compareOwn(ctx, accounts, o.Own); err != nil || !stack {
		return c, err
	}
	for _, look := range []func() error{
		func() error { return c.comparePackages(ctx) },
		func() error {
			if !o.Changed {
				c.compareAccounts(accounts)
			}
			return nil
		},
		func() error { return c.compareDirectories(accounts) },
		func() error { return c.compareFiles(ctx, accounts) },
		func() error { return c.compareKeys(ctx, accounts, o) },
		func() error { return c.compareSite(o.Own.URL) },
		func() error { return c.compareClusters(ctx) }, // Mattermost needs one to start
		func() error { return c.compareUnits(ctx) },
		func() error { return c.compareFirewall(ctx) },
		func() error { return c.compareSSH(ctx) },
		func() error { return c.compareKernel(ctx) },
		func() error { return c.compareVolumes(ctx) },
	} {
		if err := look(); err != nil {
			return nil, fmt.Errorf("compare this host with its stack: %w", err)
		}
	}
	return c, nil
}

// Repairable are the differences that a repair takes away.
func (c *Comparison) Repairable() (list []Difference) {
	for _, d := range c.Differences {
		if d.Left == "" {
			list = append(list, d)
		}
	}
	return list
}

func (c *Comparison) add(d Difference) { c.Differences = append(c.Differences, d) }

func (h Host) path(p string) string { return filepath.Join(h.Root, p) }

// ask runs a program in the C locale, so that its answer reads the same everywhere.
func (h Host) ask(ctx context.Context, name string, args ...string) (string, error) {
	out, err := h.Run(ctx, host.Command{Name: name, Args: args, Env: []string{"LC_ALL=C.UTF-8"}})
	return string(out), err
}

// file finds what the stack says of a file.
func (c *Comparison) file(path string) *state.File { return fileOf(c.want, path) }

// compared finds a file among those that are compared.
func (c *Comparison) compared(path string) *state.File { return fileOf(c.look, path) }

func fileOf(d *state.Desired, path string) *state.File {
	for i := range d.Files {
		if d.Files[i].Path == path {
			return &d.Files[i]
		}
	}
	return nil
}

// writes tells whether a repair writes that file.
func (c *Comparison) writes(path string) bool {
	for _, f := range c.files {
		if f.Path == path {
			return true
		}
	}
	return false
}
