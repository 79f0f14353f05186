//go:build machine

package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/provider/local"
	"townsquare/infra/localcloud/runner"
)

// TestMain lets the engine start this test as the provider.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == languagePlugin {
		os.Exit(asLanguage())
	}
	if onPaper() {
		os.Exit(servePaper())
	}
	if len(os.Args) > 2 && os.Args[1] == "pulumi" {
		os.Exit(asPulumi(os.Args[2:]))
	}
	if local.Called() {
		os.Exit(local.Main())
	}
	os.Exit(m.Run())
}

// stackOf opens the stack dev of a cloud, for a program of the test's own.
func stackOf(t *testing.T, cloud *network.Cloud, output *bytes.Buffer, program pulumi.RunFunc, set map[string]any) *runner.Stack {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stack, err := runner.Open(t.Context(), runner.Options{
		Cloud: cloud, Stack: "dev", Source: "../../..", Program: program, Plugin: self,
		Cache: build.NewCache(build.NewProgress(os.Stderr)), Color: "never", Output: output, Set: set,
	})
	if err != nil {
		t.Fatal(err)
	}
	return stack
}

// newCloud names a cloud that is not up: enough for what is only recorded.
func newCloud(t *testing.T, name string) *network.Cloud {
	t.Helper()
	cloud, err := network.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(cloud.Dir, "mirror"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(cloud.Dir) })
	if err := os.WriteFile(filepath.Join(cloud.Dir, "mirror", "fingerprint"), []byte(strings.Repeat("A1", 20)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return cloud
}

// recorded is a program of resources that need no machine.
func recorded(description string) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		vpc, err := do.NewVpc(ctx, "net", &do.VpcArgs{
			Name: pulumi.String("net"), Region: pulumi.String("fra1"), IpRange: pulumi.String("10.10.0.0/24"), Description: pulumi.String(description),
		}, pulumi.Protect(true))
		if err != nil {
			return err
		}
		zone, err := do.NewDomain(ctx, "zone", &do.DomainArgs{Name: pulumi.String("townsquare.test")})
		if err != nil {
			return err
		}
		address, err := do.NewReservedIp(ctx, "address", &do.ReservedIpArgs{Region: pulumi.String("fra1")})
		if err != nil {
			return err
		}
		record, err := do.NewDnsRecord(ctx, "chat", &do.DnsRecordArgs{
			Domain: zone.Name, Type: pulumi.String("A"), Name: pulumi.String("chat"), Value: address.IpAddress, Ttl: pulumi.Int(60),
		})
		if err != nil {
			return err
		}
		ctx.Export("range", vpc.IpRange)
		ctx.Export("fqdn", record.Fqdn)
		ctx.Export("key", pulumi.ToSecret(pulumi.String("a secret of the program")))
		ctx.Export("host", pulumi.ToSecret(pulumi.Map{"keys": pulumi.ToStringArray([]string{"one"})}))
		return nil
	}
}

// The real engine makes, keeps, changes and removes what is only recorded.
func TestRecorded(t *testing.T) {
	cloud := newCloud(t, "recorded")
	var said bytes.Buffer
	run := func(description string, operation func(context.Context, *runner.Stack) (runner.Changes, error)) runner.Changes {
		t.Helper()
		said.Reset()
		stack := stackOf(t, cloud, &said, recorded(description), nil)
		defer stack.Close()
		changes, err := operation(t.Context(), stack)
		if err != nil {
			t.Fatalf("%v\n%s", err, said.String())
		}
		return changes
	}
	up := func(ctx context.Context, s *runner.Stack) (runner.Changes, error) { return s.Up(ctx) }

	if changes := run("one", up); changes["create"] != 5 {
		t.Errorf("first up: %v\n%s", changes, said.String())
	}
	if changes := run("one", up); len(changes) != 1 || changes["same"] != 5 {
		t.Errorf("second up: %v\n%s", changes, said.String())
	}
	preview := func(ctx context.Context, s *runner.Stack) (runner.Changes, error) { return s.Preview(ctx) }
	if changes := run("two", preview); changes["update"] != 1 || changes["same"] != 4 {
		t.Errorf("preview: %v\n%s", changes, said.String())
	}
	if changes := run("two", up); changes["update"] != 1 || changes["same"] != 4 {
		t.Errorf("up with a change: %v\n%s", changes, said.String())
	}
	secret := ""
	run("two", func(ctx context.Context, s *runner.Stack) (runner.Changes, error) {
		outputs, err := s.Outputs(ctx, true)
		if outputs["fqdn"] != "chat.townsquare.test" || outputs["range"] != "10.10.0.0/24" {
			t.Errorf("outputs: %v", outputs)
		}
		secret, _ = outputs["key"].(string)
		if host, ok := outputs["host"].(map[string]any); !ok || fmt.Sprint(host["keys"]) != "[one]" { // as `upgrade` reads it
			t.Errorf("an output that is a secret object: %v", outputs["host"])
		}
		hidden, hiddenErr := s.Outputs(ctx, false)
		if hidden["key"] != "[secret]" || hiddenErr != nil {
			t.Errorf("hidden outputs: %v %v", hidden, hiddenErr)
		}
		return nil, err
	})
	notInClear(t, filepath.Join(cloud.Dir, "pulumi"), secret)
	hostKey, err := os.ReadFile(filepath.Join(cloud.Dir, "secrets", "host_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	notInClear(t, filepath.Join(cloud.Dir, "pulumi"), strings.Split(string(hostKey), "\n")[2])

	func() {
		stack := stackOf(t, cloud, &said, recorded("two"), nil)
		defer stack.Close()
		if _, err := stack.Destroy(t.Context(), false); err == nil {
			t.Error("destroy took what is protected")
		}
	}()
	run("two", func(ctx context.Context, s *runner.Stack) (runner.Changes, error) { return s.Destroy(ctx, true) })
	var inventory struct{ Resources, Machines map[string]any }
	data, err := os.ReadFile(filepath.Join(cloud.Dir, "inventory.json"))
	if err != nil || json.Unmarshal(data, &inventory) != nil || len(inventory.Resources)+len(inventory.Machines) != 0 {
		t.Errorf("destroy left: %s %v", data, err)
	}
}

// notInClear fails if a secret can be read in any file below dir.
func notInClear(t *testing.T, dir, secret string) {
	t.Helper()
	if len(secret) < 16 {
		t.Fatalf("not a secret to look for: %q", secret)
	}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s has a secret in clear", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
