package phase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

// Grant makes the application the owner of its database, where the database's provider made its
// own administrator the owner. Nothing is undone: it takes nothing from anyone.
type Grant struct{}

// Title says what a person reads.
func (Grant) Title() string { return "prepare the database" }

// Describe says it for a plan.
func (Grant) Describe(op *Operation) string {
	return fmt.Sprintf("role %s must be allowed to create tables in %s", op.Facts.Database.Role, op.Facts.Database.Name)
}

// Run does nothing where the application may create tables already.
func (Grant) Run(ctx context.Context, op *Operation) error {
	db := op.Facts.Database
	may, err := db.MayCreate(ctx)
	if err != nil || may {
		return err
	}
	url, err := adminURL()
	if err != nil {
		return err
	}
	if url == "" {
		return fmt.Errorf("role %s may not create tables in database %s, and %s is missing", db.Role, db.Name, state.AdminFile)
	}
	admin, err := mattermost.ParseDSN(url, "root")
	if err != nil {
		return err
	}
	return db.Grant(ctx, admin)
}

// adminURL reads the administrator's database URL; a host without one has an empty one.
func adminURL() (string, error) {
	data, err := os.ReadFile(state.AdminFile)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(data)), err
}

func findAdmin(ctx context.Context, db *mattermost.Database) (*mattermost.Admin, error) {
	url, err := adminURL()
	if err != nil {
		return nil, err
	}
	return mattermost.FindAdmin(ctx, db, url, "root")
}

// showSchemas is a command that lists the schemas of a database, and where a search_path is set.
func showSchemas(db *mattermost.Database) string {
	return fmt.Sprintf(`sudo -u postgres psql -d '%s' -c '\dn' -c '\drds'`, strings.ReplaceAll(db.Name, "'", `'\''`))
}

// noAdmin says that a copy of the database is needed, and that no role here may make one.
func noAdmin(f *mattermost.Installation, found, allowed string) problem.Problem {
	return problem.Problem{Where: "database " + f.Database.Name, Found: found, Allowed: allowed,
		Hint: "sudo install -m 600 /dev/stdin " + state.AdminFile + "    # its URL: postgres://role:password@host/postgres"}
}
