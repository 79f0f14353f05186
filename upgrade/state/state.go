// Package state is the record that an upgrade keeps on the host, in Path: which version is active,
// which was before, which versions are known to be bad, and the run in progress. It is written
// before each mutation, so that whoever finds it after a power cut knows what to put back.
package state

import "time"

// Dir is where everything the upgrader must remember lives; root's only.
const Dir = "/var/lib/townsquare"

// Kind and Version name the file's format; a file of another kind or a newer version is refused.
const (
	Kind    = "townsquare.host"
	Version = 1
)

// State is the whole file.
type State struct {
	Kind     string         `json:"kind"`
	Version  int            `json:"version"`
	Active   string         `json:"active,omitempty"`   // the version that serves, such as "9.10.0"
	Previous string         `json:"previous,omitempty"` // the one before it, still on disk
	Return   *Return        `json:"return,omitempty"`   // the way back to Previous, while it is open
	Bad      map[string]Bad `json:"bad,omitempty"`      // versions that failed here, by number
	Backup   *Backup        `json:"backup,omitempty"`   // of the newest backup made from here
	Replaced []Replaced     `json:"replaced,omitempty"` // by restores, and kept
	Dumped   Measured       `json:"dumped,omitzero"`    // the last dump, by which the next one's time is foretold
	Copied   Measured       `json:"copied,omitzero"`    // the last copy of the database, by which the next one's is
	Run      *Run           `json:"run,omitempty"`      // the run in progress; nil when none is
	History  []Finished     `json:"history,omitempty"`  // newest last, at most 100
	Reboot   *Reboot        `json:"reboot,omitempty"`   // the last one, until it is seen to have helped; not done twice for the same reason
}

// Return is what a committed upgrade leaves for going back to the version before: what it kept, and
// since when people write on the newer version only.
type Return struct {
	Run        string    `json:"run"`  // of the upgrade
	From       string    `json:"from"` // the version before
	To         string    `json:"to"`   // the version that serves since
	Edition    string    `json:"edition"`
	Dir        string    `json:"dir"` // of the version before
	Since      time.Time `json:"since"`
	Schema     string    `json:"schema,omitempty"`      // migrations that the version before needs
	Migrated   bool      `json:"migrated,omitempty"`    // the upgrade changed the database
	Plan       string    `json:"plan,omitempty"`        // by which the newer version can take its migrations back
	Checkpoint string    `json:"checkpoint,omitempty"`  // the copy of the database from before
	Dump       string    `json:"dump,omitempty"`        // in its place, where no role may copy the database
	Config     string    `json:"config_copy,omitempty"` // the configuration from before
	Database   Database  `json:"database,omitzero"`     // that was upgraded
}

// Database is what tells a database from others.
type Database struct {
	Host   string `json:"host"`
	Port   int    `json:"port"`
	Name   string `json:"name"`
	System string `json:"system,omitempty"` // PostgreSQL's system identifier, where the role may read it
}

// Replaced are the files that a restore replaced, which live as long as the database that it replaced.
type Replaced struct {
	Run      string   `json:"run"`
	Database string   `json:"database,omitempty"` // name of the one that was replaced; it may be gone
	Dirs     []string `json:"dirs"`
}

// Measured is how long a dump of the database took, with its verification, or a copy of its files.
type Measured struct {
	Bytes int64         `json:"bytes,omitempty"` // of a dump those of the tables, without their indexes
	Took  time.Duration `json:"took_ns,omitempty"`
	At    time.Time     `json:"at,omitzero"`
}

// Bad says why a version is on the skip list.
type Bad struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason" printable:"lines"`
	Run    string    `json:"run"`
}

// Backup is what the host knows of its own backups without asking the repository.
type Backup struct {
	ID         string    `json:"id"`                    // of the newest, what a person types
	Time       time.Time `json:"time"`                  // of the newest: what came later is not in it
	Bytes      int64     `json:"bytes,omitempty"`       // of its files and database
	VerifiedID string    `json:"verified_id,omitempty"` // the last one that was restored whole for a proof
	VerifiedAt time.Time `json:"verified_at,omitzero"`  // and when that was
	Given      int       `json:"given_up,omitempty"`    // attachments without a file that no backup has, or that a person let go of
}

// Run is what undo needs, and all it may rely on: after a power cut nothing else is left. Each
// field is set and saved *before* the mutation that it describes.
type Run struct {
	ID        string    `json:"id"`             // such as "20261122T013000Z-apply"; names the log file and nothing else
	Operation string    `json:"operation"`      // "apply"
	From      string    `json:"from,omitempty"` // empty at the first install
	To        string    `json:"to"`
	Started   time.Time `json:"started"`
	Step      string    `json:"step,omitempty"`  // ID of the last step that was begun
	Phase     string    `json:"phase,omitempty"` // its title: in records of earlier versions, in place of Step
	PID       int       `json:"pid"`
	BootID    string    `json:"boot_id"`           // of the boot it runs in: another one means the power was cut
	Ticks     uint64    `json:"ticks,omitempty"`   // when its process started, in clock ticks since the boot
	Options   string    `json:"options,omitempty"` // phase.Options as JSON, for the half of a run behind a reboot

	Edition            string    `json:"edition"`
	Unit               string    `json:"unit"`                          // the service's systemd unit
	User               string    `json:"user,omitempty"`                // that it runs as
	Link               string    `json:"link"`                          // the install path, such as /opt/mattermost
	OldTarget          string    `json:"old_target,omitempty"`          // what Link pointed to before
	NewTarget          string    `json:"new_target,omitempty"`          // the directory of the new version
	AdoptedFrom        string    `json:"adopted_from,omitempty"`        // a plain directory at Link was moved here
	ConfigCopy         string    `json:"config_copy,omitempty"`         // config as it was before the new version could rewrite it
	ConfigPath         string    `json:"config_path,omitempty"`         // where it is to be put back
	Moves              []Move    `json:"moves,omitempty"`               // what is moved out of the install directory, in order
	Database           Database  `json:"database,omitzero"`             // that the service uses; nothing is undone on another
	WasActive          bool      `json:"was_active,omitempty"`          // the service ran before
	WasOff             bool      `json:"was_off,omitempty"`             // it was stopped, and is stopped again at the end
	Address            string    `json:"address,omitempty"`             // where the server answers this host, such as http://127.0.0.1:8065
	ServerName         string    `json:"server_name,omitempty"`         // of its certificate, when it speaks TLS itself
	Port               int       `json:"port,omitempty"`                // that the gate guards
	Migrates           bool      `json:"migrates,omitempty"`            // the new version has migrations to run, or cannot tell
	Online             bool      `json:"online,omitempty"`              // migrations, or indexes of theirs, were begun while the old version serves
	Unfinished         []string  `json:"unfinished,omitempty"`          // indexes that were invalid before that
	SchemaBefore       string    `json:"schema_before,omitempty"`       // migrations applied at the stop, as one comparable word
	SchemaTarget       int       `json:"schema_target,omitempty"`       // the highest migration of the new version, when known
	Plan               string    `json:"plan,omitempty"`                // the new version's migration plan, by which it can go back
	Dump               string    `json:"dump,omitempty"`                // the verified database dump of this run
	StoppedDump        string    `json:"stopped_dump,omitempty"`        // one made after the stop, where no role may copy the database
	Checkpoint         string    `json:"checkpoint,omitempty"`          // name of the copy of the database, once begun
	CheckpointComplete bool      `json:"checkpoint_complete,omitempty"` // only a complete copy may be put back
	Spare              string    `json:"spare,omitempty"`               // name of the copy made before migrations are taken back, once begun
	SpareAt            time.Time `json:"spare_at,omitzero"`             // when it was complete; only then may it be put back
	Stopped            bool      `json:"stopped,omitempty"`             // the service was stopped, or was about to be
	StoppedAt          time.Time `json:"stopped_at,omitzero"`
	Plugins            []string  `json:"plugins,omitempty"`  // that ran at the stop
	Public             bool      `json:"public,omitempty"`   // the public address answered well then
	OpenedAt           time.Time `json:"opened_at,omitzero"` // users reach the new version since: the checkpoint may lose their posts
	Committed          bool      `json:"committed,omitempty"`
	Again              bool      `json:"again,omitempty"`       // the rollback is not done: the server tries again unattended
	UndoneTo           string    `json:"undone_to,omitempty"`   // ID of the step whose undo is next: what came behind it is undone, and not undone again
	Unswitching        bool      `json:"unswitching,omitempty"` // its undo makes Link lead to the old version from here on
	Tries              int       `json:"tries,omitempty"`       // attempts to undo it that failed or did not come to their end
	TriedIn            string    `json:"tried_in,omitempty"`    // the boot in which

	Way       string `json:"way,omitempty"`        // of a rollback by hand: how the database goes back
	Changed   bool   `json:"changed,omitempty"`    // the rollback changes the database from here on
	Kept      string `json:"kept,omitempty"`       // the copy of the database that takes its place
	Scratch   string `json:"scratch,omitempty"`    // a database on which something is tried
	SandboxAt string `json:"sandbox_at,omitempty"` // the directory of the server that is tried
	ProofAt   string `json:"proof_at,omitempty"`   // the directory in which the files of a backup are restored for its proof

	Backup     string     `json:"backup,omitempty"`      // id of the backup that is restored
	Restored   string     `json:"restored,omitempty"`    // name of the database filled from it, once begun
	Replaced   string     `json:"replaced,omitempty"`    // name of the database whose place Restored takes, once it gives it up
	Filled     bool       `json:"filled,omitempty"`      // the application's own empty database is filled, as no role may make another
	Exchanges  []Exchange `json:"exchanges,omitempty"`   // directories and files that are exchanged for those of the backup
	PluginDirs []Exchange `json:"plugin_dirs,omitempty"` // Staged is as Path was at the stop, for the way back; then Kept is what the new version made of it

	Repaired []Kept `json:"repaired,omitempty"` // files that are written anew

	System *System     `json:"system,omitempty"` // of a run that works on the operating system
	Phases []PhaseTime `json:"phases,omitempty"` // that ended; for the half of a run after a reboot
}

// Move is one rename from the install directory to where it outlives versions; a link stays behind.
type Move struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Exchange puts Staged at Path and keeps what was there as Kept.
type Exchange struct {
	Path   string `json:"path"`
	Staged string `json:"staged"`
	Kept   string `json:"kept"`
	Fresh  bool   `json:"fresh,omitempty"` // nothing was at Path
}

// Kept is a file as it was before a repair.
type Kept struct {
	Path string `json:"path"`
	Copy string `json:"copy,omitempty"` // where it is kept; empty: it was not there
}

// Finished is one ended run, for `upgrade history`.
type Finished struct {
	ID        string        `json:"id"`
	Operation string        `json:"operation"`
	From      string        `json:"from,omitempty"`
	To        string        `json:"to"`
	Started   time.Time     `json:"started"`
	Ended     time.Time     `json:"ended"`
	Outcome   string        `json:"outcome"` // done, rolled-back, failed, interrupted
	Error     string        `json:"error,omitempty" printable:"lines"`
	Downtime  time.Duration `json:"downtime_ns"` // from stop to open, as the host measured it
	Phases    []PhaseTime   `json:"phases,omitempty"`

	Packages  []Package `json:"packages,omitempty"`  // that were installed
	Restarted []string  `json:"restarted,omitempty"` // units, each once
	Rebooted  string    `json:"rebooted,omitempty"`  // why the host was restarted; empty: it was not
	Repaired  []string  `json:"repaired,omitempty"`  // what was put back, a line each
}

// PhaseTime is how long one phase took.
type PhaseTime struct {
	Step  string        `json:"step,omitempty"` // the phase's ID, which stays when its title is reworded
	Title string        `json:"title"`
	Took  time.Duration `json:"took_ns"`
}
