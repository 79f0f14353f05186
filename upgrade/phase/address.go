package phase

import (
	"context"
	"path/filepath"
	"time"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/host"
	"townsquare/upgrade/state"
	"townsquare/upgrade/system"
)

// RepairSite moves Mattermost to the address that the stack says: the certificate comes first.
type RepairSite struct{}

func (RepairSite) Title() string { return "change the address" }

func (RepairSite) Describe(op *Operation) string {
	site := op.Drift.Site()
	if site == nil {
		return "nothing"
	}
	return "when " + site.To + " has its certificate, Mattermost restarts there; " + site.From + " then leads to it"
}

// certificateTimeout is how long the new name's certificate is waited for; Caddy goes on trying.
const certificateTimeout = 2 * time.Minute

// Limit is the certificate's time and those of a stop and a start.
func (RepairSite) Limit(*Operation) time.Duration {
	return certificateTimeout + stopTimeout + oldTimeout
}

// Run leaves the server at its address while the new one does not answer with a certificate.
func (RepairSite) Run(ctx context.Context, op *Operation) error {
	site, run := op.Drift.Site(), op.Record.Run
	if site == nil {
		return nil
	}
	if err := system.AwaitProxy(ctx, site.To, certificateTimeout); err != nil {
		op.Warn("the server stays at %s: %v. Its name must lead to this server, for the certificate", site.From, err)
		return nil
	}
	root := op.machine().Root
	kept, err := drift.Host{System: op.machine()}.Keep(filepath.Join(repairedDir, run.ID), state.EnvFile)
	if err != nil {
		return err
	}
	run.Repaired = append(run.Repaired, kept...)
	if err := op.Save(); err != nil {
		return err
	}
	if err := host.SetSiteURL(root, site.To); err != nil {
		return err
	}
	if err := stopService(ctx, op); err != nil {
		return err
	}
	if run.WasActive && run.From != "" {
		if err := serveAgain(ctx, op); err != nil {
			return err
		}
	}
	run.Repaired = nil // all of it is in use
	if err := openAgain(ctx, op); err != nil {
		return err
	}
	if err := op.Drift.Redirect(ctx); err != nil {
		op.Warn("%s does not lead to %s yet: %v", site.From, site.To, err)
	}
	return nil
}

// Undo starts Mattermost at the address before.
func (RepairSite) Undo(ctx context.Context, op *Operation) error {
	run := op.Record.Run
	if !run.Stopped {
		return nil
	}
	if err := (drift.Host{System: op.machine()}).Restore(ctx, run.Repaired); err != nil {
		return err
	}
	return Stop{}.Undo(ctx, op)
}
