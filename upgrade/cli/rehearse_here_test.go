package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/host"
	"townsquare/upgrade/notify"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/secret"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

// fakeCloud is a local cloud whose program is a script that begins with these lines; $* is what it is
// told.
func fakeCloud(t *testing.T, script string) *localCloud {
	t.Helper()
	program := filepath.Join(t.TempDir(), "localcloud")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return &localCloud{program: program, name: "rehearsal"}
}

// What is wrong with the computer and with the repository is said at once.
func TestRehearseHereIsRefused(t *testing.T) {
	config := filepath.Join(t.TempDir(), "upgrade.yaml")
	if err := os.WriteFile(config, []byte("backup: {repository: /mnt/disk/chat}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ script, says string }{
		{"", "neither beside upgrade nor on the PATH"},
		{`[ "$*" = "packages --missing" ] && printf 'mmdebstrap\tbuilds the machines\n'`, "sudo apt install mmdebstrap"},
	} {
		path := t.TempDir()
		if c.script != "" {
			path = filepath.Dir(fakeCloud(t, c.script).program)
		}
		t.Setenv("PATH", path+":/bin") // the shell is there
		h := newFakeHost(t)
		wants(t, h.upgrade(t.Context(), "rehearse", "--here", "--local", "--config", config), phase.ExitRefused, c.says, "/mnt/disk/chat", "leave --here out")
		if h.dials > 0 || len(h.files()) > 0 {
			t.Errorf("it connected %d times and wrote %v", h.dials, h.files())
		}
	}
}

// A cloud that a person made is not removed.
func TestForeignCloud(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "clouds", "rehearsal")
	if found := foreign(dir); len(found) > 0 {
		t.Errorf("there is none, and %v", found)
	}
	if err := markOurs(dir); err != nil {
		t.Fatal(err)
	}
	if found := foreign(dir); len(found) > 0 {
		t.Errorf("a rehearsal's own: %v", found)
	}
	if found := foreign(filepath.Dir(dir)); len(found) != 1 || phase.Code(found) != phase.ExitRefused || !strings.Contains(found.Error(), "no rehearsal made") {
		t.Errorf("somebody's: %v", found)
	}
}

func TestReadableRepository(t *testing.T) {
	for repository, fine := range map[string]bool{
		"s3:https://fra1.digitaloceanspaces.com/chat/townsquare": true,
		"s3:https://minio.example.org:9000/chat":                 false,
		"s3:http://minio.example.org/chat":                       false,
		"sftp:backup@nas.example.org:/srv/chat":                  false,
		"":                                                       false,
	} {
		if found := readable(&state.Config{Backup: state.Backups{Repository: repository}}); fine != (len(found) == 0) {
			t.Errorf("%q: %v", repository, found)
		}
	}
}

// The copy has the server's settings, another database, and nobody to tell.
func TestWhatTheCopyIsTold(t *testing.T) {
	on := true
	from := original{target: target{delivery: host.Delivery{SiteURL: "https://chat.example.org", DatabaseURL: "postgres://the-server's", CA: "pem",
		Config: &state.Config{URL: "https://chat.example.org", Timers: &on, Backup: state.Backups{Repository: "s3:https://s/b"}},
		Notify: &notify.Config{Webhook: "https://example.org/hook"}, BackupPassword: "password", Desired: &state.Desired{}}}}
	d := from.told(target{delivery: host.Delivery{DatabaseURL: "postgres://its-own"}})
	if d.DatabaseURL != "postgres://its-own" || d.CA != "" || len(d.Notify.Secrets()) > 0 || d.Desired != nil || *d.Config.Timers || !d.Config.Backup.ReadOnly ||
		d.SiteURL != "https://chat.example.org" || d.BackupPassword != "password" {
		t.Errorf("it is told %+v, %+v", d, d.Config)
	}
	if c := from.target.delivery.Config; !*c.Timers || c.Backup.ReadOnly {
		t.Error("the server's own settings were changed")
	}
}

func TestRoomForRehearsal(t *testing.T) {
	small := original{}
	if err := small.fits("/nowhere/at/all"); err == nil {
		t.Error("there is room nowhere")
	}
	huge := original{snapshot: backup.Snapshot{Manifest: backup.Manifest{FileBytes: 1 << 60}}}
	if err := huge.fits(t.TempDir()); phase.Code(err) != phase.ExitRefused || !strings.Contains(err.Error(), "MB free") {
		t.Errorf("an exabyte: %v", err)
	}
	if got := gigabytes("volumeGB", 8<<30); got != "townsquare:volumeGB=20" {
		t.Error(got)
	}
}

// The machine's answer is the answer: its problems, its exit code, its errors with their hints.
func TestRehearseInMachine(t *testing.T) {
	var plan bytes.Buffer
	if err := json.NewEncoder(&plan).Encode(phase.Event{Time: time.Now(), Kind: phase.Result, Data: phase.Preview{Error: "it would not work",
		Problems: problem.List{{Where: "config.json", Found: "a setting that it refuses"}}, Exit: phase.ExitRefused}}); err != nil {
		t.Fatal(err)
	}
	answer := filepath.Join(t.TempDir(), "answer")
	if err := os.WriteFile(answer, plan.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cloud := fakeCloud(t, `case "$TOWNSQUARE_CLOUD $*" in
"rehearsal machine list --json") echo '[{"name": "townsquare-dev", "running": true}]';;
"rehearsal machine exec townsquare-dev -- `+host.Upgrader+` host examine plan") grep -q '"backup_password":"password"' && cat `+answer+`; exit 3;;
*) printf 'error: no such words: %s\n  -> type others\n' "$*" >&2; exit 1;;
esac`)
	name, err := cloud.machine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	a := &app{printer: ui.New(&out, &errs, func(string) string { return "" }, &secret.Redactor{})}
	s := &session{target: target{delivery: host.Delivery{BackupPassword: "password"}}, printer: a.printer, way: inMachine{cloud, name}, aside: true}
	var exit *exitError
	if err := a.rehearseOn(t.Context(), s, &rehearseOptions{}); !errors.As(err, &exit) || exit.code != phase.ExitRefused {
		t.Errorf("it ends with %v", err)
	}
	a.printer.Close()
	if !strings.Contains(out.String(), "a setting that it refuses") {
		t.Errorf("it says %s%s", &out, &errs)
	}
	err = remote(inMachine{cloud, name}.run(t.Context(), []string{"start"}, nil, &out))
	if phase.Hint(err) != "type others" || !strings.HasPrefix(err.Error(), "no such words: machine exec") {
		t.Errorf("%v, hint %q", err, phase.Hint(err))
	}
}
