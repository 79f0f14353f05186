package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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

// Server is one host with Mattermost as operators and users see it.
type Server struct {
	Stage   *Stage
	Cloud   *network.Cloud
	Machine *machine.Machine
	Outputs Outputs
	Target  []string // what `upgrade` is told: --stack dev, or --host … --host-key …
	URL     string
	Visitor *http.Client
	People  *community.Record // what they made, and must find again; nil before anybody came
}

// Server is the dev stack's, with what people made on it so far.
func (s *Stage) Server(o Outputs, people *community.Record) (*Server, error) {
	cloud, err := s.Cloud()
	if err != nil {
		return nil, err
	}
	m, err := s.findMachine()
	if err != nil {
		return nil, err
	}
	visitor, err := Visitor(cloud, time.Minute)
	if err != nil {
		return nil, err
	}
	return &Server{
		Stage: s, Cloud: cloud, Machine: m, Outputs: o, URL: o.URL, Visitor: visitor, People: people,
		Target: []string{"--stack", "dev", "--project", s.root, "--identity", Identity(cloud)},
	}, nil
}

// Identity is the private key of the user ops on the dev stack's hosts.
func Identity(cloud *network.Cloud) string {
	return filepath.Join(cloud.Dir, "secrets", "ops_ed25519")
}

// Directly tells `upgrade` of the host itself from now on, and saves it the two seconds in which it
// asks Pulumi. What the stack delivers is on the host since the first time.
func (s *Server) Directly() {
	s.Target = []string{"--host", s.Outputs.SSHUser + "@" + s.Outputs.Address, "--host-key", s.Outputs.SSHHostKey, "--identity", Identity(s.Cloud)}
}

// Report is what `upgrade apply --json` prints.
type Report struct {
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

// StartUpgrade types `upgrade ARGUMENTS` as the operator does, inside the cloud's network.
func (s *Server) StartUpgrade(ctx context.Context, arguments ...string) *Process {
	argv := []string{s.Stage.Program("localcloud"), "exec", "--cloud", s.Cloud.Name, "--", s.Stage.Program("upgrade")}
	argv = append(argv, arguments...)
	return s.Stage.start(ctx, append(argv, s.Target...)...)
}

// Upgrade is StartUpgrade to its end.
func (s *Server) Upgrade(ctx context.Context, arguments ...string) Result {
	return s.StartUpgrade(ctx, arguments...).Wait()
}

// Type pastes a hint into a terminal, inside the cloud's network and with upgrade on the PATH, and says yes.
func (s *Server) Type(t testing.TB, hint string) Result {
	t.Helper()
	for _, line := range []string{": upgrade ", "upgrade "} { // what stands before the command says what it is for
		if i := strings.Index(hint, line); i >= 0 {
			hint = strings.TrimPrefix(hint[i:], ": ")
			break
		}
	}
	const terminal = `PATH="$1:$PATH"; export PATH; printf 'y\n' | script --quiet --return --command "$2" /dev/null`
	return s.Stage.start(t.Context(), s.Stage.Program("localcloud"), "exec", "--cloud", s.Cloud.Name, "--",
		"bash", "-c", terminal, "type", filepath.Join(s.Stage.Root(), "bin"), hint).Wait()
}

// Apply takes the server to a version and wants one of the exit codes (none: 0). It watches the new
// version for as long as watch says ("5s").
func (s *Server) Apply(t testing.TB, version, watch string, codes ...int) Report {
	t.Helper()
	r := s.Upgrade(t.Context(), "apply", "--json", "--yes", "--watch", watch, "--to", version)
	r.Must(t, codes...)
	var got Report
	r.Into(t, &got)
	t.Logf("apply --to %s: exit code %d, %s, down %v, %v in all", version, r.Code, got.Outcome, got.Downtime.Round(time.Millisecond), r.Took.Round(100*time.Millisecond))
	return got
}

// Exec runs a script on the host as root and returns what it printed.
func (s *Server) Exec(t testing.TB, script string) string {
	t.Helper()
	return s.Input(t, nil, script)
}

// Input is Exec with something on the script's stdin.
func (s *Server) Input(t testing.TB, in io.Reader, script string) string {
	t.Helper()
	out, err := s.Machine.ExecInput(t.Context(), in, "bash", "-euo", "pipefail", "-c", script)
	if err != nil {
		t.Fatalf("on the host: %s\n%v\n%s", script, err, out)
	}
	return strings.TrimSpace(out)
}

// Kill pulls the plug: what was not synced is lost.
func (s *Server) Kill(t testing.TB) { t.Helper(); must(t, s.Machine.Kill(t.Context())) }

// PowerOff shuts the machine down in order.
func (s *Server) PowerOff(t testing.TB) { t.Helper(); must(t, s.Machine.PowerOff(t.Context())) }

// Start switches the machine on; it does not wait for Mattermost.
func (s *Server) Start(t testing.TB) { t.Helper(); must(t, s.Machine.Start(t.Context())) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Client is nobody yet; Admin is signed in.
func (s *Server) Client() *community.Client {
	return &community.Client{URL: s.URL, HTTP: s.Visitor}
}

// Admin is the administrator, in the session opened when people came.
func (s *Server) Admin() *community.Client {
	c := s.Client()
	c.Resume(s.People.Admin, s.People.Token)
	return c
}

// Await waits until one of the versions answers at the public address.
func (s *Server) Await(ctx context.Context, limit time.Duration, versions ...string) error {
	deadline := time.Now().Add(limit)
	for {
		ask, cancel := context.WithTimeout(ctx, 5*time.Second)
		got, err := s.Client().Version(ask)
		cancel()
		if err == nil && slices.Contains(versions, got) {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("%s: after %v not %s: %q, %w", s.URL, limit, strings.Join(versions, " or "), got, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Serves wants the version to answer at the public address, with everything that people made.
func (s *Server) Serves(t testing.TB, version string) {
	t.Helper()
	got, err := s.Client().Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got != version {
		t.Fatalf("%s answers, want %s", got, version)
	}
	if s.People == nil {
		return
	}
	if err := s.People.Check(t.Context(), s.Client(), nil); err != nil {
		t.Fatalf("after %s: content is missing:\n%v", version, err)
	}
}

// visitEvery is how often Watched's visitor comes. Every 20 ms would take a third of a processor, most
// of it the server's, and show no outage that this does not: the shortest is half a second.
const visitEvery = 50 * time.Millisecond

// Watched runs what with a visitor at the door every 50 ms and a writer who posts and uploads all
// the while. Nothing that the server acknowledged may be lost, whatever happens to it meanwhile.
func (s *Server) Watched(t testing.TB, what func()) community.Summary {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	visits := make(chan *community.Visits, 1)
	go func() { visits <- community.Poll(ctx, s.URL, s.Visitor, visitEvery) }()
	writer := s.Admin().Write(ctx, s.People.Channels[0].ID)
	what()
	stop()
	seen, ledger := (<-visits).Summary(), writer.End()
	if lost := ledger.Lost(t.Context(), s.Admin()); len(lost) > 0 {
		t.Errorf("something that the server had taken is gone: %v", errors.Join(lost...))
	}
	text, err := json.Marshal(seen)
	must(t, err)
	t.Logf("from outside: %s; %d posts and %d files written meanwhile are all there", text, len(ledger.Posts), len(ledger.Files))
	return seen
}

// Record is what the tests read of the host's /var/lib/townsquare/state.json.
type Record struct {
	Active   string         `json:"active"`
	Previous string         `json:"previous"`
	Bad      map[string]any `json:"bad"`
	Run      map[string]any `json:"run"`
	History  []Report       `json:"history"`
}

// Record reads the host's record.
func (s *Server) Record(t testing.TB) Record {
	t.Helper()
	var r Record
	must(t, json.Unmarshal([]byte(s.Exec(t, "cat /var/lib/townsquare/state.json")), &r))
	return r
}

// Bad is the host's skip list.
func (s *Server) Bad(t testing.TB) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(s.Record(t).Bad))
}

// Account is what a person wants to see of a test that failed: the last run's log, what systemd
// says of the units, and the gate.
func (s *Server) Account() string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if !s.Machine.Running() {
		return "the machine is off"
	}
	out, err := s.Machine.Exec(ctx, "bash", "-c", `
for log in $(ls -t /var/lib/townsquare/runs/*.jsonl | head -2); do echo "== $log"; grep -v '"kind":"progress"' "$log" | tail -40; done
echo "== record"; cat /var/lib/townsquare/state.json
echo "== units"; systemctl --no-pager --lines=15 status mattermost townsquare-upgrade townsquare-recover postgresql@17-main 2>&1
echo "== filter"; nft list ruleset | grep -B2 -A6 8065
df -h / /var/lib/mattermost /var/lib/postgresql`)
	return fmt.Sprintf("the host: %v\n%s", err, out)
}
