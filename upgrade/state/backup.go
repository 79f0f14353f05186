package state

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/problem"
)

// Secrets of the backups; root's only. What is in one of them is in no configuration, environment or
// command line.
const (
	BackupPassword    = ConfigDir + "/backup.password"    // encrypts the repository
	BackupCredentials = ConfigDir + "/backup.credentials" // of an S3 store, as AWS's shared credentials file
	BackupKey         = ConfigDir + "/backup.key"         // SSH key for SFTP
	BackupDir         = Dir + "/backup"                   // our own notes, restic's cache
)

// Backups is where backups go and how long they stay.
type Backups struct {
	Repository string        `yaml:"repository,omitempty" json:"repository,omitempty"`   // /path, sftp:user@host:/path, sftp://user@host:port//path, s3:https://host/bucket/path; empty: no backups
	HostKey    string        `yaml:"host_key,omitempty" json:"host_key,omitempty"`       // of an SFTP server, "ssh-ed25519 AAAA…"
	Keep       Keep          `yaml:"keep,omitempty" json:"keep,omitempty"`               // default the last 5, 7 days, 5 weeks, 12 months
	StaleAfter time.Duration `yaml:"stale_after,omitempty" json:"stale_after,omitempty"` // when the newest backup is too old; default 36h
	ReadOnly   bool          `yaml:"read_only,omitempty" json:"read_only,omitempty"`     // nothing can be written there, such as a lock: for a machine that only restores
}

// Keep is how many backups stay: the last ones, and the newest of so many days, weeks and months.
type Keep struct {
	Last    int `yaml:"last,omitempty" json:"last,omitempty"` // default 5: several of one day
	Daily   int `yaml:"daily,omitempty" json:"daily,omitempty"`
	Weekly  int `yaml:"weekly,omitempty" json:"weekly,omitempty"`
	Monthly int `yaml:"monthly,omitempty" json:"monthly,omitempty"`
}

// Defaults of Backups.
const (
	DefaultStaleAfter = 36 * time.Hour // a nightly backup that failed once is noticed at noon
	staleLeast        = time.Hour
	staleMost         = 90 * 24 * time.Hour
	keepMost          = 1000
	keepLast          = 5
)

// Kept is Keep, with the defaults of what is not set.
func (b Backups) Kept() Keep {
	k := b.Keep
	if k == (Keep{}) {
		k = Keep{Daily: 7, Weekly: 5, Monthly: 12}
	}
	if k.Last == 0 {
		k.Last = keepLast
	}
	return k
}

// Stale says whether a backup of time t is too old.
func (b Backups) Stale(t, now time.Time) bool {
	limit := b.StaleAfter
	if limit == 0 {
		limit = DefaultStaleAfter
	}
	return now.Sub(t) > limit
}

var (
	sftpShape    = regexp.MustCompile(`^sftp:[a-zA-Z0-9_][a-zA-Z0-9_.-]*@[a-zA-Z0-9][a-zA-Z0-9.-]*:[^\s'"\\:]+$`)
	hostKeyShape = regexp.MustCompile(`^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+=*$`)
)

// repositoryAllowed is what Repository may be.
const repositoryAllowed = "/path, sftp:user@host:/path, sftp://user@host:port//path, or s3:https://host/bucket/path, without a password in it"

func isRepository(s string) bool {
	if strings.ContainsAny(s, " \t\r\n'\"\\") {
		return false
	}
	switch {
	case strings.HasPrefix(s, "/"):
		return filepath.Clean(s) == s && s != "/"
	case strings.HasPrefix(s, "sftp://"):
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Path == "" || u.User.Username() == "" {
			return false
		}
		_, secret := u.User.Password()
		return !secret && sftpShape.MatchString("sftp:"+u.User.Username()+"@"+u.Hostname()+":"+u.Path)
	case strings.HasPrefix(s, "sftp:"):
		return sftpShape.MatchString(s)
	}
	address, ok := strings.CutPrefix(s, "s3:")
	u, err := url.Parse(address)
	return ok && err == nil && isHTTPS(address) && strings.Trim(u.Path, "/") != "" && u.RawQuery == ""
}

// check returns everything that is wrong with it.
func (b Backups) check(name string) problem.List {
	var found problem.List
	add := func(key, value, allowed string) {
		found = append(found, problem.Problem{Where: name + ": backup." + key, Found: fmt.Sprintf("%q", value), Allowed: allowed})
	}
	if b.Repository != "" && !isRepository(b.Repository) {
		shown := b.Repository
		if at := strings.LastIndexByte(shown, '@'); at >= 0 && strings.Contains(shown[:at], "://") {
			shown = "…" + shown[at:] // there may be a password before it
		}
		add("repository", shown, repositoryAllowed)
	}
	if b.HostKey != "" && !hostKeyShape.MatchString(b.HostKey) {
		add("host_key", b.HostKey, `a public key without a comment, as in "ssh-ed25519 AAAA…"`)
	}
	for _, k := range []struct {
		key string
		n   int
	}{{"last", b.Keep.Last}, {"daily", b.Keep.Daily}, {"weekly", b.Keep.Weekly}, {"monthly", b.Keep.Monthly}} {
		if k.n < 0 || k.n > keepMost {
			add("keep."+k.key, fmt.Sprint(k.n), fmt.Sprintf("0 to %d", keepMost))
		}
	}
	if b.StaleAfter != 0 && (b.StaleAfter < staleLeast || b.StaleAfter > staleMost) {
		add("stale_after", printable.Duration(b.StaleAfter), "1h to 2160h, such as 36h")
	}
	return found
}
