package phase

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/mattermost"
)

// belongings are the places of what somebody had added to the install directory of a server that is
// rebuilt around its volumes: it lay on the disk that is gone, and is in the newest backup. Where it
// cannot be had the service comes back without it, and says so.
func belongings(ctx context.Context, op *Operation) ([]mattermost.Place, error) {
	if op.Facts.Installed() || op.Facts.Last == "" {
		return nil, nil
	}
	repo, s, err := latestBackup(ctx, op)
	if errors.Is(err, backup.ErrNone) || backup.IsEmpty(err) {
		return nil, nil
	}
	var places []mattermost.Place
	if err == nil {
		places, err = bringBelongings(ctx, op, repo, s)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		op.Warn("what somebody had added beside Mattermost is not brought back: %v", err)
	}
	return places, nil
}

// bringBelongings restores what is not there yet, and returns the places of all.
func bringBelongings(ctx context.Context, op *Operation, repo *backup.Repository, s backup.Snapshot) ([]mattermost.Place, error) {
	var wanted []string
	targets := map[string]string{}
	var places []mattermost.Place
	for _, p := range s.Manifest.Places {
		if !p.Custom {
			continue
		}
		target := placeOf(op, p)
		places = append(places, mattermost.Place{Name: p.Name, Target: target, Custom: true})
		if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
			wanted, targets[p.Path] = append(wanted, p.Path), target
		}
	}
	if len(wanted) == 0 {
		return places, nil
	}
	uid, gid, err := mattermost.IDs(op.Facts.Unit.User)
	if err != nil {
		return nil, err
	}
	staging := filepath.Join(mattermost.Root(op.Facts.Link), stagingPrefix+"added")
	if err := errors.Join(os.RemoveAll(staging), os.MkdirAll(staging, 0o700)); err != nil { // of one that was killed
		return nil, err
	}
	defer os.RemoveAll(staging)
	if err := repo.Files(ctx, s, staging, wanted); err != nil {
		return nil, err
	}
	for _, path := range wanted {
		staged, target := filepath.Join(staging, path), targets[path]
		if err := renumber(staged, s.Manifest.UID, s.Manifest.GID, uid, gid); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return nil, err
		}
		if err := os.Rename(staged, target); err != nil {
			return nil, fmt.Errorf("put %s in place: %w", target, err)
		}
		op.Note("%s, which somebody had added, comes from backup %s", target, s.ID)
	}
	return places, nil
}
