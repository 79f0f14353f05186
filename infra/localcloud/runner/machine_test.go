//go:build machine

package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"townsquare/infra"
	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/runner"
)

// program is the localcloud that scripts/test-machine.sh built.
const program = "../../../bin/localcloud"

// account is a cloud that is up, and its stack dev.
type account struct {
	t     *testing.T
	cloud *network.Cloud
	said  bytes.Buffer // what the engine said last
}

// newAccount brings a cloud up; it goes down, whatever happens, at the end of the test.
func newAccount(t *testing.T, name string) *account {
	t.Helper()
	cloud, err := network.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"down", "up"} {
		if output, err := exec.Command(program, command, "--cloud", name).CombinedOutput(); err != nil {
			t.Fatalf("localcloud %s: %v\n%s", command, err, output)
		}
	}
	t.Cleanup(func() {
		if output, err := exec.Command(program, "down", "--cloud", name).CombinedOutput(); err != nil {
			t.Errorf("localcloud down: %v\n%s", err, output)
		}
	})
	return &account{t: t, cloud: cloud}
}

// run opens the stack, with configuration on top of its file, and works on it.
func (a *account) run(program pulumi.RunFunc, set map[string]any, work func(context.Context, *runner.Stack) (runner.Changes, error)) runner.Changes {
	a.t.Helper()
	a.said.Reset()
	stack := stackOf(a.t, a.cloud, &a.said, program, set)
	defer stack.Close()
	changes, err := work(a.t.Context(), stack)
	if err != nil {
		a.t.Fatalf("%v\n%s", err, a.said.String())
	}
	return changes
}

// up makes the cloud what the program says, and checks how many resources it did what with.
func (a *account) up(program pulumi.RunFunc, set map[string]any, want runner.Changes) {
	a.t.Helper()
	got := a.run(program, set, func(ctx context.Context, s *runner.Stack) (runner.Changes, error) { return s.Up(ctx) })
	for operation, count := range got {
		if want[operation] != count && (want[operation] != some || count == 0) {
			a.t.Fatalf("up: %v, want %v\n%s", got, want, a.said.String())
		}
	}
}

// some is any number of resources.
const some = -1

// destroy removes everything and checks that nothing is left of it in the cloud.
func (a *account) destroy(program pulumi.RunFunc) {
	a.t.Helper()
	a.run(program, nil, func(ctx context.Context, s *runner.Stack) (runner.Changes, error) { return s.Destroy(ctx, true) })
	var inventory struct{ Resources, Machines map[string]any }
	a.read("inventory.json", &inventory)
	var wires network.State
	a.read("network.json", &wires)
	if len(inventory.Resources)+len(inventory.Machines)+len(wires.Records)+len(wires.Firewalls)+len(wires.Reserved)+len(wires.Machines) != 0 {
		a.t.Errorf("destroy left %+v, %+v", inventory, wires)
	}
	if machines := a.machines(); len(machines) != 0 {
		a.t.Errorf("destroy left machines: %v", machines)
	}
	if volumes, _ := filepath.Glob(filepath.Join(a.cloud.Dir, "volumes", "*")); len(volumes) != 0 {
		a.t.Errorf("destroy left volumes: %v", volumes)
	}
}

func (a *account) read(name string, into any) {
	a.t.Helper()
	data, err := os.ReadFile(filepath.Join(a.cloud.Dir, name))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *account) machines() map[string]*machine.Machine {
	a.t.Helper()
	all, err := machine.List(a.cloud)
	if err != nil {
		a.t.Fatal(err)
	}
	found := map[string]*machine.Machine{}
	for _, m := range all {
		found[m.Spec.Name] = m
	}
	return found
}

func (a *account) exec(m *machine.Machine, argv ...string) string {
	a.t.Helper()
	output, err := m.Exec(a.t.Context(), argv...)
	if err != nil {
		a.t.Fatalf("%s: %v: %v", m.Spec.Name, argv, err)
	}
	return strings.TrimSpace(output)
}

// The project's own program makes a server, changes it in place, and is removed without a trace.
func TestStack(t *testing.T) {
	a := newAccount(t, "stacktest")
	a.up(infra.New, nil, runner.Changes{"create": some})
	a.up(infra.New, nil, runner.Changes{"same": some})
	server := a.machines()["townsquare-dev"]
	if server == nil || !server.Running() {
		t.Fatalf("machines: %v", a.machines())
	}
	booted := a.exec(server, "cat", "/proc/1/stat")

	a.up(infra.New, map[string]any{"townsquare:sshFrom": []string{"10.91.0.1/32"}}, runner.Changes{"same": some, "update": 1})
	var wires network.State
	a.read("network.json", &wires)
	if rules := wires.Firewalls["townsquare-dev"].Inbound; rules[0].Ports != "22" || rules[0].Prefixes[0].String() != "10.91.0.1/32" {
		t.Errorf("firewall after the change: %+v", rules)
	}
	if now := a.exec(server, "cat", "/proc/1/stat"); strings.Fields(now)[21] != strings.Fields(booted)[21] {
		t.Error("a change of the firewall restarted the server")
	}
	sshKeys := []string{operatorKey(t, "ada"), operatorKey(t, "grace")} // another operator is a change on the server alone
	a.up(infra.New, map[string]any{"townsquare:sshFrom": []string{"10.91.0.1/32"}, "townsquare:sshKeys": sshKeys}, runner.Changes{"same": some})
	hostKey, err := os.ReadFile(filepath.Join(a.cloud.Dir, "secrets", "host_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	notInClear(t, filepath.Join(a.cloud.Dir, "pulumi"), strings.Split(string(hostKey), "\n")[2])
	a.destroy(infra.New)
}

// pair is a program of two droplets beside each other, one with a volume that moves to the other.
func pair(volumeAt int, size string) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		volume, err := do.NewVolume(ctx, "files", &do.VolumeArgs{
			Name: pulumi.String("files"), Region: pulumi.String("fra1"), Size: pulumi.Int(1), InitialFilesystemType: pulumi.String("ext4"),
		})
		if err != nil {
			return err
		}
		for i, name := range []string{"one", "two"} {
			args := &do.DropletArgs{
				Name: pulumi.String(name), Image: pulumi.String("debian-13-x64"), Size: pulumi.String(size), Region: pulumi.String("fra1"),
				UserData: pulumi.String("#cloud-config\n"), VolumeIds: pulumi.StringArray{},
			}
			if i == volumeAt {
				args.VolumeIds = pulumi.StringArray{volume.ID()}
			}
			if _, err := do.NewDroplet(ctx, name, args); err != nil {
				return err
			}
		}
		return nil
	}
}

// Two droplets live side by side, and grow without being made anew.
func TestTwoDroplets(t *testing.T) {
	a := newAccount(t, "pairtest")
	a.up(pair(0, "s-1vcpu-1gb"), nil, runner.Changes{"create": some})
	machines := a.machines()
	one, two := machines["one"], machines["two"]
	if len(machines) != 2 || !one.Running() || !two.Running() || one.Spec.Address == two.Spec.Address {
		t.Fatalf("machines: %+v", machines)
	}
	if a.exec(one, "hostname") != "one" || a.exec(two, "hostname") != "two" {
		t.Error("host names")
	}
	a.exec(one, "test", "-b", "/dev/disk/by-id/scsi-0DO_Volume_files")
	a.exec(one, "ping", "-c", "1", "-W", "5", two.Spec.Address.String())
	a.exec(one, "sh", "-c", "touch /root/kept && sync") // without a hook of the program's, a resize is a power cut

	a.up(pair(0, "s-1vcpu-2gb"), nil, runner.Changes{"same": some, "update": 2})
	if a.exec(one, "ls", "/root/kept") == "" || a.machines()["one"].Spec.MemoryMB != 2048 {
		t.Errorf("after the resize: %+v", a.machines()["one"].Spec)
	}
	a.destroy(pair(0, "s-1vcpu-2gb"))
}

// A managed database admits the droplet over verified TLS, and nobody else.
func TestManagedDatabase(t *testing.T) {
	a := newAccount(t, "managedtest")
	managed := map[string]any{"townsquare:database": "managed", "townsquare:databaseVolumeGB": ""}
	a.up(infra.New, managed, runner.Changes{"create": some})
	a.up(infra.New, managed, runner.Changes{"same": some})
	machines := a.machines()
	server, database := machines["townsquare-dev"], machines["db-townsquare-dev"]
	if server == nil || database == nil {
		t.Fatalf("machines: %v", machines)
	}
	if err := server.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	var outputs map[string]any
	a.run(infra.New, managed, func(ctx context.Context, s *runner.Stack) (_ runner.Changes, err error) {
		outputs, err = s.Outputs(ctx, true)
		return nil, err
	})
	ask := func(url, statement string) (string, error) {
		script := "umask 077\ncat >/etc/townsquare/database-ca.pem <<'END'\n" + outputs["databaseCa"].(string) + "\nEND\n" +
			"PGCONNECT_TIMEOUT=5 psql -X -At -v ON_ERROR_STOP=1 -d '" + url + "' -c '" + statement + "'\n"
		return server.ExecInput(t.Context(), strings.NewReader(script), "sh", "-s")
	}
	app, admin := outputs["databaseUrl"].(string), outputs["databaseAdminUrl"].(string)
	for _, c := range []struct{ url, statement, want string }{
		{app, "SELECT current_user, ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "mattermost|t"},
		{admin, "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user", "f|t|t"},
		{admin, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()", "doadmin"},
	} {
		if got, err := ask(c.url, c.statement); err != nil || strings.TrimSpace(got) != c.want {
			t.Errorf("%s: %q, %v; want %q", c.statement, got, err, c.want)
		}
	}
	if got, err := ask(strings.Replace(app, "private-", "other-", 1), "SELECT 1"); err == nil {
		t.Errorf("a name that is not the server's: %q", got)
	}
	reach := []string{program, "exec", "--cloud", a.cloud.Name, "--", "timeout", "5", "bash", "-c", "</dev/tcp/" + database.Spec.Address.String() + "/25060"}
	if exec.Command(reach[0], reach[1:]...).Run() == nil {
		t.Error("someone who is no droplet of the stack reached the database")
	}
	a.destroy(infra.New)
}
