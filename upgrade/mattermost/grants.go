package mattermost

import (
	"context"
	"errors"
	"fmt"
)

// MayCreate says whether the application may create tables in its schema. Since PostgreSQL 15 only
// a database's owner may, and a managed service makes its administrator the owner.
func (d *Database) MayCreate(ctx context.Context) (bool, error) {
	conn, err := d.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)
	var may *bool
	if err := conn.QueryRow(ctx, "select has_schema_privilege(current_schema(), 'CREATE')").Scan(&may); err != nil {
		return false, fmt.Errorf("ask for privileges: %w", err)
	}
	return may != nil && *may, nil
}

// Grant gives the application's role its database, as role admin: as its owner where that is
// allowed, else by privileges. It changes nothing when the application may create tables already.
func (d *Database) Grant(ctx context.Context, admin *Database) error {
	may, err := d.MayCreate(ctx)
	if err != nil || may {
		return err
	}
	conn, err := admin.On(d.Name).Connect(ctx)
	if err != nil {
		return fmt.Errorf("give %s its database: %w", d.Role, err)
	}
	defer conn.Close(ctx)
	role, name := quote(d.Role), quote(d.Name)
	var tried []error
	for _, ways := range [][]string{
		{fmt.Sprintf("alter database %s owner to %s", name, role)},
		// An administrator that is no superuser must belong to a role to give something to it.
		{fmt.Sprintf("grant %s to current_user", role), fmt.Sprintf("alter database %s owner to %s", name, role)},
		{fmt.Sprintf("grant all on database %s to %s", name, role), fmt.Sprintf("grant usage, create on schema public to %s", role)},
	} {
		var failed error
		for _, statement := range ways {
			if _, err := conn.Exec(ctx, statement); err != nil {
				failed = fmt.Errorf("%s: %w", statement, err)
				break
			}
		}
		if failed == nil {
			if may, err = d.MayCreate(ctx); err != nil || may {
				return err
			}
		}
		tried = append(tried, failed)
	}
	return fmt.Errorf("give %s its database as %s: %w", d.Role, admin.Role, errors.Join(tried...))
}
