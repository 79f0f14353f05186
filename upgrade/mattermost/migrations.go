package mattermost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/durable"
	"townsquare/upgrade/internal/untrusted"
)

// Program is a server program that is run beside the one that serves, for one command.
type Program struct {
	Dir    string   // of the version
	User   string   // of the service
	Env    []string // the unit's: MM_* overrides the configuration
	Config string   // path of the configuration in use; empty when Env names it
	Run    Runner   // nil means host.Run
}

func (p Program) run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	run := p.Run
	if run == nil {
		run = host.Run
	}
	env = append(append([]string(nil), p.Env...), env...)
	if p.Config != "" {
		env = append(env, "MM_CONFIG="+p.Config)
	}
	return run(ctx, host.Command{Name: filepath.Join(p.Dir, "bin", "mattermost"), Args: args, Dir: p.Dir, User: p.User, Env: env})
}

// Build is what a program says about itself.
type Build struct {
	Number     string // of the release
	Enterprise bool
}

// Version runs the program's version command, which touches no database. Before 7.0 it would start
// half a server unless told not to, and from 8.0 on it may no longer know that flag.
func (p Program) Version(ctx context.Context) (Build, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it did not answer within a minute"))
	defer cancel()
	out, err := p.run(ctx, nil, "version", "--skip-server-start")
	var exit *host.ExitError
	if errors.As(err, &exit) && strings.Contains(exit.Stderr, "unknown flag") {
		out, err = p.run(ctx, nil, "version")
	}
	if err != nil {
		return Build{}, fmt.Errorf("ask the program for its version: %w", err)
	}
	var b Build
	for _, line := range strings.Split(string(out), "\n") {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "Build Number":
			b.Number = value
		case "Build Enterprise Ready":
			b.Enterprise = value == "true"
		}
	}
	if b.Number == "" {
		return b, errors.New("ask the program for its version: it names no build number")
	}
	return b, nil
}

// Plan is what a target would do to the database.
type Plan struct {
	Known bool   // false when the target cannot tell; then it must be assumed to migrate
	Count int    // migrations to run
	To    int    // the highest of them
	File  string // the plan as the target wrote it, for Downgrade; empty when there is none
}

// maxPlan is the largest plan that is read, in bytes; one from 7.7 to 11.4 has some 200 KB.
const maxPlan = 64 << 20

// PlanMigrations asks the target which migrations it would run, without running any, and keeps its
// plan as keep. Programs before 8.0 cannot tell: they refuse the flag before they touch anything.
func (p Program) PlanMigrations(ctx context.Context, keep string) (Plan, error) {
	dir, err := p.scratch(nil)
	if err != nil {
		return Plan{}, fmt.Errorf("plan the migrations: %w", err)
	}
	defer os.RemoveAll(dir)
	// The plan goes into the file store, which is therefore this directory for once.
	_, err = p.run(ctx, fileStore(dir), "db", "migrate", "--dry-run", "--save-plan")
	var exit *host.ExitError
	if errors.As(err, &exit) && (strings.Contains(exit.Stderr, "unknown flag") || strings.Contains(exit.Stderr, "unknown command")) {
		return Plan{}, nil
	}
	if err != nil {
		return Plan{}, fmt.Errorf("plan the migrations: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "migration_plan_*.json"))
	if err != nil {
		return Plan{}, err
	}
	if len(files) == 0 {
		return Plan{Known: true}, nil
	}
	var data []byte
	err = untrusted.As(p.User, func() (err error) { // the directory is that user's
		data, err = untrusted.ReadFile(files[0], maxPlan)
		return err
	})
	if err != nil {
		return Plan{}, fmt.Errorf("plan the migrations: %w", err)
	}
	var saved struct {
		Migrations []struct{ Version json.RawMessage }
	}
	if err := json.Unmarshal(data, &saved); err != nil {
		return Plan{}, fmt.Errorf("plan the migrations: %w", err)
	}
	plan := Plan{Known: true, Count: len(saved.Migrations), File: keep}
	for _, m := range saved.Migrations {
		if n, err := strconv.Atoi(strings.Trim(string(m.Version), `"`)); err == nil {
			plan.To = max(plan.To, n)
		}
	}
	if err := os.MkdirAll(filepath.Dir(keep), 0o700); err != nil {
		return Plan{}, fmt.Errorf("keep the plan: %w", err)
	}
	if err := renameio.WriteFile(keep, data, 0o600); err != nil {
		return Plan{}, fmt.Errorf("keep the plan: %w", err)
	}
	return plan, durable.SyncDir(filepath.Dir(keep))
}

// Downgrade takes the migrations of the plan back, the last first, and leaves what people wrote.
// The service must be stopped. Only the program that made the plan can do it.
func (p Program) Downgrade(ctx context.Context, plan string) error {
	data, err := os.ReadFile(plan)
	if err != nil {
		return fmt.Errorf("take the migrations back: %w", err)
	}
	dir, err := p.scratch(map[string][]byte{"plan.json": data})
	if err != nil {
		return fmt.Errorf("take the migrations back: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("take the migrations back: %w", err)
	}
	if _, err := p.run(ctx, fileStore(dir), "db", "downgrade", "plan.json"); err != nil {
		return fmt.Errorf("take the migrations back: %w", err)
	}
	return nil
}

var (
	createTable = regexp.MustCompile(`(?i)\bcreate table (?:if not exists )?"?(\w+)"?`)
	createIndex = regexp.MustCompile(`(?i)\bcreate\s+(?:unique\s+)?index\s+(?:concurrently\s+)?(?:if\s+not\s+exists\s+)?"?(\w+)"?\s+on\b`)
)

// NewTables are the tables, in lower case, that the migrations of a saved plan made: taking them
// back drops them, with what is in them.
func NewTables(plan string) ([]string, error) { return namesIn(plan, createTable) }

// NewIndexes are the indexes, in lower case, that the migrations of a saved plan make.
func NewIndexes(plan string) ([]string, error) { return namesIn(plan, createIndex) }

// namesIn are the names, each once, that statements of a saved plan give to what they make.
func namesIn(plan string, statement *regexp.Regexp) ([]string, error) {
	migrations, err := planned(plan)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, sql := range migrations {
		for _, found := range statement.FindAllSubmatch(sql, -1) {
			if name := strings.ToLower(string(found[1])); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// PlannedMigrations is how many migrations a saved plan has.
func PlannedMigrations(plan string) (int, error) {
	migrations, err := planned(plan)
	return len(migrations), err
}

// planned is the SQL of each migration of a saved plan.
func planned(plan string) ([][]byte, error) {
	data, err := os.ReadFile(plan)
	if err != nil {
		return nil, fmt.Errorf("read the migration plan: %w", err)
	}
	var saved struct {
		Migrations []struct{ Bytes []byte }
	}
	if err := json.Unmarshal(data, &saved); err != nil {
		return nil, fmt.Errorf("read the migration plan: %w", err)
	}
	var all [][]byte
	for _, m := range saved.Migrations {
		all = append(all, m.Bytes)
	}
	return all, nil
}

func fileStore(dir string) []string {
	return []string{"MM_FILESETTINGS_DRIVERNAME=local", "MM_FILESETTINGS_DIRECTORY=" + dir}
}

// scratch is a directory that the service's user can write to, with files that were in it before
// that user could put a link in their place.
func (p Program) scratch(files map[string][]byte) (string, error) {
	dir, err := os.MkdirTemp("", "townsquare-plan-")
	if err != nil {
		return "", err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	if p.User != "" {
		if err := chownTo(dir, p.User); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}
