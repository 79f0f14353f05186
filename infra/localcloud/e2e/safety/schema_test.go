//go:build machine

package safety

import (
	"errors"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// elsewhere moves Mattermost's tables out of the schema public, as an administrator does who keeps
// several applications in one database.
const elsewhere = `systemctl stop mattermost
runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 mattermost <<'SQL'
alter schema public rename to chat;
create schema public authorization pg_database_owner;
create table public.posts as select 'another application' as message;
alter role mattermost in database mattermost set search_path = chat;
alter database mattermost connection limit 90;
comment on database mattermost is 'The town square';
create text search configuration chat.simple_cfg (copy = english);
SQL
systemctl start mattermost`

// beside is what belongs to the database and is not Mattermost's.
const beside = `runuser -u postgres -- psql -XAtq mattermost -c "select datconnlimit, shobj_description(oid, 'pg_database') from pg_database where datname = 'mattermost'" \
	-c "select setconfig from pg_db_role_setting join pg_database d on d.oid = setdatabase where datname = 'mattermost' and setrole = 'mattermost'::regrole"`

// Tables in another schema than public, by a setting of the role in the database, go through all that is
// done to a database: a release that fails after its migrations, an upgrade, a rollback by hand, a
// backup, its proof and a restore.
func TestTablesInAnotherSchema(t *testing.T) {
	s := own(t)
	backups(t, s)
	s.Exec(t, elsewhere)
	stage.Until(t, stage.Patience, func() error {
		_, err := s.Client().Version(t.Context())
		return err
	})
	s.Serves(t, stage.Before)
	was := s.Exec(t, beside)
	same := func(after string) {
		t.Helper()
		if is := s.Exec(t, beside); is != was {
			t.Errorf("after %s the database is\n%s\nwas\n%s", after, is, was)
		}
		tidy(t, s)
	}

	square.Localcloud(t.Context(), "mirror", "publish", "--bad", "migrate-exit").Must(t)
	s.Watched(t, func() { s.Apply(t, "9.10.7", "2s", 4) })
	square.Localcloud(t.Context(), "mirror", "withdraw", "9.10.7").Must(t)
	whole(t, s)
	same("a failed upgrade")

	s.Watched(t, func() { s.Apply(t, stage.After, "2s") })
	s.Serves(t, stage.After)
	same("an upgrade")

	if got := rollback(t, s, "downgrade"); got.From != stage.After || got.To != stage.Before || got.Outcome != "done" {
		t.Errorf("report is %+v", got)
	}
	s.Serves(t, stage.Before)
	same("a rollback")

	do(t, s, 0, "backup", "create")
	if proof := do(t, s, 0, "backup", "verify"); !proof.Backup.Restorable {
		t.Errorf("the proof says %+v", proof)
	}
	lost := s.People.Posts[0]
	s.Exec(t, `runuser -u postgres -- psql -XAtq mattermost -c "delete from chat.posts where id = '`+lost.ID+`'"`)
	s.Upgrade(t.Context(), "restore", "latest", "--yes", "--replace", "--watch", "2s").Must(t)
	stage.Until(t, stage.Patience, func() error {
		if s.Record(t).Run != nil {
			return errors.New("the restore is not over")
		}
		return nil
	})
	s.Serves(t, stage.Before)
	same("a restore")
}
