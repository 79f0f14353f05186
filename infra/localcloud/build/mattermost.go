package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Mattermost is one version of the real server that can be built from Go modules.
type Mattermost struct {
	Number string // "9.10.0": stamped as BuildNumber, which is what a release's number is
	Module string // folder under tools/
	Server string // module of the server
	Model  string // package whose variables carry the stamps
	Commit string // as far as the module's version tells it
	Date   string // of that commit, as `date -u` prints it
	Mmctl  bool   // the module has the command-line client too

	Migrations map[string]string // more of them, by the names of their files: "000200_x.up.sql"
}

// Mattermosts lists the versions, oldest first. 7.7.1 and 9.10.1 are the code of 7.7.0 and 9.10.0 with another
// number: a patch release without migrations, which costs one more run of the linker. 9.11.0 is 9.10.0's with more
// migrations, which do no harm to a server that knows nothing of them.
func Mattermosts() []Mattermost {
	const v6, v8 = "github.com/mattermost/mattermost-server/v6", "github.com/mattermost/mattermost/server/v8"
	seven := Mattermost{
		Number: "7.7.0", Module: "mattermost-7.7.0", Server: v6, Model: v6 + "/model",
		Commit: "ea08d47f6051", Date: "Fri Jan 13 17:03:49 UTC 2023",
	}
	nine := Mattermost{
		Number: "9.10.0", Module: "mattermost-9.10.0", Server: v8, Model: "github.com/mattermost/mattermost/server/public/model",
		Commit: "4bdd8bb18e47", Date: "Mon May 20 15:11:30 UTC 2024", Mmctl: true,
	}
	return []Mattermost{
		{Number: "6.3.0", Module: "mattermost-6.3.0", Server: v6, Model: v6 + "/model", Commit: "v6.3.0", Date: "Fri Jan 14 12:00:00 UTC 2022"},
		{Number: "6.7.2", Module: "mattermost-6.7.2", Server: v6, Model: v6 + "/model", Commit: "v6.7.2", Date: "Thu Jul 21 12:00:00 UTC 2022"},
		seven, seven.As("7.7.1"), nine, nine.As("9.10.1"), nine.As("9.11.0").With(harmless),
	}
}

// FindMattermost looks number up in Mattermosts.
func FindMattermost(number string) (Mattermost, bool) {
	for _, m := range Mattermosts() {
		if m.Number == number {
			return m, true
		}
	}
	return Mattermost{}, false
}

// As is the same code under another number.
func (m Mattermost) As(number string) Mattermost {
	m.Number = number
	return m
}

// harmless are migrations such as the vendor's own 000118 and 000120: a table, and indexes made beside the writers.
var harmless = map[string]string{
	"000122_create_fountains.up.sql":      "CREATE TABLE IF NOT EXISTS fountains (id VARCHAR(26) PRIMARY KEY, createat bigint);\n",
	"000122_create_fountains.down.sql":    "DROP TABLE IF EXISTS fountains;\n",
	"000123_posts_userid_editat.up.sql":   "-- morph:nontransactional\nCREATE INDEX CONCURRENTLY IF NOT EXISTS idx_posts_userid_editat ON posts(userid, editat);\n",
	"000123_posts_userid_editat.down.sql": "-- morph:nontransactional\nDROP INDEX CONCURRENTLY IF EXISTS idx_posts_userid_editat;\n",
}

// With is m with more migrations.
func (m Mattermost) With(migrations map[string]string) Mattermost {
	m.Migrations = migrations
	return m
}

// migrationsFolder is where the server's module keeps those of PostgreSQL, since 8.0.
const migrationsFolder = "channels/db/migrations/postgres"

// Tool builds m stamped as the vendor's Team Edition is, or, with enterpriseReady, as a server that reports the
// Enterprise Edition (the closed parts are in neither). Unlike the vendor's, it is built without the `production`
// tag, whose only effect is that telemetry would go to the vendor's production systems.
//
// Beside bin/ the tool's directory has share/: what else of the module's tree a release carries, and share/config
// with the default config.json.
func (m Mattermost) Tool(enterpriseReady bool) Tool {
	t := Tool{
		Name: "mattermost-" + m.Number, Module: m.Module, What: "mattermost " + m.Number,
		Why: "the real server, from its Go modules", Usual: 3 * time.Minute, Programs: []string{"mattermost"},
		Stamps: map[string]string{
			m.Model + ".BuildNumber":          m.Number,
			m.Model + ".BuildDate":            m.Date,
			m.Model + ".BuildHash":            m.Commit,
			m.Model + ".BuildHashEnterprise":  "none",
			m.Model + ".BuildEnterpriseReady": "false",
		},
		Finish: m.finish,
	}
	if "mattermost-"+m.Number != m.Module {
		t.Why, t.Usual = "the code of "+strings.TrimPrefix(m.Module, "mattermost-")+" under another number", 30*time.Second
	}
	if len(m.Migrations) > 0 {
		t.Why, t.Usual = t.Why+", with more migrations", 2*time.Minute
		t.Overlay, t.Overlaid = map[string]string{}, m.Server
		for name, sql := range m.Migrations {
			t.Overlay[path.Join(migrationsFolder, name)] = sql
		}
	}
	if m.Mmctl {
		t.Programs = append(t.Programs, "mmctl")
	}
	if enterpriseReady {
		t.Name += "-enterprise"
		t.What += " (as Enterprise Edition)"
		t.Stamps[m.Model+".BuildEnterpriseReady"] = "true"
	}
	return t
}

// configGenerator is the vendor's own program that writes the config.json of a release.
const configGenerator = "config_generator"

func (m Mattermost) finish(ctx context.Context, g GoCommand, module, dir string) error {
	source, err := g.Output(ctx, module, "list", "-m", "-f", "{{.Dir}}", m.Server)
	if err != nil {
		return err
	}
	share := filepath.Join(dir, "share")
	for _, name := range []string{"fonts", "i18n", "templates"} {
		if err := copyShared(filepath.Join(source, name), filepath.Join(share, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"NOTICE.txt", "README.md", "build/MIT-COMPILED-LICENSE.md", "config/README.md"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // newer modules are only a part of the repository
		}
		if err != nil {
			return err
		}
		to := filepath.Join(share, strings.TrimPrefix(name, "build/"))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			return err
		}
	}
	return m.writeConfig(ctx, dir)
}

// writeConfig runs the vendor's generator, as the release process does, and removes it: no release contains it.
func (m Mattermost) writeConfig(ctx context.Context, dir string) error {
	generator := filepath.Join(dir, "bin", configGenerator)
	config := filepath.Join(dir, "share", "config", "config.json")
	if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, generator)
	cmd.Env = []string{"OUTPUT_CONFIG=" + config}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("write the default config.json: %w: %s", err, bytes.TrimSpace(out))
	}
	return os.Remove(generator)
}

// copyShared copies a folder of the module's tree, leaving out the sources of the e-mail templates as the release
// process does. The module cache is read-only; the copies are not.
func copyShared(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir() && d.Name() == "partials":
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case strings.HasSuffix(d.Name(), ".mjml"), d.Name() == "Makefile", strings.HasSuffix(d.Name(), ".go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}
