package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// State is what the provider has asked of the network. Keys are the
// provider's own identifiers.
type State struct {
	Records   map[string]Record      `json:"records,omitempty"`
	Firewalls map[string]Firewall    `json:"firewalls,omitempty"`
	Reserved  map[string]ReservedIP  `json:"reserved,omitempty"` // by address
	Machines  map[string]MachineAddr `json:"machines,omitempty"` // by machine name
	Relay     []string               `json:"relay,omitempty"`    // hosts outside that machines may read from
}

// Record is one DNS record. Name is a full name, with or without the last dot.
type Record struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // A, AAAA, CAA, CNAME, TXT, MX, NS, SRV
	Value    string `json:"value"`
	TTL      int    `json:"ttl,omitempty"`      // seconds; 0: 60
	Flags    int    `json:"flags,omitempty"`    // CAA
	Tag      string `json:"tag,omitempty"`      // CAA
	Priority int    `json:"priority,omitempty"` // MX, SRV
	Weight   int    `json:"weight,omitempty"`   // SRV
	Port     int    `json:"port,omitempty"`     // SRV
}

// Firewall admits to its machines what its rules name and drops the rest, in
// either direction, as DigitalOcean's does. Replies always pass.
type Firewall struct {
	Machines []string `json:"machines"`
	Inbound  []Rule   `json:"inbound,omitempty"`
	Outbound []Rule   `json:"outbound,omitempty"`
}

// Rule admits one protocol from (inbound) or to (outbound) some prefixes.
type Rule struct {
	Protocol string         `json:"protocol"`        // tcp, udp or icmp
	Ports    string         `json:"ports,omitempty"` // "443", "8000-9000"; empty or "0" is all
	Prefixes []netip.Prefix `json:"prefixes"`
}

// ReservedIP is a public address that can be pointed at a machine.
type ReservedIP struct {
	Machine string `json:"machine,omitempty"` // empty: not assigned
}

// MachineAddr is the pair of addresses of one machine.
type MachineAddr struct {
	Address  netip.Addr `json:"address"`
	Address6 netip.Addr `json:"address6"`
}

func (c *Cloud) statePath() string { return filepath.Join(c.Dir, "network.json") }

// State reads what has been asked so far. A cloud without a file has an empty
// state.
func (c *Cloud) State() (State, error) {
	var state State
	data, err := os.ReadFile(c.statePath())
	if errors.Is(err, os.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return state, fmt.Errorf("read network of cloud %s: %w", c.Name, err)
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return state, fmt.Errorf("read %s: %w", c.statePath(), err)
	}
	return state, nil
}

// Update changes the state under a lock, writes it, and makes the namespace
// follow. Nothing is written if change returns an error.
func (c *Cloud) Update(change func(*State) error) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()

	state, err := c.State()
	if err != nil {
		return err
	}
	state.fill()
	if err := change(&state); err != nil {
		return err
	}
	data, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return err
	}
	temp := c.statePath() + ".new"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return fmt.Errorf("write network of cloud %s: %w", c.Name, err)
	}
	if err := os.Rename(temp, c.statePath()); err != nil {
		return fmt.Errorf("write network of cloud %s: %w", c.Name, err)
	}
	if !c.Up() {
		return nil // applied by the daemon when it starts
	}
	return c.Apply(state)
}

func (s *State) fill() {
	if s.Records == nil {
		s.Records = map[string]Record{}
	}
	if s.Firewalls == nil {
		s.Firewalls = map[string]Firewall{}
	}
	if s.Reserved == nil {
		s.Reserved = map[string]ReservedIP{}
	}
	if s.Machines == nil {
		s.Machines = map[string]MachineAddr{}
	}
}

func (c *Cloud) lock() (unlock func(), err error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create state of cloud %s: %w", c.Name, err)
	}
	file, err := os.OpenFile(filepath.Join(c.Dir, "network.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock network of cloud %s: %w", c.Name, err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock network of cloud %s: %w", c.Name, err)
	}
	return func() { file.Close() }, nil
}

// Claim gives a machine its addresses: the wanted ones where they are not
// zero, else the lowest free pair from 10.91.0.10 and fd91::10 on. The same
// name gets the same ones again.
func (c *Cloud) Claim(machine string, want MachineAddr) (MachineAddr, error) {
	addr := want
	err := c.Update(func(s *State) error {
		if have, ok := s.Machines[machine]; ok && (!want.Address.IsValid() || have.Address == want.Address) {
			addr = have
			return nil
		}
		taken := map[netip.Addr]string{}
		for name, m := range s.Machines {
			taken[m.Address] = name
		}
		for n := 10; n < 250 && !addr.Address.IsValid(); n++ {
			a := machines.Addr().As4()
			a[3] = byte(n)
			if _, ok := taken[netip.AddrFrom4(a)]; !ok {
				addr.Address = netip.AddrFrom4(a)
			}
		}
		if !addr.Address.IsValid() {
			return errors.New("claim address: all 240 are taken")
		}
		if owner, ok := taken[addr.Address]; ok && owner != machine {
			return fmt.Errorf("claim address %s: it is %s's", addr.Address, owner)
		}
		if !machines.Contains(addr.Address) || addr.Address == Gateway {
			return fmt.Errorf("claim address %s: machines live in %s", addr.Address, machines)
		}
		if !addr.Address6.IsValid() {
			addr.Address6 = pairOf(addr.Address)
		}
		s.Machines[machine] = addr
		return nil
	})
	return addr, err
}

// pairOf writes the last number of an IPv4 address as the last group of an
// IPv6 one, so that 10.91.0.10 and fd91::10 are the same machine to a reader.
func pairOf(a netip.Addr) netip.Addr {
	n := a.As4()[3]
	b := machines6.Addr().As16()
	b[14], b[15] = n/100, (n/10%10)<<4|n%10
	return netip.AddrFrom16(b)
}

// Free gives a machine's addresses back, with the reserved address that
// pointed at it left unassigned. Freeing twice is no error.
func (c *Cloud) Free(machine string) error {
	return c.Update(func(s *State) error {
		delete(s.Machines, machine)
		for address, r := range s.Reserved {
			if r.Machine == machine {
				s.Reserved[address] = ReservedIP{}
			}
		}
		return nil
	})
}

// Reserve takes a public address out of 10.91.1.0/24.
func (c *Cloud) Reserve() (netip.Addr, error) {
	var addr netip.Addr
	err := c.Update(func(s *State) error {
		for n := byte(1); n < 255; n++ {
			a := reserved.Addr().As4()
			a[3] = n
			addr = netip.AddrFrom4(a)
			if _, taken := s.Reserved[addr.String()]; !taken {
				s.Reserved[addr.String()] = ReservedIP{}
				return nil
			}
		}
		return errors.New("reserve address: all 254 are taken")
	})
	return addr, err
}

// Assign points a reserved address at a machine; an empty machine unassigns
// it.
func (c *Cloud) Assign(address netip.Addr, machine string) error {
	return c.Update(func(s *State) error {
		if _, ok := s.Reserved[address.String()]; !ok {
			return fmt.Errorf("assign %s: not a reserved address", address)
		}
		if _, ok := s.Machines[machine]; machine != "" && !ok {
			return fmt.Errorf("assign %s: no machine %q", address, machine)
		}
		s.Reserved[address.String()] = ReservedIP{Machine: machine}
		return nil
	})
}

// Release gives a reserved address back. Releasing twice is no error.
func (c *Cloud) Release(address netip.Addr) error {
	return c.Update(func(s *State) error {
		delete(s.Reserved, address.String())
		return nil
	})
}
