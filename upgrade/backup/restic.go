package backup

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"townsquare/upgrade/host"
)

// restic's exit statuses, from 0.17 on; before, all are 1.
const (
	exitIncomplete   = 3 // backup: a file could not be read
	exitNoRepository = 10
	exitLocked       = 11
	exitPassword     = 12
)

// OpenError says why a repository could not be used.
type OpenError struct {
	Repository string
	Cause      error
	hint       string
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("backup repository %s: %v", e.Repository, e.Cause)
}
func (e *OpenError) Unwrap() error { return e.Cause }

// Hint says what to type.
func (e *OpenError) Hint() string { return e.hint }

// restic runs it and returns what it wrote to stdout.
func (r *Repository) restic(ctx context.Context, args ...string) ([]byte, error) {
	return r.o.Run(ctx, r.command(args...))
}

// command is restic at a low priority: people use the server meanwhile.
func (r *Repository) command(args ...string) host.Command {
	dir := r.o.Dir
	env := []string{
		"RESTIC_REPOSITORY_FILE=" + filepath.Join(dir, "repository"),
		"RESTIC_PASSWORD_FILE=" + r.o.Password,
		"RESTIC_CACHE_DIR=" + filepath.Join(dir, "cache"),
		"RESTIC_PROGRESS_FPS=2",
		"AWS_SHARED_CREDENTIALS_FILE=" + r.o.Credentials,
	}
	var options []string
	if scheme(r.o.Repository) == "sftp" {
		options = []string{"--option", "sftp.command=" + r.ssh()}
	}
	if r.o.ReadOnly {
		options = append(options, "--no-lock")
	}
	return host.Command{Name: "nice", Args: append(append([]string{"-n", "10", "restic"}, options...), args...), Env: env, Dir: "/"}
}

// ssh is the command by which restic reaches an SFTP server: with our key only, and a host key that
// is known beforehand.
func (r *Repository) ssh() string {
	s := sftpServer(r.o.Repository)
	words := []string{"ssh", "-F", "none", "-i", r.o.Key, "-p", s.port}
	for _, option := range []string{"IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null",
		"UserKnownHostsFile=" + filepath.Join(r.o.Dir, "known_hosts"), "ConnectTimeout=20", "ServerAliveInterval=15", "ServerAliveCountMax=4"} {
		words = append(words, "-o", option)
	}
	return strings.Join(append(words, s.user+"@"+s.host, "-s", "sftp"), " ")
}

// server is whom SFTP speaks to.
type server struct{ user, host, port string }

// sftpServer reads sftp:user@host:/path and sftp://user@host:port//path, which the configuration's
// check has let through.
func sftpServer(repository string) server {
	if u, err := url.Parse(repository); err == nil && u.Host != "" {
		s := server{user: u.User.Username(), host: u.Hostname(), port: u.Port()}
		if s.port == "" {
			s.port = "22"
		}
		return s
	}
	where, _, _ := strings.Cut(strings.TrimPrefix(repository, "sftp:"), ":")
	user, name, _ := strings.Cut(where, "@")
	return server{user: user, host: name, port: "22"}
}

// pattern names the server in a known_hosts file.
func (s server) pattern() string {
	if s.port == "22" {
		return s.host
	}
	return "[" + s.host + "]:" + s.port
}

// isMissing says that nothing is where the repository should be. Older versions of restic tell it in
// words only, and the same words begin the message about a store that cannot be reached.
func isMissing(err error) bool {
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	if exit.Code == exitNoRepository {
		return true
	}
	return strings.Contains(exit.Stderr, "unable to open config file") &&
		(strings.Contains(exit.Stderr, "no such file or directory") || strings.Contains(exit.Stderr, "does not exist"))
}

func isLocked(err error) bool {
	var exit *host.ExitError
	return errors.As(err, &exit) && (exit.Code == exitLocked || strings.Contains(exit.Stderr, "already locked"))
}

// explain turns what restic said into an OpenError with what to do.
func (r *Repository) explain(err error) error {
	var exit *host.ExitError
	e := &OpenError{Repository: r.o.Repository, Cause: err}
	switch {
	case errors.As(err, &exit) && (exit.Code == exitPassword || strings.Contains(exit.Stderr, "wrong password")):
		e.Cause = errors.New("its password is another one")
		e.hint = "put the password that it was made with into " + r.o.Password
	case isLocked(err):
		e.Cause = fmt.Errorf("someone else is at work in it: %s", said(exit))
		e.hint = "wait until that is done; what is left of a machine that is gone for good: see restic unlock --help"
	case exit != nil:
		e.Cause = errors.New(said(exit))
		e.hint = r.hintFor(exit.Stderr)
	default:
		e.hint = r.hintFor("")
	}
	return e
}

func (r *Repository) hintFor(stderr string) string {
	switch {
	case strings.Contains(stderr, "Host key verification failed"):
		return "the server is not the one whose key is in backup.host_key; on the backup server: cat /etc/ssh/ssh_host_ed25519_key.pub"
	case strings.Contains(stderr, "Permission denied") && scheme(r.o.Repository) == "sftp":
		return "put the key into the backup server's authorized_keys: sudo ssh-keygen -y -f " + r.o.Key
	case strings.Contains(stderr, "AccessDenied"), strings.Contains(stderr, "InvalidAccessKeyId"), strings.Contains(stderr, "SignatureDoesNotMatch"):
		return "look at the keys in " + r.o.Credentials
	}
	switch scheme(r.o.Repository) {
	case "sftp":
		// restic often ends before it has passed on what ssh said.
		return "see what SSH says; on the server: sudo " + r.ssh() + " </dev/null"
	case "s3":
		if u, err := url.Parse(strings.TrimPrefix(r.o.Repository, "s3:")); err == nil {
			return "on the server: curl -sSI " + u.Scheme + "://" + u.Host
		}
	}
	return "on the server: sudo ls -la " + r.o.Repository
}

// said is the line of restic's stderr that tells most.
func said(exit *host.ExitError) string {
	if exit == nil {
		return ""
	}
	best := ""
	for line := range strings.Lines(exit.Stderr) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Fatal: ") {
			return strings.TrimPrefix(line, "Fatal: ")
		}
		if line != "" && !strings.HasPrefix(line, "{") {
			best = line
		}
	}
	if best == "" {
		return exit.Error()
	}
	return best
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
