//go:build machine

package e2e

import (
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// harmless is a release whose migrations do no harm to the version before it.
const harmless = "9.11.0"

// Migrations that the old version can live with are run while it serves, and wait for a lock in such
// a way that nobody waits behind them.
func TestMigrateWhileServing(t *testing.T) {
	s := square.Upgraded(t)
	square.Localcloud(t.Context(), "mirror", "publish", stage.After, harmless, "--esr", "9.11").Must(t)
	// Somebody is in the middle of a change of posts, and takes 3 s more once the migration is there.
	s.Exec(t, `setsid -f runuser -u postgres -- psql -X -d mattermost -c 'begin' -c 'lock table posts in row exclusive mode' -c "
		do \$\$ begin
			while not exists (select 1 from pg_stat_activity where application_name = 'townsquare-migrate') loop
				perform pg_sleep(0.05), pg_stat_clear_snapshot();
			end loop;
			perform pg_sleep(3);
		end \$\$" -c 'commit' >/dev/null 2>&1 </dev/null`)
	var r stage.Report
	seen := s.Watched(t, func() { r = s.Apply(t, harmless, "2s") })
	for _, p := range r.Phases {
		if p.Title == "migrate the database" && p.Took < 3*time.Second {
			t.Errorf("the migration took %s: nothing was in its way", p.Took)
		}
	}
	s.Serves(t, harmless)
	s.Exec(t, `grep -h '"the database is migrated; the old version serves on it"' /var/lib/townsquare/runs/*.jsonl
		test "$(runuser -u postgres -- psql -XAtc 'select max(version) from db_migrations' mattermost)" = 123
		test "$(runuser -u postgres -- psql -XAtc "select indisvalid from pg_index where indexrelid = 'idx_posts_userid_editat'::regclass" mattermost)" = t`)
	t.Logf("visitors: %+v", seen)
}
