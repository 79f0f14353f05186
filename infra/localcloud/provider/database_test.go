package provider

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

func managed(t *testing.T) (*account, thing) {
	t.Helper()
	a := newAccount(t)
	return a, a.create("DatabaseCluster", "db", in{
		"name": text("chat"), "engine": text("pg"), "version": text("17"), "size": text("db-s-1vcpu-2gb"), "region": text("fra1"), "nodeCount": property.New(1.0),
	})
}

func TestDatabase(t *testing.T) {
	a, cluster := managed(t)
	machine := a.backend.machines["db-chat"]
	if machine == nil || machine.spec.MemoryMB != 2048 || !strings.Contains(machine.spec.UserData, "postgresql-17") {
		t.Fatalf("machine: %+v", machine)
	}
	password := cluster.state.Get("password")
	if !password.Secret() || !cluster.state.Get("uri").Secret() || !cluster.state.Get("privateUri").Secret() {
		t.Errorf("secrets are in clear: %v", cluster.state)
	}
	script := strings.Join(a.backend.scripts, "\n")
	for _, want := range []string{"port = 25060", "ssl = on", "hostssl all all all scram-sha-256", "max_connections = 50", `CREATE ROLE "doadmin" LOGIN CREATEDB CREATEROLE PASSWORD`, `CREATE DATABASE "defaultdb" OWNER "doadmin"`} {
		if !strings.Contains(script, want) {
			t.Errorf("the server is set up without %q", want)
		}
	}
	if strings.Contains(script, "SUPERUSER") {
		t.Error("the administrator is a superuser")
	}
	if strings.Contains(machine.spec.UserData, password.AsString()) {
		t.Error("the password is in user data")
	}
	for _, run := range a.backend.scripts {
		if argv, _, _ := strings.Cut(run, "\n"); strings.Contains(argv, password.AsString()) {
			t.Errorf("the password is in a command line: %s", argv)
		}
	}

	db := a.create("DatabaseDb", "db", in{"clusterId": text(cluster.id), "name": text("mattermost")})
	user := a.create("DatabaseUser", "user", in{"clusterId": text(cluster.id), "name": text("mattermost")})
	if !user.state.Get("password").Secret() || user.state.Get("role").AsString() != "normal" {
		t.Errorf("user: %v", user.state)
	}
	if last := a.backend.scripts[len(a.backend.scripts)-1]; !strings.Contains(last, `CREATE ROLE "mattermost" LOGIN PASSWORD '`) {
		t.Errorf("user is made by %s", last)
	}
	host := a.create("Droplet", "host", droplet("mm", nil))
	wall := a.create("DatabaseFirewall", "wall", in{"clusterId": text(cluster.id), "rules": list(object(in{"type": text("droplet"), "value": text(host.id)}))})
	if rules := a.backend.network.Firewalls["db-chat"].Inbound; len(rules) != 1 || rules[0].Ports != "25060" || rules[0].Peers[0].Addr() != a.contents().Machines[host.id].Address {
		t.Errorf("database firewall: %+v", rules)
	}
	var names []string
	for _, record := range a.backend.network.Records {
		names = append(names, record.Name)
	}
	if want := cluster.state.Get("privateHost").AsString(); !slices.Contains(names, want) || !strings.HasPrefix(want, "private-chat-") {
		t.Errorf("names: %v, want %s", names, want)
	}

	bigger := a.update(cluster, in{"size": text("db-s-2vcpu-4gb")})
	if machine.spec.MemoryMB != 4096 || bigger.state.Get("password").AsString() != password.AsString() {
		t.Errorf("after resize: %d MiB", machine.spec.MemoryMB)
	}
	if diff, _ := a.diff(cluster, nil); diff.HasChanges {
		t.Errorf("the cluster changes by itself: %+v", diff)
	}
	for _, made := range []thing{wall, user, db, host, cluster} {
		a.delete(made)
	}
	if left := a.contents(); len(left.Resources)+len(left.Machines)+len(a.backend.machines) != 0 {
		t.Errorf("left behind: %+v", left)
	}
}

// The cluster's certificate verifies in full against the authority that getDatabaseCa hands out.
func TestDatabaseAuthority(t *testing.T) {
	a, cluster := managed(t)
	resp, err := a.server.Invoke(p.InvokeRequest{
		Token: "digitalocean:index/getDatabaseCa:getDatabaseCa", Args: property.NewMap(in{"clusterId": text(cluster.id)}),
	})
	if err != nil || resp.Return.Get("id").AsString() != cluster.id {
		t.Fatal(resp, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(resp.Return.Get("certificate").AsString())) {
		t.Fatal("no certificate")
	}
	_, server, _ := strings.Cut(strings.Join(a.backend.scripts, "\n"), "cat >server.crt <<'END_OF_FILE'\n")
	block, _ := pem.Decode([]byte(server))
	if block == nil {
		t.Fatal("the server has no certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"host", "privateHost"} {
		if _, err := certificate.Verify(x509.VerifyOptions{Roots: pool, DNSName: cluster.state.Get(name).AsString()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.server.Invoke(p.InvokeRequest{
		Token: "digitalocean:index/getDatabaseCa:getDatabaseCa", Args: property.NewMap(in{"clusterId": text("none")}),
	}); err == nil {
		t.Error("an authority of no cluster")
	}
}

func TestFailedDatabase(t *testing.T) {
	for _, step := range []string{"CreateMachine", "WaitMachine", "Run", "ApplyNetwork"} {
		a := newAccount(t)
		a.backend.fail[step] = errors.New("boom")
		_, err := a.try("DatabaseCluster", "db", in{
			"name": text("chat"), "engine": text("pg"), "version": text("17"), "size": text("db-s-1vcpu-2gb"), "region": text("fra1"), "nodeCount": property.New(1.0),
		})
		if err == nil || !strings.Contains(err.Error(), "boom") {
			t.Errorf("%s: %v", step, err)
		}
		if left := a.contents(); len(left.Resources)+len(left.Machines)+len(a.backend.machines) != 0 {
			t.Errorf("%s: left behind: %+v", step, left)
		}
	}
}
