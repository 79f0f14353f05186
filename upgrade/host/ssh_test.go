package host

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func dial(t *testing.T, s *sshServer) *Conn {
	t.Helper()
	conn, err := Dial(t.Context(), s.address, s.keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestRunOverSSH(t *testing.T) {
	s := serve(t)
	conn := dial(t, s)
	var out bytes.Buffer
	if err := conn.Run(t.Context(), "tr a-z A-Z", strings.NewReader("secret on stdin"), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != "SECRET ON STDIN" {
		t.Errorf("got %q", out.String())
	}
	err := conn.Run(t.Context(), "echo no >&2; exit 11", nil, &out)
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 11 || exit.Stderr != "no\n" {
		t.Errorf("error is %v", err)
	}
	if s.logins != 1 {
		t.Errorf("%d logins for two commands", s.logins)
	}
	for _, r := range s.requests {
		if r != "exec" {
			t.Errorf("asked the server for %q: no agent, no terminal, no environment is given away", r)
		}
	}
}

func TestWrongHostKeyIsRefused(t *testing.T) {
	s := serve(t)
	other, _ := newKey(t)
	address := s.address
	address.HostKey = other.PublicKey()
	_, err := Dial(t.Context(), address, s.keys)
	var wrong *HostKeyError
	if !errors.As(err, &wrong) {
		t.Fatalf("error is %v", err)
	}
	for _, key := range []ssh.PublicKey{s.address.HostKey, other.PublicKey()} {
		if !strings.Contains(err.Error(), ssh.FingerprintSHA256(key)) {
			t.Errorf("%q does not show %s", err, ssh.FingerprintSHA256(key))
		}
	}
	if s.logins != 0 {
		t.Error("logged in all the same")
	}
	dials := 0
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	_, _, err = Waiter{Limit: time.Hour, Waiting: func(string) {}, Dial: func(ctx context.Context) (*Conn, error) {
		if dials++; dials > 1 {
			stop()
		}
		return Dial(ctx, address, s.keys)
	}}.Reach(ctx)
	if !errors.As(err, &wrong) || dials != 1 {
		t.Errorf("a wrong key was tried %d times: %v", dials, err)
	}
}

// A machine that has no key of the pinned kind shows the one it has, so that the refusal can name it.
func TestHostKeyOfAnotherKind(t *testing.T) {
	s := serve(t)
	address := s.address
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(&pair.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	address.HostKey = key
	_, err = Dial(t.Context(), address, s.keys)
	var wrong *HostKeyError
	if !errors.As(err, &wrong) || wrong.GotType != ssh.KeyAlgoED25519 {
		t.Errorf("error is %v", err)
	}
}

func TestRefusedLogin(t *testing.T) {
	s := serve(t)
	_, file := newKey(t)
	identity := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(identity, file, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, keys := range []Keys{{Identity: identity}, {Home: t.TempDir()}, {Identity: filepath.Join(t.TempDir(), "none")}} {
		_, err := Dial(t.Context(), s.address, keys)
		var login *AuthError
		if !errors.As(err, &login) || !strings.Contains(login.Hint(), "--identity") {
			t.Errorf("%+v: error is %v", keys, err)
		}
	}
}

func TestCutConnection(t *testing.T) {
	s := serve(t)
	conn := dial(t, s)
	time.AfterFunc(100*time.Millisecond, s.cut)
	if err := conn.Run(t.Context(), "sleep 30", nil, nil); !errors.Is(err, ErrCut) {
		t.Errorf("error is %v", err)
	}
	if err := conn.Run(t.Context(), "true", nil, nil); !errors.Is(err, ErrCut) {
		t.Errorf("a command on a dead connection: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	s := serve(t)
	conn := dial(t, s)
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	if err := conn.Run(ctx, "sleep 30", nil, nil); !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
	if err := conn.Run(t.Context(), "true", nil, nil); err != nil {
		t.Errorf("the connection ended with the session: %v", err)
	}
}

func TestConnectGivesUp(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s := serve(t)
	address := s.address
	address.Port = listener.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := Dial(ctx, address, s.keys); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestUpload(t *testing.T) {
	s := serve(t)
	conn := dial(t, s)
	dir := t.TempDir()
	from, to := filepath.Join(dir, "new"), filepath.Join(dir, "lib", "it's", "upgrade")
	content := bytes.Repeat([]byte("a program "), 300_000)
	if err := os.WriteFile(from, content, 0o644); err != nil {
		t.Fatal(err)
	}
	var last int64
	progress := func(done, total int64) {
		if done < last || total != int64(len(content)) {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	}
	s.program(t, "sudo", `shift 2; exec "$@"`)
	sent, err := conn.Upload(t.Context(), from, "", to, nil, progress)
	if err != nil || !sent || last != int64(len(content)) {
		t.Fatalf("sent %v, error %v, progress %d", sent, err, last)
	}
	got, err := os.ReadFile(to)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("arrived %d bytes, error %v", len(got), err)
	}
	if info, _ := os.Stat(to); info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v", info.Mode())
	}
	sum, _, err := sumOf(to)
	if err != nil {
		t.Fatal(err)
	}
	no := errors.New("no")
	if _, err := conn.Upload(t.Context(), from, "another sum", to, func() error { return no }, nil); !errors.Is(err, no) {
		t.Errorf("replaced what must stay: %v", err)
	}
	if sent, err := conn.Upload(t.Context(), from, sum, to, nil, nil); err != nil || sent {
		t.Errorf("sent again: %v, %v", sent, err)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(to), ".upgrade.*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What arrives damaged never takes the program's place.
func TestUploadThatArrivesDamaged(t *testing.T) {
	s := serve(t)
	conn := dial(t, s)
	dir := t.TempDir()
	from, to := filepath.Join(dir, "new"), filepath.Join(dir, "upgrade")
	for path, text := range map[string]string{from: "new", to: "old"} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.program(t, "sudo", `shift 2; exec "$@"`)
	s.program(t, "gzip", `cat >/dev/null; echo damaged`)
	_, err := conn.Upload(t.Context(), from, "", to, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error is %v", err)
	}
	if got, _ := os.ReadFile(to); string(got) != "old" {
		t.Errorf("the program is %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".upgrade.*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What a run in progress starts yet is the program that it is.
func TestUploadDuringARun(t *testing.T) {
	s := serve(t)
	conn := dial(t, s)
	dir := t.TempDir()
	from, to := filepath.Join(dir, "new"), filepath.Join(dir, "upgrade")
	for path, text := range map[string]string{from: "new", to: "old"} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.program(t, "sudo", `shift 2; exec "$@"`)
	for state, want := range map[string]string{"active": "old", "activating": "old", "deactivating": "old", "inactive": "new"} {
		s.program(t, "systemctl", `[ "$*" = "show --property=ActiveState --value `+Unit+`" ] && echo `+state)
		there, err := conn.Incumbent(t.Context())
		if err != nil || there.Running != (want == "old") || len(there.Record) != 0 {
			t.Errorf("%s: %+v, %v", state, there, err)
		}
		if err := os.WriteFile(to, []byte("old"), 0o755); err != nil {
			t.Fatal(err)
		}
		sent, err := conn.Upload(t.Context(), from, "the old one's", to, func() error { return nil }, nil)
		if sent != (want == "new") || errors.Is(err, ErrRunning) != (want == "old") {
			t.Errorf("%s: sent %v, %v", state, sent, err)
		}
		if got, _ := os.ReadFile(to); string(got) != want {
			t.Errorf("%s: the program is %q", state, got)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, ".upgrade.*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// A recovery, which is no run's unit, holds the lock.
func TestInProgressByTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	script := strings.ReplaceAll(inProgress, LockPath, path) + "if in_progress; then echo yes; else echo no; fi"
	is := func(want string) {
		t.Helper()
		out, err := Run(t.Context(), Command{Name: "sh", Args: []string{"-c", script}})
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("in progress: %s, %v, want %s", out, err, want)
		}
	}
	is("no")
	lock, err := TakeLock(path, Holder{Who: "the host itself"}, never(t))
	if err != nil {
		t.Fatal(err)
	}
	is("yes")
	release(t, lock)
	if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil { // left by a power cut
		t.Fatal(err)
	}
	is("no")
}

func TestQuote(t *testing.T) {
	s := serve(t)
	conn := dial(t, s)
	hard := []string{"it's", `"$HOME"`, "a b", "`id`", "", "a\nb", "-n"}
	var out bytes.Buffer
	if err := conn.Run(t.Context(), Quote(append([]string{"printf", "<%s>"}, hard...)...), nil, &out); err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, h := range hard {
		want += fmt.Sprintf("<%s>", h)
	}
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
