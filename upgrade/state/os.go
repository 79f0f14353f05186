package state

import "time"

// Package is one package of the operating system that a run installs.
type Package struct {
	Name     string `json:"name"`
	From     string `json:"from,omitempty"` // empty: it is new
	To       string `json:"to"`
	Security bool   `json:"security,omitempty"` // the security archive has it
}

// System is what a run on the operating system needs to be put back or gone on with. Like the rest
// of Run, each field is saved before what it describes happens.
type System struct {
	Packages  []Package `json:"packages,omitempty"` // to be installed
	Holding   bool      `json:"holding,omitempty"`  // packages may not restart services; dpkg may be at work
	Installed bool      `json:"installed,omitempty"`

	Database []string `json:"database,omitempty"` // PostgreSQL's units to restart, with the service stopped
	Service  bool     `json:"service,omitempty"`  // the service itself, with or without them
	Proxy    []string `json:"proxy,omitempty"`
	SSH      []string `json:"ssh,omitempty"`
	Others   []string `json:"others,omitempty"` // units that needrestart would not find
	Start    []string `json:"start,omitempty"`  // units that new packages brought
	Reload   []string `json:"reload,omitempty"`
	Door     bool     `json:"door,omitempty"` // new visitors wait while the proxy restarts

	Restarted []string `json:"restarted,omitempty"`

	RebootFor string    `json:"reboot_for,omitempty"` // why the host is restarted in this run; empty: it is not
	Rebooting time.Time `json:"rebooting,omitzero"`   // the host was told to; its next boot goes on with the run
	Rebooted  bool      `json:"rebooted,omitempty"`
	Timers    []string  `json:"timers,omitempty"` // that were on before
	Failed    []string  `json:"failed,omitempty"` // units that had failed before
}

// Reboot is the last restart of the host that a run was for, and that is not known to have helped.
type Reboot struct {
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}

// Rebooting says that the run has told its host to restart, and goes on at the next boot.
func (r *Run) Rebooting() bool { return r.System != nil && !r.System.Rebooting.IsZero() }
