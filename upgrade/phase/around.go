package phase

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/mattermost"
)

// noteBefore looks at what Watch compares with. What it cannot see is not compared.
func noteBefore(ctx context.Context, op *Operation) {
	f := op.Facts
	if !f.Installed() {
		return
	}
	var err error
	if op.Record.Run.Plugins, err = service(op.Record.Run).RunningPlugins(ctx, f.PluginDir()); err != nil {
		op.Warn("look at the plugins: %v", err)
	}
	if url := publicURL(op); url != "" {
		answer, err := mattermost.Public(ctx, url)
		op.Record.Run.Public = err == nil && answer.Build == op.Record.Run.From
	}
}

func publicURL(op *Operation) string {
	if op.Config.URL != "" {
		return op.Config.URL
	}
	return op.Facts.SiteURL
}

// lookAround is the end of Watch. A failure is what users would miss: a plugin that ran, requests
// that fail as they never did, the public address that answered. What may have other causes, as when
// the database was away (disturbed), is only reported.
func lookAround(ctx context.Context, op *Operation, disturbed bool) error {
	restored := op.Record.Run.Operation == "restore" // then the plugins are the backup's
	if !restored {
		if err := comparePlugins(ctx, op); err != nil {
			return err
		}
	}
	if err := compareErrors(ctx, op, disturbed || restored); err != nil {
		return err
	}
	return comparePublic(ctx, op)
}

func comparePlugins(ctx context.Context, op *Operation) error {
	f, run := op.Facts, op.Record.Run
	if !f.Installed() {
		return nil
	}
	after, err := f.Config.Reread()
	var plugins []mattermost.Plugin
	if err == nil {
		plugins, err = after.ListPlugins(f.Link + "/plugins")
	}
	if err != nil {
		op.Warn("look at the plugins: %v", err)
		plugins = f.Plugins
	}
	missing := mattermost.MissingPlugins(f.Plugins, plugins)
	for _, id := range missing {
		if !slices.Contains(run.Plugins, id) {
			op.Warn("plugin %s is gone or switched off since the upgrade", id)
		}
	}
	gone, err := awaitPlugins(ctx, run, run.OpenedAt)
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err != nil {
		op.Warn("%v", err)
	}
	if len(gone) > 0 {
		return &BadVersion{Version: run.To, Cause: fmt.Errorf("%w %s, which ran before the upgrade: update it, or switch it off first",
			errPlugin, strings.Join(gone, " and "))}
	}
	return nil
}

var errPlugin = errors.New("the new version does not run plugin")

// graveCount is how often a request must fail in a new way to be no accident.
const graveCount = 3

func compareErrors(ctx context.Context, op *Operation, disturbed bool) error {
	run := op.Record.Run
	if !op.Facts.Installed() {
		return nil
	}
	found, err := service(run).NewComplaints(ctx, run.OpenedAt)
	if err != nil {
		op.Warn("nobody can say whether the new version logs new errors: %v", err)
		return nil
	}
	for _, c := range found {
		op.Warn("new in the server's log, %d times: %s (journalctl -u %s)", c.Count, c.Message, run.Unit)
	}
	for _, c := range found {
		if c.Grave && c.Count >= graveCount && !disturbed {
			return &BadVersion{Version: run.To, Cause: fmt.Errorf("%d requests failed in a way that they did not before: %s", c.Count, c.Message)}
		}
	}
	return nil
}

// publicTries is how often, a second apart, the public address is asked before its silence counts.
const publicTries = 5

// comparePublic asks as a user's program would, certificate and all. That no version is blamed for.
func comparePublic(ctx context.Context, op *Operation) error {
	url := publicURL(op)
	if url == "" {
		return nil
	}
	var err error
	for range publicTries {
		var answer mattermost.Answer
		if answer, err = mattermost.Public(ctx, url); err == nil {
			if answer.Build != op.Record.Run.To {
				op.Warn("%s answers as %s: does it lead to another server?", url, answer.Build)
			}
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if !op.Record.Run.Public || unreachable(err) { // it never did, or nobody can get there now
		op.Warn("%s does not answer from this host: %v", url, err)
		return nil
	}
	return fmt.Errorf("%s answered before the upgrade, and does not now: %w", url, err)
}

// unreachable says that err is of the way to a server, and not of what it answered.
func unreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, context.DeadlineExceeded)
}
