//go:build machine

package safety

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/stage"
)

// untouched is all of the server that changes when somebody comes by SSH, or does something there.
const untouched = live + `
sha256sum /var/lib/townsquare/state.json; find /var/lib/townsquare/runs /etc/townsquare -printf '%p %T@\n' | sort
journalctl --no-pager -q -u ssh -u townsquare-upgrade | wc -l`

// The upgrade is rehearsed on the operator's computer, in a machine of another cloud. What is the
// world outside of that one is the server's cloud; and all that it may do there is read.
func TestRehearseHere(t *testing.T) {
	s := square.Fresh(t) // the stack says where its backups are
	made := create(t, s)
	password := s.Exec(t, "cat /etc/townsquare/backup.password")
	was, stored := s.Exec(t, untouched), contents(t, s)

	interrupted := s.StartUpgrade(t.Context(), "rehearse", "--here", "--to", stage.After)
	interrupted.Until(t, func() error { _, err := theCopy(); return err })
	if _, err := os.Stat("/run/townsquare-rehearsal/backup.password"); err != nil {
		t.Error(err) // else its absence would prove nothing
	}
	interrupted.Signal(t, syscall.SIGINT)
	interrupted.Wait().Must(t, 130)
	nothingLeft(t, password)

	restored := make(chan string, 1)
	ctx, over := context.WithCancel(t.Context())
	defer over()
	go func() { restored <- postsOfCopy(ctx) }()
	got := rehearse(t, s, stage.After, 0, "--here")
	over()
	if tr := got.Trial; got.Outcome != "done" || tr == nil || tr.Migrations != 20 || tr.Copying <= 0 || tr.Downtime < tr.Copying || !strings.HasPrefix(tr.Source, "backup "+made.Backup.ID) {
		t.Errorf("on backup %s it says %+v", made.Backup.ID, got.Trial)
	}
	if posts := <-restored; posts != fmt.Sprint(made.Backup.Posts) {
		t.Errorf("%s posts were restored, and the backup has %d", posts, made.Backup.Posts)
	}
	nothingLeft(t, password)
	if is := s.Exec(t, untouched); is != was {
		t.Errorf("the server was touched:\nbefore:\n%s\nafter:\n%s", was, is)
	}
	if is := contents(t, s); is != stored {
		t.Errorf("the repository was changed:\nbefore:\n%s\nafter:\n%s", stored, is)
	}
	if strings.Contains(square.Transcript(), password) {
		t.Error("the password was shown")
	}
}

// contents are the objects that the cloud stores.
func contents(t *testing.T, s *stage.Server) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(filepath.Join(s.Cloud.Dir, "spaces", "buckets"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			fmt.Fprintln(&all, path)
		}
		return err
	})
	if err != nil || all.Len() == 0 {
		t.Fatalf("nothing is stored: %v", err)
	}
	return all.String()
}

// theCopy is the machine of a rehearsal, when it runs.
func theCopy() (*machine.Machine, error) {
	cloud, err := network.Open("rehearsal")
	if err != nil {
		return nil, err
	}
	m, err := machine.Open(cloud, "townsquare-dev")
	if err == nil && !m.Running() {
		err = errors.New("it is off")
	}
	return m, err
}

// postsOfCopy waits until the copy serves, and counts its posts.
func postsOfCopy(ctx context.Context) string {
	for ; ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		m, err := theCopy()
		if err != nil {
			continue
		}
		if out, err := m.Exec(ctx, "sh", "-ec", `systemctl is-active --quiet mattermost; runuser -u postgres -- psql -XAtq -d mattermost -c "select count(*) from posts"`); err == nil {
			return strings.TrimSpace(out)
		}
	}
	return "no"
}

// nothingLeft wants no trace of a rehearsal on this computer.
func nothingLeft(t *testing.T, password string) {
	t.Helper()
	const place = network.Root + "/rehearsal"
	for _, path := range []string{"/run/townsquare-rehearsal", "/run/netns/tsq-rehearsal", "/etc/netns/tsq-rehearsal", place} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	for _, pattern := range []string{"/proc/[0-9]*/mounts", "/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ", "/sys/block/loop*/loop/backing_file"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, _ := os.ReadFile(file) // who has ended meanwhile has left nothing
			for _, trace := range []string{place, "TOWNSQUARE_CLOUD=rehearsal", password} {
				if strings.Contains(string(text), trace) {
					t.Errorf("%s has %q", file, strings.ReplaceAll(trace, password, "the password"))
				}
			}
		}
	}
}
