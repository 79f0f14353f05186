//go:build machine

package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"townsquare/upgrade/internal/untrusted"
)

// A user who owns directories on the way to the files, and among them, exchanges them with links all the
// time. What that user cannot reach never gets in a backup, and what is really there does.
func TestBackupWithLinksThatAreExchanged(t *testing.T) {
	base := t.TempDir()
	for dir := base; dir != os.TempDir(); dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
	at := func(name string) string { return filepath.Join(base, name) }
	must(t, os.Mkdir(at("root"), 0o700), os.Mkdir(at("mattermost"), 0o755))
	// The same names as below mattermost, so that the path leads to a file of root's where a link is followed.
	write(t, at("root/data/2026/secret"), "of root", 0o644)
	write(t, at("root/2026/secret"), "of root", 0o644)
	write(t, at("root/secret"), "of root", 0o644)
	for i := range 200 { // for restic to be among them when a directory is exchanged
		write(t, at(fmt.Sprintf("mattermost/top/data/2026/%d", i)), "uploaded", 0o644)
	}
	write(t, at("mattermost/top/data/2026/secret"), "uploaded", 0o644)
	must(t, os.Symlink(at("root"), at("mattermost/link")), os.Symlink(at("root"), at("mattermost/top/link")), os.Symlink(at("root"), at("mattermost/top/data/link")))
	must(t, filepath.WalkDir(at("mattermost"), func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, 65534, 65534))
	}))

	r := open(t, options(t))
	if _, err := r.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var attacker sync.WaitGroup
	for _, pair := range [][2]string{{"mattermost/top", "mattermost/link"}, {"mattermost/top/data", "mattermost/top/link"}, {"mattermost/top/data/2026", "mattermost/top/data/link"}} {
		attacker.Go(func() {
			_ = untrusted.As("nobody", func() error {
				for {
					select {
					case <-stop:
						return nil
					default:
						_ = unix.Renameat2(unix.AT_FDCWD, at(pair[0]), unix.AT_FDCWD, at(pair[1]), unix.RENAME_EXCHANGE)
					}
				}
			})
		})
	}
	saved := 0
	for range 5 {
		p, err := r.SaveFiles(t.Context(), "chat", "20261201T030000Z-backup", []string{at("mattermost/top/data")}, nil, nil)
		if p.ID == "" {
			t.Logf("nothing could be read: %v", err)
			continue
		}
		target := t.TempDir()
		if err := r.Files(t.Context(), Snapshot{ID: "x", Manifest: Manifest{Files: p.ID}}, target, []string{at("mattermost/top/data")}); err != nil {
			t.Fatal(err)
		}
		must(t, filepath.WalkDir(target, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			saved++
			data, err := os.ReadFile(path)
			if strings.Contains(string(data), "of root") {
				t.Errorf("a file of root's is in the backup, as %s", strings.TrimPrefix(path, target))
			}
			return err
		}))
	}
	close(stop)
	attacker.Wait()
	t.Logf("%d files were saved during the attack", saved)
	p, err := r.SaveFiles(t.Context(), "chat", "20261201T040000Z-backup", []string{at("mattermost")}, nil, nil)
	if err != nil || p.Files != 201 {
		t.Errorf("after it: %+v, %v", p, err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
