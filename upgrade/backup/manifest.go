package backup

import (
	"time"
)

// Kind and Format name the manifest's format; one of another kind, or newer, is refused.
const (
	Kind   = "townsquare.backup"
	Format = 1
)

// Manifest says what a backup holds, and is its last part: a backup without one is none.
type Manifest struct {
	Kind   string    `json:"kind"`
	Format int       `json:"format"`
	Run    string    `json:"run"`  // the run that made it
	Site   string    `json:"site"` // whose it is: the host in the site's URL
	Time   time.Time `json:"time"` // of the database's snapshot: what came later is not in it

	Mattermost string   `json:"mattermost"` // version, such as "9.10.0"
	Edition    string   `json:"edition"`
	Release    Release  `json:"release"`
	Upgrader   string   `json:"upgrader,omitempty"` // the Go build that made it
	System     string   `json:"system,omitempty"`   // such as "Debian GNU/Linux 13 (trixie)"
	PostgreSQL int      `json:"postgresql"`         // major version of the server
	Schema     string   `json:"schema"`             // migrations applied, as one comparable word
	Plugins    []Plugin `json:"plugins,omitempty"`

	Database string           `json:"database_snapshot"` // restic's id
	Posts    int64            `json:"posts"`
	Users    int64            `json:"users"`
	Channels int64            `json:"channels"`
	Rows     map[string]int64 `json:"rows"`           // of every table
	Bytes    int64            `json:"database_bytes"` // of the dump

	Files       string   `json:"files_snapshot"` // restic's id
	Attachments int64    `json:"attachments"`    // rows of fileinfo
	FileCount   int64    `json:"files"`          // of all places, as restic counted
	FileBytes   int64    `json:"file_bytes"`
	Places      []Place  `json:"places"`
	Lost        []string `json:"lost,omitempty"`            // attachments of which it has no file, the first ten thousand
	Absent      int64    `json:"absent,omitempty"`          // how many those are in all
	Outside     []Link   `json:"outside,omitempty"`         // links to files that it does not hold
	Store       string   `json:"file_store"`                // "local", or the driver that keeps the attachments elsewhere
	StorePath   string   `json:"file_store_path,omitempty"` // where the attachments were, in one of Places
	UID         int      `json:"uid"`                       // of the service's user and group
	GID         int      `json:"gid"`

	Added int64 `json:"added_bytes"` // by the first two parts, before encryption's overhead
}

// Release is what was installed, and where it came from.
type Release struct {
	URL          string `json:"url,omitempty"`
	SignatureURL string `json:"signature_url,omitempty"`
	SHA256       string `json:"sha256,omitempty"`
	Arch         string `json:"arch"`
}

// Plugin is one of Mattermost's.
type Plugin struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Enabled bool   `json:"enabled"`
}

// Place is a directory or file that a backup holds.
type Place struct {
	Name   string `json:"name"`             // under the install directory, such as "client/plugins"; "config.json" for one elsewhere
	Path   string `json:"path"`             // where it was: its path in the files' snapshot
	Custom bool   `json:"custom,omitempty"` // no release ships it
	Files  int64  `json:"files,omitempty"`  // in it, when it was looked for; nothing in manifests of before December 2026
	Bytes  int64  `json:"bytes,omitempty"`
}

// Link is a symbolic link of which a backup holds nothing but itself.
type Link struct {
	Path        string `json:"path"`
	Target      string `json:"target"`
	Attachments int64  `json:"attachments,omitempty"` // behind it
}

// BehindLinks is how many attachments are not in the backup because of links out of the file store.
func (m *Manifest) BehindLinks() (n int64) {
	for _, l := range m.Outside {
		n += l.Attachments
	}
	return n
}

// Missing is how many attachments had no file on the server already.
func (m *Manifest) Missing() int64 { return max(m.Absent, int64(len(m.Lost))) - m.BehindLinks() }

// Snapshot is one whole backup.
type Snapshot struct {
	ID       string    `json:"id"` // eight hexadecimal digits, what a person types
	Time     time.Time `json:"time"`
	Manifest Manifest  `json:"manifest"`
}
