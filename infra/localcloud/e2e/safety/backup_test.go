//go:build machine

package safety

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

const (
	repository     = "/srv/backups"
	backupPassword = "correct horse battery staple, on a machine"
)

// backupReport is what the commands of `upgrade backup` print with --json.
type backupReport struct {
	Outcome  string        `json:"outcome"`
	Error    string        `json:"error"`
	Hint     string        `json:"hint"`
	Downtime time.Duration `json:"downtime_ns"`
	Problems []struct{ Where, Found, Hint string }
	Backup   struct {
		ID                                             string
		Posts, Users, Attachments, Files, Bytes, Added int64
		Removed, Kept                                  int
		Restorable                                     bool
	}
}

type backupLine struct {
	ID, Mattermost, Site string
	Posts                int64
	Verified             time.Time
}

// own makes the server one whose upgrade.yaml is its administrator's, not a stack's, without backups.
func own(t *testing.T) *stage.Server {
	t.Helper()
	s := fresh(t)
	s.Exec(t, `sed -i '/^backup:/,/^[^ ]/{/^backup:/d;/^ /d}' /etc/townsquare/upgrade.yaml; rm -rf /etc/townsquare/backup.* /var/lib/townsquare/backup`)
	return s
}

// backups gives the server a repository on a disk.
func backups(t *testing.T, s *stage.Server) {
	t.Helper()
	s.Input(t, strings.NewReader(backupPassword+"\n"), "install -m 600 /dev/stdin /etc/townsquare/backup.password")
	s.Exec(t, fmt.Sprintf(`printf 'backup:\n  repository: %s\n  keep: {last: 1, daily: 1}\n' >>/etc/townsquare/upgrade.yaml
sync # as what the program delivers is: some of these tests pull the plug`, repository))
}

// do types `upgrade ARGUMENTS --json` and reads its report.
func do(t *testing.T, s *stage.Server, code int, arguments ...string) (r backupReport) {
	t.Helper()
	result := s.Upgrade(t.Context(), append(arguments, "--json")...).Must(t, code)
	result.Into(t, &r)
	t.Logf("upgrade %s: %v (%s), %+v", strings.Join(arguments, " "), result.Took.Round(10*time.Millisecond), r.Outcome, r.Backup)
	return r
}

// restic runs it on the server as an administrator does.
const restic = `RESTIC_PASSWORD_FILE=/etc/townsquare/backup.password restic --no-cache --quiet -r ` + repository + ` `

// tidy fails the test when a proof has left something.
func tidy(t *testing.T, s *stage.Server) {
	t.Helper()
	if left := s.Exec(t, `ls -d /var/lib/townsquare/scratch 2>/dev/null || true; runuser -u postgres -- psql -AtXc "select datname from pg_database where datname ~ 'scratch|restored'"`); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// TestBackup: nobody is stopped for a backup, the second stores what is new only, the proof is one,
// and the password is nowhere.
func TestBackup(t *testing.T) {
	s := own(t)
	if r := do(t, s, 3, "backup", "create"); len(r.Problems) != 1 || r.Problems[0].Where != "backup.repository" {
		t.Errorf("without a repository: %+v", r)
	}
	backups(t, s)
	s.Exec(t, "mv /etc/townsquare/backup.password /root/")
	if r := do(t, s, 3, "backup", "create"); len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Hint, "install -m 600") {
		t.Errorf("without a password: %+v", r)
	}
	s.Exec(t, "mv /root/backup.password /etc/townsquare/")
	if r := do(t, s, 3, "backup", "verify"); len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Hint, "backup create") {
		t.Errorf("the proof of nothing: %+v", r)
	}

	var first backupReport
	s.Watched(t, func() { first = do(t, s, 0, "backup", "create") })
	if first.Downtime != 0 || first.Backup.Posts < int64(len(s.People.Posts)) || first.Backup.Attachments == 0 {
		t.Errorf("%+v", first)
	}
	second := do(t, s, 0, "backup", "create", "--unattended")
	third := do(t, s, 0, "backup", "create")
	t.Logf("bytes added: %d, %d, %d of %d", first.Backup.Added, second.Backup.Added, third.Backup.Added, third.Backup.Bytes)
	// A database as small as this is one or two of restic's pieces, and statuses change in it; the
	// files, which make the other half, are not stored again.
	if third.Backup.Added > third.Backup.Bytes*2/3 {
		t.Errorf("of %d bytes, %d were stored again", third.Backup.Bytes, third.Backup.Added)
	}
	// keep: {last: 1, daily: 1} leaves the newest of today.
	if third.Backup.Kept != 1 || third.Backup.Removed != 1 {
		t.Errorf("kept: %+v", third.Backup)
	}
	if r := do(t, s, 0, "backup", "verify"); !r.Backup.Restorable || r.Backup.ID != third.Backup.ID || r.Downtime != 0 {
		t.Errorf("the proof: %+v", r)
	}
	tidy(t, s)
	var list []backupLine
	s.Upgrade(t.Context(), "backup", "list", "--json").Must(t).Into(t, &list)
	if len(list) != 1 || list[0].ID != third.Backup.ID || list[0].Mattermost != stage.Before || list[0].Verified.IsZero() {
		t.Errorf("%+v", list)
	}
	if r := s.Upgrade(t.Context(), "status"); !strings.Contains(r.Stdout, third.Backup.ID) || strings.Contains(r.Stderr, "proven") {
		t.Errorf("%s", r)
	}
	if do(t, s, 0, "backup", "prune").Backup.Kept != 1 {
		t.Error("prune removed the only backup")
	}
	if found := s.Exec(t, fmt.Sprintf(`journalctl --no-pager | grep -cF '%[1]s' || true; grep -rlF '%[1]s' /var/lib/townsquare /var/log /run /tmp %[2]s 2>/dev/null || true`, backupPassword, repository)); strings.TrimSpace(found) != "0" {
		t.Errorf("the password is in: %s", found)
	}
	if strings.Contains(square.Transcript(), backupPassword) {
		t.Error("the password was shown")
	}
	s.Serves(t, stage.Before)
}

// TestBackupThatIsNone: the proof finds what is missing or damaged.
func TestBackupThatIsNone(t *testing.T) {
	s := own(t)
	backups(t, s)
	do(t, s, 0, "backup", "create")
	s.Exec(t, "cp -a "+repository+" "+repository+".good")

	// An attachment that the server has, and the backup lacks.
	file := strings.TrimSpace(s.Exec(t, `cd /var/lib/mattermost/data && find . -name charter.txt | head -1`))
	s.Exec(t, fmt.Sprintf(`id=$(%[1]s snapshots --json --tag files | grep -o '"short_id":"[0-9a-f]*"' | tail -1 | cut -d'"' -f4)
%[1]s rewrite --forget --exclude '/var/lib/mattermost/data/%[2]s' "$id"
new=$(%[1]s snapshots --json --tag files | grep -o '"id":"[0-9a-f]*"' | tail -1 | cut -d'"' -f4)
old=$(%[1]s snapshots --json --tag manifest | grep -o '"short_id":"[0-9a-f]*"' | tail -1 | cut -d'"' -f4)
run=$(%[1]s snapshots --json --tag manifest | grep -o '"[0-9TZ]*-backup"' | tail -1 | tr -d '"')
%[1]s dump "$old" /manifest.json | sed -E "s/(\"files_snapshot\": \")[0-9a-f]+/\1$new/; s/(\"files\": )([0-9]+)/echo '\1'\$((\2-1))/e" >/root/manifest.json
%[1]s forget "$old"
%[1]s backup --stdin --stdin-filename manifest.json --tag townsquare --tag manifest --tag "$run" --host "$(hostname)" </root/manifest.json`, restic, strings.TrimPrefix(file, "./")))
	if r := do(t, s, 1, "backup", "verify"); r.Backup.Restorable || !strings.Contains(r.Error, "cannot be restored") {
		t.Errorf("without %s: %+v", file, r)
	} else {
		t.Log(r.Error)
	}
	tidy(t, s)

	// A disk that has lost a piece of the data.
	s.Exec(t, "rm -rf "+repository+"; cp -a "+repository+`.good `+repository+`
pack=$(find `+repository+`/data -type f -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2); chmod u+w "$pack"
printf 'rotten' | dd of="$pack" bs=1 seek=4000 conv=notrunc status=none; rm -rf /var/lib/townsquare/backup/cache`)
	if r := do(t, s, 1, "backup", "verify"); r.Backup.Restorable || !strings.Contains(r.Hint, "backup create") {
		t.Errorf("damaged: %+v", r)
	} else {
		t.Log(r.Error)
	}
	tidy(t, s)

	// Files that the server has lost since: keep: {last: 1, daily: 1} would let go of the only backup with them.
	s.Exec(t, "rm -rf "+repository+"; mv "+repository+`.good `+repository+`; rm -rf /var/lib/townsquare/backup/cache
mkdir /root/elsewhere; mv /var/lib/mattermost/data/20* /root/elsewhere/`)
	kept := func(want int) {
		t.Helper()
		var list []backupLine
		if s.Upgrade(t.Context(), "backup", "list", "--json").Must(t).Into(t, &list); len(list) != want {
			t.Errorf("%d backups, want %d: %+v", len(list), want, list)
		}
	}
	if r := do(t, s, 1, "backup", "create"); !strings.Contains(r.Error, "have no file in /var/lib/mattermost/data any more") {
		t.Errorf("without files: %+v", r)
	} else {
		t.Log(r.Error)
	}
	kept(2)
	if r := do(t, s, 1, "backup", "verify"); r.Backup.Restorable || !strings.Contains(r.Error, "have no file in") {
		t.Errorf("without files: %+v", r)
	}
	do(t, s, 0, "backup", "prune")
	kept(1)
	if r := do(t, s, 0, "backup", "verify"); !r.Backup.Restorable {
		t.Errorf("with files that were given up: %+v", r)
	}
}
