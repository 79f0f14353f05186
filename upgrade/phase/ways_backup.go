package phase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
)

// WayBackup begins the name of a way back by a backup: "backup=1a2b3c4d". Alone it means the newest
// of those. It is gone by the operation restore.
const WayBackup = "backup"

// backupOf is the backup in the name of a way; ok says whether it is one by a backup.
func backupOf(way string) (id string, ok bool) {
	name, id, _ := strings.Cut(way, "=")
	return id, name == WayBackup
}

// offered is how many backups are offered, each of another version, and besides those the one that was asked for.
const offered = 3

// backupWays are the newest backups of each older version. A repository that does not answer is no
// reason to stay: the other ways are there without it.
func backupWays(ctx context.Context, op *Operation) ([]Way, error) {
	repo, err := openBackups(ctx, op)
	if errors.Is(err, backup.ErrNone) {
		return nil, nil
	}
	var all []backup.Snapshot
	if err == nil {
		all, err = repo.Snapshots(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		op.Warn("the backups cannot be looked at: %v", err)
		return nil, nil
	}
	var ways []Way
	for _, s := range pickBackups(op, all) {
		w, err := backupWay(ctx, op, s)
		if err != nil {
			return nil, err
		}
		ways = append(ways, w)
	}
	return ways, nil
}

// pickBackups picks from all, which is the newest first: of this site and an older version.
func pickBackups(op *Operation, all []backup.Snapshot) []backup.Snapshot {
	site := BackupSite(op.Config, op.Facts)
	wanted, _ := backupOf(op.Way)
	var picked []backup.Snapshot
	var versions []string
	for _, s := range all {
		version, err := release.Parse(s.Manifest.Mattermost)
		if err != nil || s.Manifest.Site != site || !version.Less(op.Facts.Version) || op.To != "" && op.To != version.String() {
			continue
		}
		named := wanted != "" && strings.HasPrefix(s.ID, wanted)
		if !named && (slices.Contains(versions, version.String()) || len(versions) == offered) {
			continue
		}
		versions = append(versions, version.String())
		picked = append(picked, s)
	}
	return picked
}

func backupWay(ctx context.Context, op *Operation, s backup.Snapshot) (Way, error) {
	w := Way{Name: WayBackup + "=" + s.ID, To: s.Manifest.Mattermost, Since: s.Time,
		What: fmt.Sprintf("the backup of %s: Mattermost %s with its database, files and settings", s.Time.Local().Format(time.DateTime), s.Manifest.Mattermost)}
	w.Warnings = []string{"the database and the files that it replaces are kept on the server only until the next upgrade or restore is finalized"}
	if s.Manifest.Edition != string(op.Facts.Edition) {
		w.Problems = problem.List{{Where: "edition", Found: fmt.Sprintf("the backup is of the %s edition, and %s is installed", s.Manifest.Edition, op.Facts.Edition),
			Allowed: "the same edition: the other hides messages"}}
	}
	var err error
	w.Loses, err = op.Facts.Database.Written(ctx, s.Time)
	return w, err
}
