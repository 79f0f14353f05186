package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"townsquare/infra/localcloud/community"
	"townsquare/infra/localcloud/machine"
)

// machineName is what the dev stack calls its droplet.
const machineName = "townsquare-dev"

// scene is one moment that the server can be rewound to, made when it is first asked for.
type scene struct {
	once sync.Once
	err  error
	dir  string // the snapshot, with the two below beside it in scene.json

	People  *community.Record `json:"people"`
	Outputs Outputs           `json:"outputs"`
}

// Outputs are the stack's, as far as tests use them.
type Outputs struct {
	URL          string `json:"url"`
	Address      string `json:"address"`
	SSHUser      string `json:"sshUser"`
	SSHHostKey   string `json:"sshHostKey"`
	DatabaseMode string `json:"databaseMode"`
	DatabaseURL  string `json:"databaseUrl"`
}

// Fresh is the server with Before on it and people's things, serving, as if no test had been there:
// the mirror has Before and After again, and nothing goes wrong on it.
func (s *Stage) Fresh(t testing.TB) *Server {
	t.Helper()
	return s.play(t, &s.before, Before)
}

// Upgraded is Fresh with After on it.
func (s *Stage) Upgraded(t testing.TB) *Server {
	t.Helper()
	return s.play(t, &s.after, After)
}

func (s *Stage) play(t testing.TB, sc *scene, version string) *Server {
	t.Helper()
	if err := s.prepare(t.Context(), sc, version); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	server, err := s.rewind(t.Context(), sc, version)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(server.Account())
		}
	})
	t.Logf("rewound to %s in %v", version, time.Since(began).Round(10*time.Millisecond))
	return server
}

// Prepare makes the moment that Fresh rewinds to, now rather than in the first test.
func (s *Stage) Prepare(ctx context.Context) error { return s.prepare(ctx, &s.before, Before) }

// prepare makes the scene, once; a kept cloud has it already.
func (s *Stage) prepare(ctx context.Context, sc *scene, version string) error {
	sc.once.Do(func() { sc.err = s.make(ctx, sc, version) })
	return sc.err
}

func (s *Stage) make(ctx context.Context, sc *scene, version string) error {
	cloud, err := s.Cloud()
	if err != nil {
		return err
	}
	sc.dir = filepath.Join(cloud.Dir, "scenes", version)
	if err := sc.load(); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var server *Server
	if version == Before {
		server, err = s.build(ctx)
	} else if err = s.prepare(ctx, &s.before, Before); err == nil {
		server, err = s.rewind(ctx, &s.before, Before)
	}
	if err != nil {
		return err
	}
	if r := server.Upgrade(ctx, "apply", "--yes", "--watch", "2s", "--to", version); r.Code != 0 {
		return fmt.Errorf("%s", r)
	}
	if server.People == nil {
		if server.People, err = community.Fill(ctx, server.Client(), nil); err != nil {
			return err
		}
	}
	sc.People, sc.Outputs = server.People, server.Outputs
	return sc.take(ctx, server)
}

// build makes the server, as an operator does.
func (s *Stage) build(ctx context.Context) (*Server, error) {
	if r := s.Localcloud(ctx, "pulumi", "up", "--stack", "dev"); r.Code != 0 {
		return nil, fmt.Errorf("%s", r)
	}
	outputs, err := s.outputs(ctx)
	if err != nil {
		return nil, err
	}
	return s.Server(outputs, nil)
}

func (s *Stage) outputs(ctx context.Context) (o Outputs, err error) {
	r := s.Localcloud(ctx, "pulumi", "outputs", "--stack", "dev", "--json")
	if r.Code != 0 {
		return o, fmt.Errorf("%s", r)
	}
	return o, json.Unmarshal([]byte(r.Stdout), &o)
}

// rewind takes the server back to the scene and waits until it serves.
func (s *Stage) rewind(ctx context.Context, sc *scene, version string) (*Server, error) {
	server, err := s.Server(sc.Outputs, sc.People)
	if err != nil {
		return nil, err
	}
	m := server.Machine
	for _, step := range []func() error{
		func() error { return s.reset(ctx) },
		func() error { return m.Kill(ctx) },
		func() error { return m.Rewind(ctx, sc.dir) },
		func() error { return m.Start(ctx) },
		func() error { return s.renew(ctx, sc, m) },
		func() error { return server.Await(ctx, Patience, version) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return server, nil
}

// renew has the server ask for another certificate where the cloud was down since the scene was made:
// its authority keeps nothing, and begins anew.
func (s *Stage) renew(ctx context.Context, sc *scene, m *machine.Machine) error {
	cloud, err := s.Cloud()
	if err != nil {
		return err
	}
	authority, err := os.Stat(filepath.Join(cloud.Dir, "ca", "acme.pem"))
	if err != nil {
		return err
	}
	made, err := os.Stat(sc.path())
	if err != nil || authority.ModTime().Before(made.ModTime()) {
		return err
	}
	_, err = m.Exec(ctx, "bash", "-c", "rm -rf /var/lib/caddy/.local/share/caddy/{acme,certificates} && systemctl restart caddy")
	return err
}

// reset makes the mirror what it is when a test begins.
func (s *Stage) reset(ctx context.Context) error {
	for _, argv := range [][]string{{"fault", "--clear"}, repertoire()} {
		if r := s.Localcloud(ctx, append([]string{"mirror"}, argv...)...); r.Code != 0 {
			return fmt.Errorf("%s", r)
		}
	}
	return nil
}

func (sc *scene) path() string { return filepath.Join(sc.dir, "scene.json") }

func (sc *scene) load() error {
	text, err := os.ReadFile(sc.path())
	if err != nil {
		return err
	}
	return json.Unmarshal(text, sc)
}

// save comes last: without its file a scene does not exist.
func (sc *scene) save() error {
	text, err := json.Marshal(sc)
	if err != nil {
		return err
	}
	return os.WriteFile(sc.path(), text, 0o600) // it has the people's passwords
}

// findMachine looks the stack's server up; a managed database is a machine, too.
func (s *Stage) findMachine() (*machine.Machine, error) {
	cloud, err := s.Cloud()
	if err != nil {
		return nil, err
	}
	return machine.Open(cloud, machineName)
}
