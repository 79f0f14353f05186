// Package pgtest runs a PostgreSQL server for a test: what is proven of databases is proven on a
// real one.
package pgtest

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Start runs a server until the test is over and returns the directory of its Unix socket, and its
// major version. Everyone may connect as any role; postgres is the superuser. PostgreSQL refuses to
// run as root: then it runs as nobody. Options such as "port=5433" are added to its own.
// TOWNSQUARE_PGBIN is the directory with initdb and postgres of another major version to test with.
func Start(t *testing.T, options ...string) (socket string, major int) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pg") // the path of a socket has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	var attr *syscall.SysProcAttr
	if os.Geteuid() == 0 {
		attr = &syscall.SysProcAttr{Credential: nobody(t)}
		if err := os.Chown(dir, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(program(t, "initdb"), "--pgdata="+data, "--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--no-locale")
	initdb.Dir, initdb.SysProcAttr = dir, attr
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	args, at := []string{"-D", data, "-k", dir}, "host="+dir
	for _, option := range append([]string{"listen_addresses=", "fsync=off", "autovacuum=off"}, options...) {
		args = append(args, "-c", option)
		if strings.HasPrefix(option, "port=") {
			at += " " + option
		}
	}
	server := exec.Command(program(t, "postgres"), args...)
	server.Dir, server.SysProcAttr = dir, attr
	log := new(strings.Builder)
	server.Stderr = log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT)
		_ = server.Wait() // it ends by the signal
	})
	deadline := time.Now().Add(30 * time.Second)
	for {
		major, err := version(t.Context(), at)
		if err == nil {
			return dir, major
		}
		if time.Now().After(deadline) {
			t.Fatalf("postgres does not start: %v\n%s", err, log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func version(ctx context.Context, at string) (major int, err error) {
	conn, err := pgx.Connect(ctx, at+" user=postgres dbname=postgres")
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "select current_setting('server_version_num')::int / 10000").Scan(&major)
	return major, err
}

func nobody(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// program finds one of the server's programs in TOWNSQUARE_PGBIN, or where Debian or PATH has it.
func program(t *testing.T, name string) string {
	t.Helper()
	if dir := os.Getenv("TOWNSQUARE_PGBIN"); dir != "" {
		return filepath.Join(dir, name)
	}
	found, err := filepath.Glob(filepath.Join("/usr/lib/postgresql", "*", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(found)
	if len(found) > 0 {
		return found[len(found)-1]
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("this test needs a PostgreSQL server: apt-get install postgresql (%v)", err)
	}
	return path
}
