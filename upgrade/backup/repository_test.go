package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/problem"
)

// options are those of a repository on this disk, for the real restic.
func options(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	o := Options{Repository: filepath.Join(dir, "repository"), Password: filepath.Join(dir, "password"), Dir: filepath.Join(dir, "own")}
	write(t, o.Password, "a password of twenty characters\n", 0o600)
	return o
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, o Options) *Repository {
	t.Helper()
	r, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// save makes a whole backup.
func save(t *testing.T, r *Repository, site, run, sql string, paths ...string) Snapshot {
	t.Helper()
	if _, err := r.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	database, err := r.SaveDatabase(t.Context(), site, run, func(w io.Writer) error {
		_, err := io.WriteString(w, sql)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.SaveFiles(t.Context(), site, run, paths, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse("20060102T150405Z", run[:16])
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.SaveManifest(t.Context(), Manifest{Run: run, Site: site, Time: at, Mattermost: "9.10.0",
		Database: database.ID, Files: files.ID, FileCount: files.Files, FileBytes: files.Bytes})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBackupAndBack(t *testing.T) {
	t.Parallel()
	o := options(t)
	data := filepath.Join(t.TempDir(), "data [1]*")
	write(t, filepath.Join(data, "a", "charter.txt"), "we, the people", 0o640)
	r := open(t, o)
	if !r.fresh {
		t.Error("a repository that nobody made is there")
	}
	if list, err := r.Snapshots(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := r.Find(t.Context(), "latest", "chat"); !errors.Is(err, ErrEmpty) {
		t.Errorf("latest of nothing: %v", err)
	}
	first := save(t, r, "chat.example.org", "20261122T010000Z-backup", "create table a;\n", data)
	second := save(t, r, "chat.example.org", "20261122T020000Z-backup", "create table b;\n", data)
	if made, err := r.Make(t.Context()); made || err != nil {
		t.Errorf("made twice: %v, %v", made, err)
	}

	// A host that knows nothing but where it is and the password, as one just rebuilt.
	o.Dir = filepath.Join(t.TempDir(), "other")
	r = open(t, o)
	list, err := r.Snapshots(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != second.ID || list[1].ID != first.ID {
		t.Fatalf("%+v, %v", list, err)
	}
	got, err := r.Find(t.Context(), "", "other.example.org")
	if err != nil || got.ID != second.ID {
		t.Errorf("the newest of the only site: %s, %v", got.ID, err)
	}
	if got, err = r.Find(t.Context(), first.ID[:6], ""); err != nil || got.ID != first.ID {
		t.Errorf("by its beginning: %s, %v", got.ID, err)
	}
	if _, err := r.Find(t.Context(), "ffffffff", ""); err == nil || !strings.Contains(err.Error(), second.ID) {
		t.Errorf("one that is not there: %v", err)
	}
	var sql bytes.Buffer
	if err := r.Database(t.Context(), got, &sql); err != nil || sql.String() != "create table a;\n" {
		t.Errorf("%q, %v", sql.String(), err)
	}
	target := t.TempDir()
	if err := r.Files(t.Context(), got, target, []string{data}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(target, data, "a", "charter.txt")
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "we, the people" {
		t.Fatalf("%q, %v", text, err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
	got.Manifest.StorePath = data
	if n, err := r.Has(t.Context(), got, []string{"a/charter.txt", "a/other.txt", "a"}); n != 1 || err != nil {
		t.Errorf("the backup has %d of one file, another and a directory: %v", n, err)
	}
	if err := r.Check(t.Context(), 100); err != nil {
		t.Error(err)
	}
}

// TestHalfIsNone: what fails while it is written must not look like a backup, nor stay.
func TestHalfIsNone(t *testing.T) {
	t.Parallel()
	r := open(t, options(t))
	data := t.TempDir()
	whole := save(t, r, "chat", "20261122T010000Z-backup", "whole\n", data)
	broken := errors.New("the database went away")
	_, err := r.SaveDatabase(t.Context(), "chat", "20261122T020000Z-backup", func(w io.Writer) error {
		if _, err := io.WriteString(w, "half"); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
	all, err := r.raws(t.Context())
	if err != nil || len(all) != 3 {
		t.Errorf("%d snapshots, %v: half a database was stored", len(all), err)
	}
	half := func(w io.Writer) error { _, err := io.WriteString(w, "whole, and alone"); return err } // a run that ended between its parts
	if _, err := r.SaveDatabase(t.Context(), "chat", "20261122T030000Z-backup", half); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SaveDatabase(t.Context(), "another", "20261122T030000Z-backup", half); err != nil {
		t.Fatal(err)
	}
	if list, err := r.Snapshots(t.Context()); err != nil || len(list) != 1 || list[0].ID != whole.ID {
		t.Errorf("%+v, %v", list, err)
	}
	p, err := r.Prune(t.Context(), "chat", Keep{Daily: 1})
	if err != nil || len(p.Removed) != 0 || p.Kept != 1 || p.Partial != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if all, err = r.raws(t.Context()); err != nil || len(all) != 4 {
		t.Errorf("%d snapshots are left, %v: want the backup's three, and the other site's", len(all), err)
	}
}

func TestPruneKeeps(t *testing.T) {
	t.Parallel()
	r := open(t, options(t))
	data := t.TempDir()
	for _, run := range []string{"20261122T010000Z-backup", "20261122T020000Z-backup"} {
		save(t, r, "chat", run, run, data)
		save(t, r, "other", run, run, data)
	}
	if _, err := r.Prune(t.Context(), "chat", Keep{}); err == nil {
		t.Error("it agreed to keep none")
	}
	p, err := r.Prune(t.Context(), "chat", Keep{Daily: 1})
	if err != nil || len(p.Removed) != 1 || p.Kept != 1 || p.Partial != 0 { // all were made today, by restic's clock
		t.Errorf("%+v, %v", p, err)
	}
	list, err := r.Snapshots(t.Context())
	if err != nil || len(list) != 3 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := latest(list, "chat"); err != nil {
		t.Error(err)
	}
	if _, err := latest(list, "third"); err == nil || !strings.Contains(err.Error(), "chat, other") {
		t.Errorf("of two sites: %v", err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	if _, err := Open(t.Context(), Options{}); !errors.Is(err, ErrNone) {
		t.Errorf("no repository: %v", err)
	}
	o := options(t)
	save(t, open(t, o), "chat", "20261122T010000Z-backup", "x", t.TempDir())

	var wrong *OpenError
	other := o
	other.Password = filepath.Join(t.TempDir(), "password")
	write(t, other.Password, "another one of twenty characters\n", 0o600)
	if _, err := Open(t.Context(), other); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "password") || !strings.Contains(wrong.Hint(), other.Password) {
		t.Errorf("wrong password: %v", err)
	}
	if err := os.Rename(o.Repository, o.Repository+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "gone") || !strings.Contains(wrong.Hint(), "mounted") {
		t.Errorf("its disk is not mounted: %v", err)
	}
	fresh := o
	fresh.Dir = t.TempDir()
	if r, err := Open(t.Context(), fresh); err != nil || !r.fresh {
		t.Errorf("a host that never saw it: %v", err)
	}

	var list problem.List
	missing := Options{Repository: "sftp:backup@nas.example.org:/srv", Password: filepath.Join(t.TempDir(), "none"), Key: "/none", Dir: t.TempDir()}
	if _, err := Open(t.Context(), missing); !errors.As(err, &list) || len(list) != 3 {
		t.Errorf("password, key and host key are missing: %v", err)
	}
	readable := o
	readable.Password = filepath.Join(t.TempDir(), "password")
	write(t, readable.Password, "x", 0o644)
	if _, err := Open(t.Context(), readable); !errors.As(err, &list) || !strings.Contains(list[0].Hint, "chmod 600") {
		t.Errorf("a password that everybody reads: %v", err)
	}
}

// TestWhatResticSays: messages as restic 0.14 and 0.18 print them.
func TestWhatResticSays(t *testing.T) {
	for _, c := range []struct {
		name, repository, stderr string
		code                     int
		fresh                    bool
		text, hint               string
	}{
		{name: "no bucket yet", repository: "s3:https://s3.example.org/b", code: 10, fresh: true,
			stderr: "Fatal: repository does not exist: unable to open config file: Stat: The specified key does not exist."},
		{name: "no repository, old restic", repository: "s3:https://s3.example.org/b", code: 1, fresh: true,
			stderr: "Fatal: unable to open config file: Stat: The specified key does not exist.\nIs there a repository at the following location?"},
		{name: "the network is cut", repository: "s3:https://s3.example.org/b", code: 1, text: "connection refused", hint: "curl -sSI https://s3.example.org",
			stderr: "Fatal: unable to open config file: Stat: Get \"https://s3.example.org/b/\": dial tcp: connect: connection refused\nIs there a repository at the following location?"},
		{name: "wrong key", repository: "s3:https://s3.example.org/b", code: 1, text: "InvalidAccessKeyId", hint: "look at the keys",
			stderr: "Fatal: unable to open config file: Stat: InvalidAccessKeyId"},
		{name: "another SFTP server", repository: "sftp://b@nas.example.org:2222//srv", code: 1, text: "unable to start the sftp session", hint: "backup.host_key",
			stderr: "Host key verification failed.\nFatal: unable to start the sftp session"},
		{name: "locked by another machine", repository: "s3:https://s3.example.org/b", code: 11, text: "someone else is at work",
			stderr: "unable to create lock in backend: repository is already locked exclusively by PID 7 on nas by root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			o := Options{Repository: c.repository, Dir: dir, Password: filepath.Join(dir, "p"), Credentials: filepath.Join(dir, "c"), Key: filepath.Join(dir, "k"),
				HostKey: "ssh-ed25519 AAAA", Run: func(context.Context, host.Command) ([]byte, error) {
					return nil, &host.ExitError{Name: "restic", Code: c.code, Stderr: c.stderr}
				}}
			for _, f := range []string{o.Password, o.Credentials, o.Key} {
				write(t, f, "x", 0o600)
			}
			r, err := Open(t.Context(), o)
			if c.fresh {
				if err != nil || !r.fresh {
					t.Errorf("%v", err)
				}
				return
			}
			var wrong *OpenError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.text) || !strings.Contains(wrong.Hint(), c.hint) {
				t.Errorf("%v -> %q", err, wrong.Hint())
			}
		})
	}
}

// TestSecretsStayInFiles: neither the command line nor the environment of restic has one.
func TestSecretsStayInFiles(t *testing.T) {
	dir := t.TempDir()
	var seen []string
	o := Options{Repository: "sftp://b@nas.example.org:2222//srv", Dir: dir, Password: filepath.Join(dir, "p"), Key: filepath.Join(dir, "k"), HostKey: "ssh-ed25519 AAAA",
		Run: func(_ context.Context, c host.Command) ([]byte, error) {
			seen = append(seen, c.Name+" "+strings.Join(c.Args, " ")+" "+strings.Join(c.Env, " "))
			return []byte(`{"id":"abc"}`), nil
		}}
	write(t, o.Password, "hunter2hunter2", 0o600)
	write(t, o.Key, "PRIVATE", 0o600)
	open(t, o)
	all := strings.Join(seen, "\n")
	if strings.Contains(all, "hunter2") || strings.Contains(all, "PRIVATE") {
		t.Error(all)
	}
	for _, part := range []string{"-p 2222", "StrictHostKeyChecking=yes", "b@nas.example.org -s sftp", "RESTIC_PASSWORD_FILE=" + o.Password} {
		if !strings.Contains(all, part) {
			t.Errorf("no %s in %s", part, all)
		}
	}
	known, err := os.ReadFile(filepath.Join(dir, "known_hosts"))
	if err != nil || string(known) != "[nas.example.org]:2222 ssh-ed25519 AAAA\n" {
		t.Errorf("%q, %v", known, err)
	}
}

// TestKilledBackupLeavesNoLock: the lock of a process that is gone is removed, that of another
// machine is not.
func TestKilledBackupLeavesNoLock(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	mine := fmt.Sprintf(`{"time":%q,"hostname":%q,"pid":%d}`, time.Now().Format(time.RFC3339Nano), name, 1<<22+1)
	before := fmt.Sprintf(`{"time":"2001-01-01T00:00:00Z","hostname":%q,"pid":%d}`, name, os.Getpid())
	foreign := fmt.Sprintf(`{"time":%q,"hostname":"elsewhere","pid":7}`, time.Now().Format(time.RFC3339Nano))
	for _, c := range []struct {
		name  string
		locks []string
		want  int
		call  string
	}{
		{"none", nil, 0, ""},
		{"killed", []string{mine}, 1, "unlock --quiet --remove-all"},
		{"before the last boot", []string{before}, 1, "unlock --quiet --remove-all"},
		{"of another machine", []string{foreign}, 0, ""},
		{"both", []string{mine, foreign}, 1, "unlock --quiet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			called := ""
			r := &Repository{o: Options{Run: func(_ context.Context, cmd host.Command) ([]byte, error) {
				args := strings.Join(cmd.Args[3:], " ")
				switch {
				case strings.HasPrefix(args, "list locks"):
					var out strings.Builder
					for i := range c.locks {
						fmt.Fprintf(&out, "lock%d\n", i)
					}
					return []byte(out.String()), nil
				case strings.HasPrefix(args, "cat lock "):
					var i int
					_, err := fmt.Sscanf(args, "cat lock lock%d", &i)
					return []byte(c.locks[i]), err
				}
				called = args
				return nil, nil
			}}}
			got, err := r.Unlock(t.Context())
			if err != nil || got != c.want || called != c.call {
				t.Errorf("%d, %q, %v", got, called, err)
			}
		})
	}
}

// A store that does not answer is told by its address, and by the program that asked.
func TestOpenOfASilentStore(t *testing.T) {
	bin := t.TempDir()
	write(t, filepath.Join(bin, "restic"), "#!/bin/sh\nexec sleep 600\n", 0o755)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	dir := t.TempDir()
	o := Options{Repository: "s3:https://s3.example.org/b", Dir: dir, Password: filepath.Join(dir, "p"), Credentials: filepath.Join(dir, "c")}
	write(t, o.Password, "x", 0o600)
	write(t, o.Credentials, "x", 0o600)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("no answer within 45 seconds"))
	defer cancel()
	_, err := Open(ctx, o)
	if want := "backup repository s3:https://s3.example.org/b: restic: no answer within 45 seconds"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
