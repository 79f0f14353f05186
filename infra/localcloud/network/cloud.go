// Package network is the wiring of a local cloud: its network namespace,
// which address belongs to which machine, DNS records, firewalls and reserved
// addresses.
//
// Everything lives in the namespace tsq-NAME, which has no default route and
// no link to the rest of this computer: a machine cannot reach the world
// except through the Debian proxy and, where the cloud is told to, the relay to a
// few hosts, from which it can only read. Nothing here touches the computer's own
// routes or packet filter.
package network

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
)

// The cloud's own addresses, the same in every cloud because each has its own
// namespace.
var (
	// Gateway is where DNS, the release mirror, ACME and the Debian proxy
	// listen, and every machine's default route.
	Gateway = netip.MustParseAddr("10.91.0.1")
	// Gateway6 is the same over IPv6.
	Gateway6 = netip.MustParseAddr("fd91::1")
	// Outsider is a second address of the gateway; a client bound to it stands
	// for a computer that no firewall rule names.
	Outsider = netip.MustParseAddr("10.91.2.1")
	// Spaces is where the object storage listens.
	Spaces = netip.MustParseAddr("10.91.3.1")
	// Relay is where the few hosts of the world outside are that machines may read from.
	Relay = netip.MustParseAddr("10.91.4.1")
	// MetadataAddress is where cloud providers serve a machine's user data.
	MetadataAddress = netip.MustParseAddr("169.254.169.254")

	machines  = netip.MustParsePrefix("10.91.0.0/24")
	machines6 = netip.MustParsePrefix("fd91::/64")
	reserved  = netip.MustParsePrefix("10.91.1.0/24")
)

// Zone is the DNS zone that the cloud answers for.
const Zone = "townsquare.test"

// ErrNotUp says that the cloud's daemon is not running.
var ErrNotUp = errors.New("the local cloud is not up")

// Cloud is one local cloud. It is a name and a directory; several processes
// may hold the same one.
type Cloud struct {
	Name string
	Dir  string // state, root only; removed by `localcloud down`
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`)

// Root is the directory that holds the state of all local clouds.
const Root = "/var/lib/townsquare-cloud"

// Open names a cloud. It need not be up.
func Open(name string) (*Cloud, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("cloud %q: a name is 1 to 16 lower-case letters and digits and begins with a letter", name)
	}
	return &Cloud{Name: name, Dir: filepath.Join(Root, name)}, nil
}

// Namespace is the name of the cloud's network namespace.
func (c *Cloud) Namespace() string { return "tsq-" + c.Name }

// NamespacePath is where the namespace is mounted while the cloud is up.
func (c *Cloud) NamespacePath() string { return "/run/netns/" + c.Namespace() }

// SocketPath is where the daemon takes orders.
func (c *Cloud) SocketPath() string { return filepath.Join(c.Dir, "daemon.sock") }

// Bundle is the PEM file of every authority a client of this cloud should
// trust: the computer's own, the cloud's, and the ACME server's root.
func (c *Cloud) Bundle() string { return filepath.Join(c.Dir, "trust.pem") }

// Variable is the environment variable that marks a process as part of a
// cloud; `localcloud down` ends such processes.
const Variable = "TOWNSQUARE_CLOUD"
