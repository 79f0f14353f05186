// Package backup keeps backups in a restic repository: on a disk, over SFTP or in an S3-compatible
// store, encrypted. It knows restic, and nothing of databases or of Mattermost.
//
// A backup is three of restic's snapshots, as restic reads its standard input or files, never both
// in one: the database first, then the files, then the manifest, which names the other two and
// counts what is in them. The database comes first so that every file that it names is in the
// files' snapshot; what is uploaded meanwhile is too much, and harmless. The manifest comes last
// and makes the backup: without it, what is there is the rest of one that was cut short.
package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/host"
	"townsquare/upgrade/problem"
)

// Options say where a repository is and with what it opens. Secrets are in files that restic reads
// itself, so that they are in no command line and no environment.
type Options struct {
	Repository  string // an absolute path, sftp:user@host:/path, sftp://user@host:port//path or s3:https://host/bucket/path
	HostKey     string // of an SFTP server: its public key, "ssh-ed25519 AAAA…"
	Password    string // file: encrypts the repository
	Credentials string // file: of an S3 store, in the format of AWS's shared credentials
	Key         string // file: private SSH key for SFTP
	Dir         string // our own directory: cache, what is known of the repository
	ReadOnly    bool   // write nothing there, locks neither: what somebody prunes meanwhile is missed then
	// Run runs a program; nil means host.Run.
	Run func(context.Context, host.Command) ([]byte, error)
}

// ErrNone says that no repository is configured.
var ErrNone = errors.New("no backup repository is configured")

// ErrEmpty says that the repository has not been made yet: nothing was ever backed up there.
var ErrEmpty = errors.New("the repository has not been made yet")

// Repository is one that opened, or that waits to be made.
type Repository struct {
	o     Options
	fresh bool // it is not there yet; Create makes it
}

// openTimeout bounds the look whether a repository can be reached. restic itself would try for a
// quarter of an hour.
const openTimeout = 45 * time.Second

// Open looks at the repository and changes nothing in it. The error is ErrNone, a problem.List of
// what this host lacks, or an *OpenError. A repository that is not there yet is none, unless it was
// there before: then its disk is not mounted, or someone took it away, and a new one in its place
// would hide that.
func Open(ctx context.Context, o Options) (*Repository, error) {
	if o.Repository == "" {
		return nil, ErrNone
	}
	if o.Run == nil {
		o.Run = host.Run
	}
	if found := o.check(); len(found) > 0 {
		return nil, found
	}
	r := &Repository{o: o}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, openTimeout, fmt.Errorf("no answer within %d seconds", int(openTimeout.Seconds())))
	defer cancel()
	out, err := r.restic(ctx, "cat", "config", "--no-lock")
	switch {
	case err == nil:
		return r, r.know(out)
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.Canceled):
		return nil, r.explain(err)
	case !isMissing(err):
		return nil, r.explain(err)
	case r.known() != "":
		return nil, &OpenError{Repository: o.Repository, Cause: errors.New("the repository that was there is gone"),
			hint: "see that its disk is mounted, its bucket the right one; if it is lost for good, on the server: sudo rm " + r.notePath()}
	}
	r.fresh = true
	return r, nil
}

// check looks for what this host must have.
func (o Options) check() problem.List {
	var found problem.List
	if _, err := exec.LookPath("restic"); err != nil {
		found = append(found, problem.Problem{Where: "restic", Found: "not installed", Allowed: "restic 0.14 or newer, which makes the backups",
			Hint: "sudo apt install restic"})
	}
	secret := func(path, what, hint string) {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			found = append(found, problem.Problem{Where: path, Found: "missing", Allowed: what, Hint: hint})
		case err != nil:
			found = append(found, problem.Problem{Where: path, Found: err.Error(), Allowed: what})
		case info.Mode().Perm()&0o077 != 0:
			found = append(found, problem.Problem{Where: path, Found: fmt.Sprintf("mode %04o: others can read it", info.Mode().Perm()),
				Allowed: "0600", Hint: "sudo chmod 600 " + path})
		case info.Size() == 0:
			found = append(found, problem.Problem{Where: path, Found: "empty", Allowed: what, Hint: hint})
		}
	}
	secret(o.Password, "the password of the backups, which you keep a copy of elsewhere",
		"sudo install -m 600 /dev/stdin "+o.Password+"    # then type it, Enter, Ctrl-D")
	switch scheme(o.Repository) {
	case "s3":
		secret(o.Credentials, "[default], aws_access_key_id = …, aws_secret_access_key = …, a line each",
			"sudo install -m 600 /dev/stdin "+o.Credentials)
	case "sftp":
		secret(o.Key, "the private SSH key that opens the backup server",
			"sudo ssh-keygen -t ed25519 -N '' -f "+o.Key+"    # and put "+o.Key+".pub into the server's authorized_keys")
		if o.HostKey == "" {
			found = append(found, problem.Problem{Where: "backup.host_key", Found: "missing: a server's key is never learned from the network",
				Allowed: `the line of its public key, as in "ssh-ed25519 AAAA…"`, Hint: "on the backup server, type: cat /etc/ssh/ssh_host_ed25519_key.pub"})
		}
		if _, err := exec.LookPath("ssh"); err != nil {
			found = append(found, problem.Problem{Where: "ssh", Found: "not installed", Allowed: "OpenSSH's client", Hint: "sudo apt install openssh-client"})
		}
	}
	return found
}

func scheme(repository string) string {
	s, _, found := strings.Cut(repository, ":")
	if !found || strings.HasPrefix(repository, "/") {
		return "local"
	}
	return s
}

// prepare writes the files that restic is pointed to.
func (r *Repository) prepare() error {
	if err := os.MkdirAll(r.o.Dir, 0o700); err != nil {
		return fmt.Errorf("prepare the backup: %w", err)
	}
	files := map[string]string{"repository": r.o.Repository}
	if scheme(r.o.Repository) == "sftp" {
		files["known_hosts"] = sftpServer(r.o.Repository).pattern() + " " + r.o.HostKey
	}
	for name, text := range files {
		path := filepath.Join(r.o.Dir, name)
		if have, err := os.ReadFile(path); err == nil && string(have) == text+"\n" {
			continue
		}
		if err := renameio.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			return fmt.Errorf("prepare the backup: %w", err)
		}
	}
	return nil
}

// Make makes the repository, if it is not there yet. One that is there is never made again: restic
// refuses, whatever we believe.
func (r *Repository) Make(ctx context.Context) (made bool, err error) {
	if !r.fresh {
		return false, nil
	}
	if _, err := r.restic(ctx, "init"); err != nil {
		return false, r.explain(err)
	}
	r.fresh = false
	out, err := r.restic(ctx, "cat", "config", "--no-lock")
	if err != nil {
		return false, r.explain(err)
	}
	return true, r.know(out)
}

// note is what we remember of a repository that opened once.
type note struct {
	Repository string `json:"repository"`
	ID         string `json:"id"`
}

func (r *Repository) notePath() string { return filepath.Join(r.o.Dir, "known.json") }

// known is the id of the repository that opened here before; empty when none did.
func (r *Repository) known() string {
	var n note
	data, err := os.ReadFile(r.notePath())
	if err != nil || json.Unmarshal(data, &n) != nil || n.Repository != r.o.Repository {
		return ""
	}
	return n.ID
}

func (r *Repository) know(config []byte) error {
	var c struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(config, &c); err != nil || c.ID == "" {
		return fmt.Errorf("read the repository's configuration: %q", firstLine(string(config)))
	}
	if r.known() == c.ID {
		return nil
	}
	data, err := json.Marshal(note{r.o.Repository, c.ID})
	if err != nil {
		return err
	}
	return renameio.WriteFile(r.notePath(), data, 0o600)
}
