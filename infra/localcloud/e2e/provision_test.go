//go:build machine

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
)

// outputs are the stack's, as far as the tests use them.
type outputs struct {
	URL          string `json:"url"`
	Address      string `json:"address"`
	SSHUser      string `json:"sshUser"`
	SSHHostKey   string `json:"sshHostKey"`
	DatabaseMode string `json:"databaseMode"`
	DatabaseURL  string `json:"databaseUrl"`
}

// provision makes the dev stack by the real engine, with settings as in --set KEY=VALUE on top, and
// destroys it when the test ends.
func provision(t *testing.T, settings ...string) *server {
	t.Helper()
	cloud, err := network.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	// An earlier test may have left a newer patch, and the archive lists only the newest of a minor.
	localcloud(t, "mirror", "publish", "--cloud", name, "--only", before, after, "--esr", "9.10").must(t)
	seen := &arguments{seen: map[string]bool{}}
	go seen.collect(t.Context())
	up := localcloud(t, append([]string{"pulumi", "up", "--cloud", name, "--stack", "dev"}, settings...)...)
	t.Cleanup(func() {
		if os.Getenv("KEEP") == "" {
			destroy(t)
		}
	})
	up.must(t)
	t.Logf("pulumi up took %v", up.took)
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{cloud: cloud, visitor: visitor(t, cloud), outputs: stackOutputs(t), seen: seen}
	s.url = s.outputs.URL
	s.target = []string{"--stack", "dev", "--project", root, "--identity", identity(cloud)}
	all, err := machine.List(cloud)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.Spec.Name == "townsquare-dev" { // a managed database is a machine, too
			s.machine = m
		}
	}
	if s.machine == nil {
		t.Fatalf("the stack made no machine named townsquare-dev: %v", all)
	}
	return s
}

// destroy leaves nothing of the stack; twice is fine.
func destroy(t *testing.T) {
	t.Helper()
	argv := []string{filepath.Join(programs, "localcloud"), "pulumi", "destroy", "--cloud", name, "--stack", "dev"}
	if r := command(context.Background(), argv...); r.code != 0 {
		t.Error(r)
	}
}

func stackOutputs(t *testing.T) outputs {
	t.Helper()
	var o outputs
	localcloud(t, "pulumi", "outputs", "--cloud", name, "--stack", "dev", "--json").must(t).into(t, &o)
	return o
}

// identity is the private key of the user ops on the dev stack's hosts.
func identity(cloud *network.Cloud) string {
	return filepath.Join(cloud.Dir, "secrets", "ops_ed25519")
}
