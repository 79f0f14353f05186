//go:build machine

package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/community"
	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
)

// server is one host with Mattermost as the tests see it.
type server struct {
	cloud   *network.Cloud
	machine *machine.Machine
	target  []string // what `upgrade` is told: --stack dev, or --host … --host-key …
	url     string
	visitor *http.Client
	outputs outputs
	people  *community.Record
	kept    string // what the host says of the keepsakes
	seen    *arguments
}

// report is what `upgrade apply --json` prints.
type report struct {
	ID       string        `json:"id"`
	From     string        `json:"from"`
	To       string        `json:"to"`
	Outcome  string        `json:"outcome"`
	Error    string        `json:"error"`
	Downtime time.Duration `json:"downtime_ns"`
	UpToDate bool          `json:"up_to_date"`
	Phases   []struct {
		Title string        `json:"title"`
		Took  time.Duration `json:"took_ns"`
	} `json:"phases"`
	Exit int `json:"exit"`
}

// upgrade types `upgrade ARGUMENTS` as the operator does, inside the cloud's network.
func (s *server) upgrade(ctx context.Context, arguments ...string) result {
	argv := []string{filepath.Join(programs, "localcloud"), "exec", "--cloud", s.cloud.Name, "--", filepath.Join(programs, "upgrade")}
	argv = append(argv, arguments...)
	argv = append(argv, s.target...)
	return command(ctx, argv...)
}

// apply takes the server to a version and wants one of the exit codes.
func (s *server) apply(t *testing.T, version string, codes ...int) report {
	t.Helper()
	return s.applyWatching(t, version, "10s", codes...)
}

func (s *server) applyWatching(t *testing.T, version, watch string, codes ...int) report {
	t.Helper()
	start := time.Now()
	r := s.upgrade(t.Context(), "apply", "--json", "--yes", "--watch", watch, "--to", version)
	r.must(t, codes...)
	var got report
	r.into(t, &got)
	t.Logf("apply --to %s: exit code %d, %s, down %v, %v in all", version, r.code, got.Outcome, got.Downtime.Round(time.Millisecond), time.Since(start).Round(time.Second))
	return got
}

// shell runs a script on the host as root and returns what it printed.
func (s *server) shell(t *testing.T, script string) string {
	t.Helper()
	out, err := s.machine.Exec(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	if err != nil {
		t.Fatalf("on the host: %s\n%v\n%s", script, err, out)
	}
	return strings.TrimSpace(out)
}

// input is shell with something on its stdin.
func (s *server) input(t *testing.T, in io.Reader, script string) string {
	t.Helper()
	out, err := s.machine.ExecInput(t.Context(), in, "bash", "-euo", "pipefail", "-c", script)
	if err != nil {
		t.Fatalf("on the host: %s\n%v\n%s", script, err, out)
	}
	return strings.TrimSpace(out)
}

func (s *server) client() *community.Client {
	return &community.Client{URL: s.url, HTTP: s.visitor}
}

// serves wants the version to answer at the public address, with everything that people made.
func (s *server) serves(t *testing.T, version string) {
	t.Helper()
	got, err := s.client().Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got != version {
		t.Fatalf("%s answers, want %s", got, version)
	}
	if s.people == nil {
		return
	}
	if err := s.people.Check(t.Context(), s.client(), nil); err != nil {
		t.Fatalf("after %s: content is missing:\n%v", version, err)
	}
}

// watched runs what with a visitor at the door every 20 ms and a writer who posts all the while.
// No acknowledged post may be lost, whatever happens to the server meanwhile.
func (s *server) watched(t *testing.T, what func()) community.Summary {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	visits := make(chan *community.Visits, 1)
	go func() { visits <- community.Poll(ctx, s.url, s.visitor) }()
	writer := make(chan []community.Post, 1)
	client := s.client()
	client.Resume(s.people.Admin, s.people.Token)
	go func() { writer <- client.KeepPosting(ctx, s.people.Channels[0].ID) }()
	what()
	stop()
	seen, posts := (<-visits).Summary(), <-writer
	for _, post := range posts {
		if err := client.Has(t.Context(), post); err != nil {
			t.Errorf("a post that the server had taken is gone: %v", err)
		}
	}
	text, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("from outside: %s; %d posts written meanwhile are all there", text, len(posts))
	return seen
}

// bad is the host's skip list.
func (s *server) bad(t *testing.T) []string {
	t.Helper()
	var record struct {
		Bad map[string]any `json:"bad"`
	}
	if err := json.Unmarshal([]byte(s.shell(t, "cat /var/lib/townsquare/state.json")), &record); err != nil {
		t.Fatal(err)
	}
	var all []string
	for version := range record.Bad {
		all = append(all, version)
	}
	slices.Sort(all)
	return all
}
