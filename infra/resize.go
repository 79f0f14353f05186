package infra

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"townsquare/infra/slug"
)

// A droplet of another size: DigitalOcean's provider cuts the power (power_off, never shutdown), resizes
// and powers on. So a hook shuts the server down first; the provider takes a droplet that is off already.
// Source: resourceDigitalOceanDropletUpdate of terraform-provider-digitalocean.

// shutdownLimit is how long the server may take to stop: PostgreSQL writes out what it holds in memory,
// up to 4 GB (max_wal_size), and Mattermost has a minute.
const shutdownLimit = 10 * time.Minute

// powerOnLimit is longer than DigitalOcean takes to end a resize that it has begun.
const powerOnLimit = 15 * time.Minute

// resizer carries out the resize of one stack's server.
type resizer struct {
	api   api
	stack string
	local bool // PostgreSQL is on the server
	plan  bool // nothing is changed: it is a preview
	warn  func(text string)
	info  func(text string)
}

// resizing returns the option that makes the droplet's resize clean.
func resizing(ctx *pulumi.Context, c *Config) (pulumi.ResourceOption, error) {
	log := func(write func(string, *pulumi.LogArgs) error) func(string) {
		return func(text string) { _ = write(text, nil) } // the engine is gone: nothing is left to tell
	}
	r := resizer{
		api: newAPI(ctx.GetConfig, os.Getenv), stack: ctx.Stack(), local: c.Database == DatabaseLocal, plan: ctx.DryRun(),
		warn: log(ctx.Log.Warn), info: log(ctx.Log.Info),
	}
	before, err := ctx.RegisterResourceHook("resize", func(args *pulumi.ResourceHookArgs) error {
		return r.before(string(args.ID), args.OldInputs, args.NewInputs, args.OldOutputs)
	}, &pulumi.ResourceHookOptions{OnDryRun: true})
	if err != nil {
		return nil, err
	}
	failed, err := ctx.RegisterErrorHook("resize-failed", func(args *pulumi.ErrorHookArgs) (retry bool, err error) {
		r.failed(string(args.ID), args.OldInputs, args.NewInputs)
		return false, nil // an error of this hook would take the place of the provider's
	})
	if err != nil {
		return nil, err
	}
	return pulumi.ResourceHooks(&pulumi.ResourceHookBinding{
		BeforeUpdate: []*pulumi.ResourceHook{before}, OnError: []*pulumi.ErrorHook{failed},
	}), nil
}

// before refuses a size that DigitalOcean would refuse, says at preview what a resize means, and at `up`
// shuts the server down. An error keeps the provider from beginning.
func (r resizer) before(id string, old, asked, state resource.PropertyMap) error {
	from, to, ok := changed(old, asked, "size")
	if !ok {
		return nil
	}
	if problems := refuseSmallerDisk(from, to, state); len(problems) > 0 {
		return problems.in(r.stack)
	}
	if r.plan {
		r.warn(r.downtime(from, to))
		return nil
	}
	r.info("Shut the server down, so that Mattermost and PostgreSQL stop cleanly before the resize to " + to)
	ctx, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	began := time.Now()
	if asked, err := r.api.reach(ctx, id, dropletOff, actionShutdown); err != nil {
		return r.stays(id, from, to, asked, err)
	}
	r.info(fmt.Sprintf("The server is off after %d s; DigitalOcean resizes it and powers it on", int(time.Since(began).Seconds())))
	return nil
}

// downtime is what a plan says of a resize.
// Source of the minutes: https://docs.digitalocean.com/products/droplets/how-to/resize/
func (r resizer) downtime(from, to string) string {
	text := "resize from " + from + " to " + to + ": Mattermost is down for several minutes. The server is shut down cleanly, " +
		"resized and powered on; DigitalOcean says to plan one minute for each GB used on the server's own disk (volumes do not " +
		"count), mostly it takes less. A run of `upgrade` that is in progress is interrupted and recovers at boot."
	if r.local {
		text += "\n    afterwards: upgrade repair --stack " + r.stack + "   (tunes PostgreSQL for the new memory)"
	}
	return text
}

// stays is the error of a server that was not shut down. The power is not cut: that is what this is for.
func (r resizer) stays(id, from, to string, asked bool, err error) error {
	if !asked {
		return fmt.Errorf("the server was not shut down, and nothing was changed: %w\n    type:    pulumi up --refresh --stack %s", err, r.stack)
	}
	return fmt.Errorf("the server was asked to shut down for the resize to %s and is not off after %d minutes: %w"+
		"\n    Its size is unchanged and its power was not cut. It may still go off: look at its console in DigitalOcean's control panel."+
		"\n    to go on once it is off:  pulumi up --stack %s"+
		"\n    to keep %s:  doctl compute droplet-action power-on %s && %s",
		to, int(shutdownLimit.Minutes()), err, r.stack, from, id, inStack(set("size", from), r.stack))
}

// failed sees to it that a server whose resize failed does not stay off, which the provider does in some
// cases only: not if DigitalOcean refuses its power_on once, nor after Ctrl-C.
func (r resizer) failed(id string, old, asked resource.PropertyMap) {
	from, to, ok := changed(old, asked, "size")
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), powerOnLimit)
	defer cancel()
	if _, err := r.api.reach(ctx, id, dropletActive, actionPowerOn); err != nil {
		r.warn(fmt.Sprintf("the server may be off after the failed resize: %v\n    type:    doctl compute droplet-action power-on %s", err, id))
		return
	}
	r.warn(fmt.Sprintf("the resize to %s failed; the server is on again."+
		"\n    to try again:  pulumi up --refresh --stack %s   (without --refresh the stack's record may say that it was resized)"+
		"\n    to keep %s:  %s && pulumi up --refresh --stack %s", to, r.stack, from, inStack(set("size", from), r.stack), r.stack))
}

// refuseSmallerDisk keeps a size from being planned that DigitalOcean answers 422 to, after the power is
// off. What counts is the server's own disk: a resize that can be taken back leaves it as it is.
// Source: https://docs.digitalocean.com/products/droplets/how-to/resize/
func refuseSmallerDisk(from, to string, state resource.PropertyMap) Problems {
	disk := slug.Droplets[from].DiskGB
	if d := state["disk"]; d.IsNumber() && d.NumberValue() > 0 {
		disk = int(d.NumberValue())
	}
	offered := slug.Droplets[to].DiskGB
	if offered == 0 || offered >= disk {
		return nil
	}
	var fitting []string
	for name, size := range slug.Droplets {
		if size.MemoryMB >= leastMemoryMB && size.DiskGB >= disk {
			fitting = append(fitting, name)
		}
	}
	slices.Sort(fitting)
	return refusal("size", from, to, fmt.Sprintf("has a disk of %d GB, and the server's own has %d GB: a disk cannot shrink", offered, disk),
		fmt.Sprintf("sizes with at least %d GB, such as %s", disk, oneOf(slug.Near(to, from, fitting))))
}
