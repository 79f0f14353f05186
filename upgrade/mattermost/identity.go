package mattermost

import (
	"context"
	"errors"
	"fmt"
)

// Identity is what tells a database from others. System is PostgreSQL's system identifier; empty where
// the role may not read it.
type Identity struct {
	Host   string
	Port   int
	Name   string
	System string
}

func (i Identity) String() string { return fmt.Sprintf("%s on %s:%d", i.Name, i.Host, i.Port) }

// Same reports whether both are one database. A PostgreSQL server may be moved to another address, or
// be exchanged for a newer one at the same address: one of them must have stayed. The zero Identity,
// of a record that does not know, is like all.
func (i Identity) Same(other Identity) bool {
	if i.Name == "" || other.Name == "" {
		return true
	}
	address := i.Host == other.Host && i.Port == other.Port
	system := i.System != "" && i.System == other.System
	return i.Name == other.Name && (address || system)
}

// ErrOtherDatabase is returned where a run's database is not the one that the service uses now.
var ErrOtherDatabase = errors.New("the service uses another database now")

// address is the Identity as far as the data source has it.
func (d *Database) address() Identity {
	return Identity{Host: d.Host, Port: int(d.config.Port), Name: d.Name}
}

// Identify asks the server for the Identity of its database.
func (d *Database) Identify(ctx context.Context) (Identity, error) {
	id := d.address()
	conn, err := d.Connect(ctx)
	if err != nil {
		return id, err
	}
	defer conn.Close(ctx)
	// A managed service may keep it to itself.
	_ = conn.QueryRow(ctx, "select system_identifier::text from pg_control_system()").Scan(&id.System)
	return id, nil
}

// Confirm returns an ErrOtherDatabase when the database is not want.
func (d *Database) Confirm(ctx context.Context, want Identity) error {
	now := d.address()
	if now.Same(want) {
		return nil
	}
	if now.Name == want.Name { // at another address: is it another server?
		var err error
		if now, err = d.Identify(ctx); err != nil {
			return err
		}
	}
	if !now.Same(want) {
		return fmt.Errorf("%w: %s, and the run began on %s; name that one again, in the unit or its environment", ErrOtherDatabase, now, want)
	}
	return nil
}
