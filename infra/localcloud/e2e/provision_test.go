//go:build machine

package e2e

import (
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

// provision makes the dev stack by the real engine; what it leaves is removed with the cloud.
func provision(t *testing.T) *server {
	t.Helper()
	cloud, err := network.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	seen := &arguments{seen: map[string]bool{}}
	go seen.collect(t.Context())
	up := localcloud(t, "pulumi", "up", "--cloud", name, "--stack", "dev").must(t)
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
	if len(all) != 1 {
		t.Fatalf("the stack made %d machines, want 1", len(all))
	}
	s.machine = all[0]
	return s
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
