// Package release answers three questions about the vendor's releases of Mattermost: which exist,
// which one a host should take next, and whether a downloaded file is genuine. It reads the
// vendor's version archive, release policy and GitHub releases, and unpacks an archive into a
// directory of its own. It changes nothing outside the directories it is given.
package release

import (
	"net/http"
	"time"
)

// Edition is one of the two builds the vendor publishes. A host never changes from one to the
// other: the unlicensed Enterprise build hides all but the last 10,000 messages.
type Edition string

// The editions, as in the names of installed version directories ("9.10.0-team").
const (
	Team       Edition = "team"
	Enterprise Edition = "enterprise"
)

// The architectures the vendor builds for, as Go and the vendor's file names call them.
const (
	AMD64 = "amd64"
	ARM64 = "arm64"
)

// Release is one archive that the vendor publishes.
type Release struct {
	Version      Version
	Edition      Edition
	Arch         string
	URL          string
	SignatureURL string    // empty for releases before 4.10, which were never signed
	SHA256       string    // 64 lower-case hex digits; empty when the vendor publishes none (every arm64 archive)
	ESR          bool      // an Extended Support Release
	EndOfLife    time.Time // last day of support; zero when the policy page does not say
	Published    time.Time // zero when GitHub was not reached or does not list it
	Security     bool      // its notes on GitHub speak of security
	Unusable     string    // why it cannot be installed, such as a checksum still "TBD"; empty when it can
}

// Sources says where the vendor's pages and key are; a zero field is the vendor's own.
type Sources struct {
	Archive     string `json:"archive,omitempty" yaml:"archive,omitempty"`         // version archive, .mdx
	Policy      string `json:"policy,omitempty" yaml:"policy,omitempty"`           // release policy, .mdx
	GitHub      string `json:"github,omitempty" yaml:"github,omitempty"`           // releases of the GitHub API, JSON
	Key         string `json:"key,omitempty" yaml:"key,omitempty"`                 // OpenPGP public key, armoured or binary
	Fingerprint string `json:"fingerprint,omitempty" yaml:"fingerprint,omitempty"` // of the primary key, 40 hex digits (64 for v6 keys)
}

// The vendor's own sources. Since September 2026 the documentation lives in the server's
// repository; the key and its fingerprint are those that the version archive names.
const (
	VendorArchive     = "https://raw.githubusercontent.com/mattermost/mattermost/master/docs/main/product-overview/version-archive.mdx"
	VendorPolicy      = "https://raw.githubusercontent.com/mattermost/mattermost/master/docs/main/product-overview/release-policy.mdx"
	VendorGitHub      = "https://api.github.com/repos/mattermost/mattermost/releases?per_page=100"
	VendorKey         = "https://deb.packages.mattermost.com/pubkey.gpg"
	VendorFingerprint = "A1B31D46F0F3A10B02CF2D44F8F2C31744774B28"
)

// Client reads the sources and downloads releases. Its methods may be called one after another
// from one process; the caller's lock keeps a second process away from CacheDir.
type Client struct {
	Sources  Sources
	HTTP     *http.Client  // nil means a client of our own; redirects are limited to https either way
	CacheDir string        // pages with their ETags, and downloads; created with mode 0700
	Agent    string        // User-Agent; empty means "townsquare-upgrade"
	Stall    time.Duration // give up a transfer when no byte came for so long; 0 means 60 s
	Pause    time.Duration // before the first retry, then doubling; 0 means 1 s
	// Free tells how many bytes an unprivileged writer has left in dir; nil means asking the system.
	Free func(dir string) (uint64, error)
}

// Name is the file name of the archive, such as "mattermost-team-9.10.0-linux-amd64.tar.gz".
func (r Release) Name() string {
	edition := ""
	if r.Edition == Team {
		edition = "team-"
	}
	return "mattermost-" + edition + r.Version.String() + "-linux-" + r.Arch + ".tar.gz"
}

// Dir is the name of the directory that the release is installed in, such as "9.10.0-team".
func (r Release) Dir() string { return r.Version.String() + "-" + string(r.Edition) }
