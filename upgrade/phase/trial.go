package phase

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/mattermost"
)

// trial is a version that is tried on a scratch database, where nobody sees it.
type trial struct {
	admin   *mattermost.Admin
	db      *mattermost.Database // the scratch
	sandbox *mattermost.Sandbox
	began   time.Time     // when the server was started
	waited  time.Duration // for the processor, until its first good answer
}

// newTrial makes the scratch database's name known to the record, and removes what earlier trials
// left that were killed.
func newTrial(ctx context.Context, op *Operation, version string, config []byte) (*trial, error) {
	run, f := op.Record.Run, op.Facts
	admin, err := findAdmin(ctx, f.Database)
	if err != nil {
		return nil, err
	}
	run.Scratch, run.SandboxAt = mattermost.ScratchName(f.Database.Name, run.Started), mattermost.SandboxDir(f.Link)
	if err := op.Save(); err != nil {
		return nil, err
	}
	if err := admin.Sweep(ctx); err != nil {
		return nil, err
	}
	t := &trial{admin: admin, db: f.Database.On(run.Scratch)}
	t.sandbox = &mattermost.Sandbox{Dir: run.SandboxAt, Version: version, Unit: f.Unit, Config: config, Plugins: f.PluginDir(),
		Files: f.FileStore(), Extra: f.Places, Database: t.db}
	return t, nil
}

// fill makes the scratch database what the dump is.
func (t *trial) fill(ctx context.Context, op *Operation, dump string) error {
	tools, err := mattermost.FindTools(ctx, mattermost.Idly(host.Run), op.Facts.Schema.Server)
	if err != nil {
		return err
	}
	if err := t.admin.Create(ctx, t.db.Name); err != nil {
		return err
	}
	return t.db.RestoreDump(ctx, tools, dump)
}

// fillNewest fills the scratch database from the newest backup, if it is of the version that serves:
// that spares the live one, and proves the backup. Else it is what the live one is now. It says which.
func (t *trial) fillNewest(ctx context.Context, op *Operation) (string, error) {
	f := op.Facts
	repo, s, err := latestBackup(ctx, op)
	if err == nil && s.Manifest.Mattermost == f.Version.String() && s.Manifest.Schema == f.Schema.Migrations {
		if err = restoreDatabase(ctx, op, repo, s, t.admin, t.db.Name); err == nil {
			return fmt.Sprintf("backup %s of %s", s.ID, s.Time.Local().Format(time.DateTime)), nil
		}
		if ctx.Err() != nil {
			return "", err
		}
		op.Warn("backup %s cannot be used: %v", s.ID, err)
	}
	return "the database as it is now", t.fillLive(ctx, op)
}

// fillLive makes the scratch database what the live one is at one moment. Nothing of it is kept on
// the disk in between, and the live one is only read.
func (t *trial) fillLive(ctx context.Context, op *Operation) error {
	tools, err := mattermost.FindTools(ctx, mattermost.Idly(host.Run), op.Facts.Schema.Server)
	if err != nil {
		return err
	}
	if err := t.admin.Create(ctx, t.db.Name); err != nil {
		return err
	}
	rows := mattermost.Rows{}
	return t.db.Load(ctx, rows, func(w io.Writer) error {
		sent, _, err := op.Facts.Database.Stream(ctx, tools, w, func(n int64) { op.Progress(n, 0, "bytes") })
		maps.Copy(rows, sent)
		return err
	})
}

// program is a version's program that works on the scratch database.
func (t *trial) program(op *Operation, dir string) mattermost.Program {
	p := op.Facts.Program(dir)
	p.Env = append(p.Env, "MM_SQLSETTINGS_DATASOURCE="+t.db.DataSource())
	return p
}

// start starts the version in the sandbox and waits until it answers as want, then for a while
// longer, as some die of their first work. It returns how long it took until the first good answer.
func (t *trial) start(ctx context.Context, op *Operation, want string, limit, stable time.Duration) (time.Duration, error) {
	if err := t.sandbox.Open(ctx); err != nil {
		return 0, err
	}
	if err := mattermost.Warm(t.sandbox.Version); err != nil {
		return 0, err
	}
	s, h := t.sandbox.Service(), t.sandbox.Health(sitePath(op))
	work := t.db.Watch()
	defer work.Close(context.WithoutCancel(ctx))
	t.began = time.Now()
	if err := t.sandbox.Start(ctx); err != nil {
		return 0, err
	}
	st, err := s.WaitReady(ctx, mattermost.Patience{Limit: limit, Idle: idleMigrating, Busy: work.Busy})
	if err != nil {
		return time.Since(t.began), err
	}
	if err := awaitAnswer(ctx, s, h, st.PID, want, verifyTimeout); err != nil {
		return time.Since(t.began), err
	}
	took := time.Since(t.began)
	t.waited = t.sandbox.Waited(ctx)
	for end := time.Now().Add(stable); time.Now().Before(end); {
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return took, context.Cause(ctx)
		}
		if err := awaitAnswer(ctx, s, h, st.PID, want, verifyTimeout); err != nil {
			return took, err
		}
	}
	return took, nil
}

// endTrial removes every trace of a trial, or of one that a killed process left.
func endTrial(ctx context.Context, op *Operation) error {
	return endScratch(ctx, op, func() error { return mattermost.CloseSandbox(ctx, host.Run, op.Record.Run.SandboxAt) })
}

// endScratch removes the scratch databases, and with remove what else was made for them; then the
// record forgets them. It may be called again.
func endScratch(ctx context.Context, op *Operation, remove func() error) error {
	run := op.Record.Run
	if run.Scratch == "" {
		return nil
	}
	failed := remove()
	_, db, err := reopen(ctx, run)
	if err != nil {
		return errors.Join(failed, err)
	}
	admin, err := findAdmin(ctx, db)
	if err != nil {
		return errors.Join(failed, err)
	}
	if err := errors.Join(failed, admin.Sweep(ctx)); err != nil {
		return err
	}
	run.Scratch, run.SandboxAt = "", ""
	return op.Save()
}
