//go:build machine

package handmade

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"townsquare/infra/localcloud/stage"
)

// TestAdopted takes over a server without Pulumi and without a proxy: a plain /opt/mattermost with its
// data inside, the database's password in config.json, the unit in /lib/systemd/system, and a folder of
// the administrator's.
func TestAdopted(t *testing.T) {
	s := fresh(t)
	// Not the logs and not the time of data/, where Mattermost tries now and then if it can write.
	const traces = "find /opt -xdev -not -path '*/logs*' -not -path '*/data' -printf '%p %i %T@\n' | sort; systemctl show -p MainPID mattermost"
	was := s.Exec(t, traces)
	s.Upgrade(t.Context(), "plan", "--json", "--to", stage.After).Must(t)
	if is := s.Exec(t, traces); is != was {
		t.Errorf("plan changed the host: %s", cmp.Diff(was, is))
	}
	// First a version that does not work: the plain directory must be as it was.
	square.Localcloud(t.Context(), "mirror", "publish", "--bad", "exit").Must(t)
	s.Watched(t, func() { s.Apply(t, "9.10.2", "2s", 4) })
	square.Localcloud(t.Context(), "mirror", "withdraw", "9.10.2").Must(t)
	s.whole(t, stage.Before)
	s.Watched(t, func() {
		if got := s.Apply(t, stage.After, "2s"); got.From != stage.Before || got.Outcome != "done" {
			t.Errorf("report is %+v", got)
		}
	})
	s.whole(t, stage.After)
	if link := s.Exec(t, "readlink /opt/mattermost"); !strings.HasPrefix(link, "/opt/townsquare/versions/"+stage.After) {
		t.Errorf("/opt/mattermost points to %q", link)
	}
}
