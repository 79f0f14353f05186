package mattermost

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Going back keeps what somebody has set since, brings back what the newer version dropped, and
// leaves out what only it knows.
func TestMergeConfig(t *testing.T) {
	was := `{"TeamSettings": {"SiteName": "Square", "ViewArchived": false, "Words": "a b"}, "Gone": {"Key": 1}}`
	now := `{"TeamSettings": {"SiteName": "New Square", "Words": ["a"], "Newer": true}, "Added": {"Key": 2}}`
	merged, err := MergeConfig([]byte(was), []byte(now))
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(merged, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"TeamSettings": {"SiteName": "New Square", "ViewArchived": false, "Words": "a b"}, "Gone": {"Key": 1}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := MergeConfig([]byte("{"), []byte(now)); err == nil {
		t.Error("a broken file was taken")
	}
}

func TestDSNFor(t *testing.T) {
	for dsn, want := range map[string]string{
		"postgres://mm:p%40ss@db.internal:25060/chat?sslmode=verify-full&sslrootcert=/etc/ca.pem": "postgres://mm:p%40ss@127.0.0.1:5432/scratch?sslmode=verify-ca&sslrootcert=%2Fetc%2Fca.pem",
		"host=db.internal port=25060 user=mm password='a b' dbname=chat sslmode=verify-full":      "user='mm' password='a b' sslmode='verify-ca' dbname='scratch' host='127.0.0.1' port='5432'",
	} {
		if got := dsnFor(dsn, "scratch", "127.0.0.1:5432"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got := dsnFor("postgres:///chat?host=/var/run/postgresql&user=mm", "scratch", ""); got != "postgres:///scratch?host=%2Fvar%2Frun%2Fpostgresql&user=mm" {
		t.Error(got)
	}
}

// What is tried must not reach anyone, whatever the service's own environment says.
func TestSandboxEnvironment(t *testing.T) {
	s := &Sandbox{Dir: "/x/rehearsal", Unit: &Unit{Env: map[string]string{
		"MM_SQLSETTINGS_DATASOURCE": "postgres://live", "MM_SQLSETTINGS_DATASOURCEREPLICAS": "postgres://replica",
		"MM_EMAILSETTINGS_SENDPUSHNOTIFICATIONS": "true", "MM_FILESETTINGS_DRIVERNAME": "amazons3", "MM_SERVICESETTINGS_SITEURL": "https://chat.example.org",
	}}}
	env := s.environment("postgres://scratch")
	for key, want := range map[string]string{
		"MM_SQLSETTINGS_DATASOURCE": "postgres://scratch", "MM_SQLSETTINGS_DATASOURCEREPLICAS": "", "MM_EMAILSETTINGS_SENDPUSHNOTIFICATIONS": "false",
		"MM_FILESETTINGS_DRIVERNAME": "local", "MM_SERVICESETTINGS_SITEURL": "https://chat.example.org", "MM_FILESETTINGS_DIRECTORY": "/x/rehearsal/data",
		"MM_SERVICESETTINGS_LISTENADDRESS": "127.0.0.1:8065", "MM_SERVICESETTINGS_ENABLELOCALMODE": "false",
	} {
		if env[key] != want {
			t.Errorf("%s is %q, want %q", key, env[key], want)
		}
	}
	config, err := sandboxConfig([]byte(`{"SqlSettings": {"DataSourceReplicas": ["postgres://replica"], "DriverName": "postgres"}}`))
	if err != nil || strings.Contains(string(config), "replica\"") {
		t.Errorf("%s, %v", config, err)
	}
	if err := CloseSandbox(t.Context(), nil, "/var/lib/mattermost"); err == nil {
		t.Error("something that is no sandbox would have been removed")
	}
}

func TestStalled(t *testing.T) {
	if got := stalled("some avg10=1.00 avg60=0.00 avg300=0.00 total=900000\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=250000\n"); got != 250*time.Millisecond {
		t.Error(got)
	}
	if got := stalled("some avg10=1.00 avg60=0.00 avg300=0.00 total=900000\n"); got != 0 {
		t.Error(got)
	}
}
