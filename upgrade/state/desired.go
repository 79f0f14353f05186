package state

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"

	"golang.org/x/sys/unix"

	"townsquare/upgrade/problem"
)

// DesiredFile is what the host was last told of how it should be; without it nobody knows.
const DesiredFile = "/etc/townsquare/desired.json"

// FollowedFile is the Desired that the host was last brought to, by a repair or a run that follows the
// stack. What DesiredFile has and this one has not, the stack has changed since.
const FollowedFile = "/etc/townsquare/followed.json"

// Desired is how a host should be: what first boot makes of it, as the stack's output "host" says.
// There is no secret in it.
type Desired struct {
	Files       []File      `json:"files"`
	Directories []Directory `json:"directories"`
	Suite       string      `json:"suite"`    // of Debian's archive, beside those of the image
	Packages    []string    `json:"packages"` // that are installed
	Unwanted    []string    `json:"unwanted"` // that are not
	Enabled     []string    `json:"enabled"`  // units that start with the host, and run
	Disabled    []string    `json:"disabled"`
	Masked      []string    `json:"masked"`
	User        string      `json:"user"` // the operators' account
	Keys        []string    `json:"keys"` // that open it, as lines of authorized_keys
}

// File is one file, byte for byte.
type File struct {
	Path    string `json:"path"`
	Owner   string `json:"owner"` // and group
	Mode    string `json:"mode"`  // octal, such as "0644"
	Content string `json:"content"`
}

// Directory is one, without what is in it.
type Directory struct {
	Path  string `json:"path"`
	Owner string `json:"owner"`
	Group string `json:"group,omitempty"` // the account whose group it is of; empty: the owner's
	Mode  string `json:"mode"`
}

// GroupOf is the account whose group it is of.
func (d Directory) GroupOf() string { return cmp.Or(d.Group, d.Owner) }

var (
	ownerShape   = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	fileMode     = regexp.MustCompile(`^0[0-7]{3}$`)
	dirMode      = regexp.MustCompile(`^[01][0-7]{3}$`)         // 1: sticky
	packageShape = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`) // Debian Policy 5.6.1; also of a suite
	unitShape    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@:_.\\-]*\.(service|timer|socket|mount|swap|path|target)$`)
)

// ModeBits is the mode as package os has it.
func (f File) ModeBits() fs.FileMode { return bits(f.Mode) }

// ModeBits is the mode as package os has it.
func (d Directory) ModeBits() fs.FileMode { return bits(d.Mode) }

func bits(mode string) fs.FileMode {
	n, _ := strconv.ParseUint(mode, 8, 32) // checked at the edge
	bits := fs.FileMode(n) & fs.ModePerm
	if n&unix.S_ISVTX != 0 {
		bits |= fs.ModeSticky
	}
	return bits
}

// Check finds what cannot be meant: all of it goes to a root shell's commands and paths.
func (d *Desired) Check(where string) (found problem.List) {
	wrong := func(what, value, allowed string) {
		found = append(found, problem.Problem{Where: where + ": " + what, Found: fmt.Sprintf("%q", value), Allowed: allowed})
	}
	place := func(what, p, owner, mode string, allowed *regexp.Regexp) {
		if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
			wrong(what, p, "an absolute path")
		}
		if !ownerShape.MatchString(owner) {
			wrong(p, owner, "the name of a user")
		}
		if !allowed.MatchString(mode) {
			wrong(p, mode, "a mode such as 0644")
		}
	}
	for _, f := range d.Files {
		place("files", f.Path, f.Owner, f.Mode, fileMode)
	}
	for _, dir := range d.Directories {
		place("directories", dir.Path, dir.Owner, dir.Mode, dirMode)
		if !ownerShape.MatchString(dir.GroupOf()) {
			wrong(dir.Path, dir.Group, "the name of a user")
		}
	}
	if d.Suite != "" && !packageShape.MatchString(d.Suite) {
		wrong("suite", d.Suite, "a suite of Debian's archive")
	}
	for what, names := range map[string][]string{"packages": d.Packages, "unwanted": d.Unwanted} {
		for _, name := range names {
			if !packageShape.MatchString(name) {
				wrong(what, name, "the name of a package")
			}
		}
	}
	for what, names := range map[string][]string{"enabled": d.Enabled, "disabled": d.Disabled, "masked": d.Masked} {
		for _, name := range names {
			if !unitShape.MatchString(name) {
				wrong(what, name, "the name of a unit")
			}
		}
	}
	if d.User != "" && !ownerShape.MatchString(d.User) {
		wrong("user", d.User, "the name of a user")
	}
	return found
}

// LoadDesired reads what the host was told; nil when nobody did.
func LoadDesired(path string) (*Desired, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	d := &Desired{}
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return d, d.Check(path).Err()
}
