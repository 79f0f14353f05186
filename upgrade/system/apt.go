package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/printable"
)

// lockTimeout is how long apt and dpkg are waited for when someone else uses them.
const lockTimeout = 10 * time.Minute

// quiet are apt-get's options for a run that nobody sits at: configuration files stay as the
// administrator has them, and nothing is ever removed.
var quiet = []string{
	"--quiet", "--yes", "--no-remove",
	"--option=DPkg::Lock::Timeout=" + strconv.Itoa(int(lockTimeout.Seconds())),
	"--option=Acquire::Retries=3",
	"--option=Dpkg::Use-Pty=0",
	"--option=Dpkg::Options::=--force-confdef",
	"--option=Dpkg::Options::=--force-confold",
}

// alone is the environment of such a run. needrestart's hook would restart services behind our back.
var alone = []string{
	"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "UCF_FORCE_CONFFOLD=1",
	"APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_SUSPEND=1",
}

// Listener is told how a package run goes; nil fields are not called.
type Listener struct {
	Progress func(percent int64)
	Kept     func(file string) // the administrator's configuration file stays; the package's lies beside it
}

// Update reads the archives' lists anew. One archive that cannot be read is an error: what it has
// would be missing from every answer.
func (s System) Update(ctx context.Context) error {
	_, err := s.apt(ctx, Listener{}, "update", "--error-on=any")
	var failed *InstallError
	if errors.As(err, &failed) {
		failed.lists = true
	}
	if err != nil {
		return fmt.Errorf("read what the archives have: %w", err)
	}
	return nil
}

// Download fetches what Install with the same words needs.
func (s System) Download(ctx context.Context, securityOnly bool, l Listener) error {
	words, err := s.upgrade(ctx, securityOnly)
	if err != nil || words == nil {
		return err
	}
	_, err = s.apt(ctx, l, append(words, "--download-only")...)
	return err
}

// Install installs what Pending names. It is not ended by ctx: a
// dpkg that is stopped half way leaves packages that do not work.
func (s System) Install(ctx context.Context, securityOnly bool, l Listener) error {
	words, err := s.upgrade(ctx, securityOnly)
	if err != nil || words == nil {
		return err
	}
	_, err = s.apt(context.WithoutCancel(ctx), l, words...)
	return err
}

// Add installs packages by their names, and nothing that they only recommend. Like Install it is not
// ended by ctx.
func (s System) Add(ctx context.Context, names []string, l Listener) error {
	if len(names) == 0 {
		return nil
	}
	_, err := s.apt(context.WithoutCancel(ctx), l, append([]string{"--no-install-recommends", "install", "--"}, names...)...)
	return err
}

// Purge removes packages by their names, with their settings, and nothing that needs them.
func (s System) Purge(ctx context.Context, names []string, l Listener) error {
	for _, name := range names {
		out, err := s.ask(ctx, "apt-get", "--simulate", "purge", "--", name)
		if err != nil {
			return err
		}
		if n := strings.Count(out, "\nPurg ") + strings.Count(out, "\nRemv "); n != 1 {
			return fmt.Errorf("other packages need %s: sudo apt-get purge %[1]s", name)
		}
		args := slices.DeleteFunc(slices.Clone(quiet), func(word string) bool { return word == "--no-remove" })
		if _, err := s.stream(context.WithoutCancel(ctx), l, "apt-get", append(args, "purge", "--", name)...); err != nil {
			return err
		}
	}
	return nil
}

// Repair finishes what a dpkg that was interrupted left half done. Done once, it does nothing.
func (s System) Repair(ctx context.Context, l Listener) error {
	text, err := s.interrupted(ctx)
	if err != nil || text == "" {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if _, err = s.stream(ctx, l, "dpkg", "--force-confdef", "--force-confold", "--configure", "--pending"); err != nil {
		// What it needs may be half unpacked itself: apt unpacks it again.
		_, again := s.apt(ctx, l, "--fix-broken", "install")
		if again != nil {
			return fmt.Errorf("finish what dpkg left half done: %w", errors.Join(err, again))
		}
		return nil
	}
	_, err = s.apt(ctx, l, "--fix-broken", "install")
	return err
}

// Clean removes archives of packages that no list has any more.
func (s System) Clean(ctx context.Context) error {
	_, err := s.apt(ctx, Listener{}, "autoclean")
	return err
}

func (s System) apt(ctx context.Context, l Listener, words ...string) (string, error) {
	args := slices.Clone(quiet)
	if l.Progress != nil {
		args = append(args, "--option=APT::Status-Fd=1")
	}
	return s.stream(ctx, l, "apt-get", append(args, words...)...)
}

// stream runs apt or dpkg and reads along.
func (s System) stream(ctx context.Context, l Listener, name string, args ...string) (string, error) {
	out := &reader{listener: l}
	_, err := s.Run(ctx, host.Command{Name: name, Args: args, Env: alone, Stdout: out})
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return out.text.String(), out.explain(exit)
	}
	return out.text.String(), err
}

// The lines of apt's and dpkg's output that mean something to us. Status lines are documented in
// apt's README.progress-reporting: "pmstatus:openssl:42.8571:Unpacking openssl (amd64)".
var (
	statusLine = regexp.MustCompile(`^(?:pm|dl)status:[^:]*:([0-9]+)`)
	errorLine  = regexp.MustCompile(`^pmerror:([^:]+):[0-9.]+:(.*)`)
	dpkgError  = regexp.MustCompile(`^dpkg: error processing (?:package|archive) (\S+) \(--`)
	confFile   = regexp.MustCompile(`^Configuration file '([^']+)'`)
)

// reader takes apt's output line by line.
type reader struct {
	listener Listener
	text     bytes.Buffer // without the status lines
	rest     []byte
	broken   []string // packages that failed, each with why
}

func (r *reader) Write(p []byte) (int, error) {
	r.rest = append(r.rest, p...)
	for {
		i := bytes.IndexByte(r.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		r.line(strings.TrimRight(string(r.rest[:i]), "\r"))
		r.rest = r.rest[i+1:]
	}
}

func (r *reader) line(line string) {
	if m := statusLine.FindStringSubmatch(line); m != nil {
		if percent, err := strconv.ParseInt(m[1], 10, 64); err == nil && r.listener.Progress != nil {
			r.listener.Progress(percent)
		}
		return
	}
	if m := errorLine.FindStringSubmatch(line); m != nil {
		r.broken = append(r.broken, fmt.Sprintf("%s: %s", m[1], m[2]))
		return
	}
	if m := confFile.FindStringSubmatch(line); m != nil && r.listener.Kept != nil {
		r.listener.Kept(m[1])
	}
	r.text.WriteString(line + "\n")
}

// InstallError says which packages failed, and how.
type InstallError struct {
	Broken []string // "openssl: installed openssl package post-installation script … exit status 1"
	Cause  error

	lists bool // reading the lists of packages failed: apt logs nothing of that
}

func (e *InstallError) Error() string {
	if len(e.Broken) == 0 {
		return e.Cause.Error()
	}
	return strings.Join(e.Broken, "; ")
}

func (e *InstallError) Unwrap() error { return e.Cause }

// Hint says where the package's own words are.
func (e *InstallError) Hint() string {
	if e.lists {
		return "sudo apt-get update"
	}
	return "sudo tail -n 60 /var/log/apt/term.log"
}

// explain makes an error of what apt said: E: lines, and the packages that dpkg stopped at.
func (r *reader) explain(exit *host.ExitError) error {
	var said []string
	lines := strings.Split(exit.Stderr, "\n")
	for i, line := range lines {
		if m := dpkgError.FindStringSubmatch(line); m != nil && len(r.broken) == 0 && i+1 < len(lines) {
			said = append(said, m[1]+": "+strings.TrimSpace(lines[i+1]))
		}
		if text, ok := strings.CutPrefix(line, "E: "); ok && !strings.HasPrefix(text, "Sub-process ") {
			said = append(said, text)
		}
	}
	if broken := append(slices.Clone(r.broken), said...); len(broken) > 0 {
		slices.Sort(broken)
		return &InstallError{Broken: slices.Compact(broken), Cause: exit}
	}
	return &InstallError{Cause: exit}
}

// locks are what apt and dpkg lock while they work (apt's FAQ, dpkg(1)).
var locks = []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock"}

// Holder names the process that works on packages now; empty when nobody does.
func (s System) Holder() (string, error) {
	for _, name := range locks {
		file, err := os.OpenFile(s.path(name), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		lock := syscall.Flock_t{Type: syscall.F_WRLCK}
		err = syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock)
		_ = file.Close()
		if err != nil {
			return "", fmt.Errorf("ask who holds %s: %w", name, err)
		}
		if lock.Type != syscall.F_UNLCK {
			comm, _ := os.ReadFile("/proc/" + strconv.Itoa(int(lock.Pid)) + "/comm")
			return fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(comm)), lock.Pid), nil
		}
	}
	return "", nil
}

// Await waits until nobody else works on packages; waiting is called once, with who does.
func (s System) Await(ctx context.Context, waiting func(who string)) error {
	deadline := time.Now().Add(lockTimeout)
	for told := false; ; told = true {
		who, err := s.Holder()
		if err != nil || who == "" {
			return err
		}
		if !told {
			waiting(who)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s still works on packages after %s", who, printable.Duration(lockTimeout))
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
