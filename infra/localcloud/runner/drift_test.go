//go:build machine

package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"

	"townsquare/infra"
	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/runner"
)

// asPulumi is the command that drift.sh runs in place of pulumi, for the commands that run the program:
// those need a plug-in for the program's language, which is not to be had here.
func asPulumi(args []string) int {
	cloud, err := network.Open(os.Getenv("TOWNSQUARE_CLOUD"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var set map[string]any
	data, err := os.ReadFile(filepath.Join(cloud.Dir, "set.json"))
	if err := errors.Join(err, json.Unmarshal(data, &set)); err != nil {
		fmt.Println(err)
		return 1
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	ctx := context.Background()
	stack, err := runner.Open(ctx, runner.Options{
		Cloud: cloud, Stack: "dev", Source: os.Getenv("TOWNSQUARE_SOURCE"), Program: infra.New, Plugin: self,
		Cache: build.NewCache(build.NewProgress(os.Stderr)), Color: "never", Output: os.Stdout, Set: set,
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer stack.Close()
	switch strings.Join(args, " ") {
	case "preview --stack dev --refresh --expect-no-changes --non-interactive":
		_, err = stack.Preview(ctx, optpreview.Refresh(), optpreview.ExpectNoChanges())
	case "up --refresh --stack dev":
		_, err = stack.Up(ctx, optup.Refresh())
	default:
		err = fmt.Errorf("unexpected: pulumi %q", args)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// pulumi runs what an operator types.
func (s *paperStack) pulumi(command string) (string, error) {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	return s.shell(self + " " + command)
}

// settle writes the settings where asPulumi reads them.
func (s *paperStack) settle() {
	s.t.Helper()
	data, err := json.Marshal(s.set)
	if err := errors.Join(err, os.WriteFile(filepath.Join(s.cloud.Dir, "set.json"), data, 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *paperStack) shell(command string) (string, error) {
	s.t.Helper()
	source, err := filepath.Abs("../../..")
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), "bash", "-c", command)
	cmd.Dir = filepath.Join(s.cloud.Dir, "pulumi")
	cmd.Env = append(os.Environ(), "TOWNSQUARE_SOURCE="+source)
	for name, value := range runner.Environment(s.cloud) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// drift runs the scheduled script, with a server that is as its stack says, and returns its report.
func (s *paperStack) drift() (report string, clean bool) {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	root := s.t.TempDir()
	for name, text := range map[string]string{"bin/upgrade": "#!/bin/sh\n", "Pulumi.yaml": ""} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o700)); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(root, "scripts", "ci"), os.DirFS("../../../scripts/ci")); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	said, err := s.shell(fmt.Sprintf("cd %s && TOWNSQUARE_STACKS=dev TOWNSQUARE_PULUMI='%s pulumi' GITHUB_STEP_SUMMARY=%[1]s/report bash scripts/ci/drift.sh", root, self))
	data, readErr := os.ReadFile(filepath.Join(root, "report"))
	if readErr != nil {
		s.t.Fatalf("%v\n%s", readErr, said)
	}
	if strings.Contains(string(data), "Pulumi could not tell") {
		s.t.Fatalf("%s\n%s", data, said)
	}
	return string(data), err == nil
}

func (s *paperStack) outputs() (outputs map[string]any, err error) {
	s.t.Helper()
	_, err = s.try(func(ctx context.Context, stack *runner.Stack) (_ runner.Changes, err error) {
		outputs, err = stack.Outputs(ctx, false)
		return nil, err
	})
	return outputs, err
}

func (s *paperStack) noDrift(after string) {
	s.t.Helper()
	if report, clean := s.drift(); !clean || !strings.Contains(report, "Everything in the cloud is as the program says.") {
		s.t.Errorf("after %s there is drift:\n%s", after, report)
	}
}

// byHand changes resources behind the engine's back, as an operator may in the control panel.
func (s *paperStack) byHand(change func(resources map[string]map[string]any)) {
	s.t.Helper()
	file := filepath.Join(s.cloud.Dir, "inventory.json")
	data, err := os.ReadFile(file)
	inventory := map[string]any{}
	if err := errors.Join(err, json.Unmarshal(data, &inventory)); err != nil {
		s.t.Fatal(err)
	}
	resources := map[string]map[string]any{}
	for kind, all := range inventory["resources"].(map[string]any) {
		resources[kind] = all.(map[string]any)
	}
	change(resources)
	data, err = json.Marshal(inventory)
	if err := errors.Join(err, os.WriteFile(file, data, 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

func managed(more map[string]any) map[string]any {
	set := map[string]any{"townsquare:database": "managed", "townsquare:databaseVolumeGB": ""}
	for key, value := range more {
		set[key] = value
	}
	return set
}

// A stack that was made, looked at or changed is as the program says.
func TestNoDrift(t *testing.T) {
	s := newPaperStack(t, "nodrift", managed(map[string]any{"townsquare:protect": "true"}))
	s.up()
	if changes := s.up(); len(changes) != 1 {
		t.Errorf("second up: %v\n%s", changes, s.said.String())
	}
	s.noDrift("up")
	if _, err := s.try(func(ctx context.Context, stack *runner.Stack) (runner.Changes, error) { return stack.Refresh(ctx) }); err != nil {
		t.Fatalf("%v\n%s", err, s.said.String())
	}
	s.noDrift("refresh")
	for i, changes := range []map[string]any{
		{"size": "s-8vcpu-16gb", "databaseSize": "db-s-2vcpu-4gb", "maintenanceHour": "05:00", "dropletBackups": "weekly", "caa": []string{"letsencrypt.org", "pki.goog"}},
		{"size": "s-4vcpu-8gb", "volumeGB": "20", "databaseNodes": "2", "dropletBackups": "daily", "host": "talk", "caa": []string{"pki.goog"}},
		{"sshFrom": []string{"203.0.113.0/24"}, "alertEmails": []string{"root@townsquare.test"}, "backupKeepDays": "14", "environment": "Staging", "dropletBackups": "off"},
	} {
		for key, value := range changes {
			s.set["townsquare:"+key] = value
		}
		if changes := s.up(); changes["update"] == 0 || changes["replace"] > 0 {
			t.Errorf("changes %d: %v", i+1, changes)
		}
		s.noDrift(fmt.Sprintf("changes %d", i+1))
	}
}

// Drift is named, and the command in the report ends it.
func TestDriftEnds(t *testing.T) {
	s := newPaperStack(t, "drift", managed(map[string]any{"townsquare:protect": "true"}))
	s.up()
	s.byHand(func(all map[string]map[string]any) {
		for id, record := range all["DnsRecord"] {
			switch record := record.(map[string]any); record["Type"] {
			case "A":
				record["Value"] = "192.0.2.7"
			case "AAAA":
				delete(all["DnsRecord"], id)
			}
		}
		for _, firewall := range all["Firewall"] {
			firewall.(map[string]any)["InboundRules"].([]any)[0].(map[string]any)["SourceAddresses"] = []string{"0.0.0.0/0"}
		}
	})
	report, clean := s.drift()
	for _, want := range []string{
		"- `townsquare-dev-a` (digitalocean:index:DnsRecord) was changed by hand, or the program was: `~value`",
		"- `townsquare-dev-aaaa` (digitalocean:index:DnsRecord) is missing",
		"- `townsquare-dev-firewall` (digitalocean:index:Firewall) was changed by hand, or the program was: `~inboundRules`",
	} {
		if clean || !strings.Contains(report, want) {
			t.Errorf("the report does not say %q:\n%s", want, report)
		}
	}
	told := regexp.MustCompile(`(?m)^    (pulumi .*)$`).FindStringSubmatch(report)
	if told == nil {
		t.Fatalf("the report has no command:\n%s", report)
	}
	if said, err := s.pulumi(told[1]); err != nil {
		t.Fatalf("%s: %v\n%s", told[1], err, said)
	}
	s.noDrift(told[1])
}

// left are the kinds of resources that the cloud still has.
func (s *paperStack) left() (kinds []string) {
	s.t.Helper()
	s.byHand(func(all map[string]map[string]any) {
		for kind, of := range all {
			for range of {
				kinds = append(kinds, kind)
			}
		}
	})
	slices.Sort(kinds)
	return kinds
}

// cli runs Pulumi's own commands as typed; an operator answers yes.
func (s *paperStack) cli(command string) (string, error) {
	s.t.Helper()
	path, err := build.Pulumi().Get(s.t.Context(), build.NewCache(build.NewProgress(&bytes.Buffer{})))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.shell("export PATH=" + filepath.Dir(path) + ":$PATH; " + command)
}
