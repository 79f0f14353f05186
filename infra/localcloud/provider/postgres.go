package provider

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// postgresUserData makes a plain machine a database server. The cluster is set up afterwards, over
// standard input, so that no secret is in user data.
const postgresUserData = `#cloud-config
package_update: true
packages: [postgresql-17]
`

// postgresConfig is where the cluster's settings go, apart from Debian's own file.
const postgresConfig = "/etc/postgresql/17/main/conf.d"

// setUpPostgres gives the server its certificate, its first database and the administrator, who is
// no superuser: he may create databases and roles, as at DigitalOcean.
func setUpPostgres(ctx context.Context, backend Backend, machine string, server serverCertificate, cluster DatabaseClusterState, memoryMB int) error {
	script := strings.Join([]string{
		"set -eu; umask 077; cd /etc/postgresql/17/main",
		heredoc("server.key", server.key),
		heredoc("server.crt", server.certificate),
		heredoc("pg_hba.conf", "local all postgres peer\nhostssl all all all scram-sha-256\n"),
		heredoc("conf.d/cluster.conf", fmt.Sprintf(`listen_addresses = '*'
port = %d
ssl = on
ssl_cert_file = '/etc/postgresql/17/main/server.crt'
ssl_key_file = '/etc/postgresql/17/main/server.key'
ssl_min_protocol_version = 'TLSv1.2'
password_encryption = 'scram-sha-256'
`, databasePort)),
		"chown postgres:postgres server.key server.crt pg_hba.conf conf.d/cluster.conf",
	}, "\n")
	if err := runScript(ctx, backend, machine, script); err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}
	if err := tunePostgres(ctx, backend, machine, memoryMB); err != nil {
		return err
	}
	return runSQL(ctx, backend, machine, "postgres",
		fmt.Sprintf("CREATE ROLE %s LOGIN CREATEDB CREATEROLE PASSWORD %s;", quoteName(cluster.User), quoteText(cluster.Password)),
		fmt.Sprintf("CREATE DATABASE %s OWNER %s;", quoteName(cluster.Database), quoteName(cluster.User)))
}

// tunePostgres fits the server to its memory, in MiB, and restarts it. Connections: 25 for each GiB,
// as DigitalOcean has it. https://docs.digitalocean.com/products/databases/postgresql/details/limits/
func tunePostgres(ctx context.Context, backend Backend, machine string, memoryMB int) error {
	script := "set -eu\n" + heredoc(postgresConfig+"/memory.conf", fmt.Sprintf(
		"shared_buffers = %dMB\neffective_cache_size = %dMB\nmax_connections = %d\n", memoryMB/4, memoryMB*5/8, max(25, memoryMB*25/1024))) +
		"chmod 644 " + postgresConfig + "/memory.conf\nsystemctl restart postgresql@17-main\n"
	if err := runScript(ctx, backend, machine, script); err != nil {
		return fmt.Errorf("tune PostgreSQL: %w", err)
	}
	return nil
}

// runSQL runs statements as PostgreSQL's superuser, which only this machine's root can be.
func runSQL(ctx context.Context, backend Backend, machine, database string, statements ...string) error {
	_, err := backend.Run(ctx, machine, strings.NewReader(strings.Join(statements, "\n")+"\n"),
		"runuser", "-u", "postgres", "--", "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-p", fmt.Sprint(databasePort), "-d", database, "-f", "-")
	if err != nil {
		return fmt.Errorf("change database %s: %w", database, err)
	}
	return nil
}

func runScript(ctx context.Context, backend Backend, machine, script string) error {
	_, err := backend.Run(ctx, machine, strings.NewReader(script), "sh", "-s")
	return err
}

func heredoc(path, content string) string {
	return fmt.Sprintf("cat >%s <<'END_OF_FILE'\n%s\nEND_OF_FILE\n", path, strings.TrimSuffix(content, "\n"))
}

// validSQLName is what DigitalOcean takes as the name of a user or database.
var validSQLName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_-]{0,62}$`)

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteText(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }
