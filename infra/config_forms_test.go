package infra

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
)

// typed are the settings of a stack's file as the engine hands them over, on top of a valid stack's.
func typed(t *testing.T, lines string) source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Pulumi.prod.yaml")
	if err := os.WriteFile(path, []byte("config:\n"+lines), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := workspace.LoadProjectStack(nil, &workspace.Project{Name: namespace}, path)
	if err != nil {
		t.Fatal(err)
	}
	given, err := file.Config.Decrypt(config.NopDecrypter)
	if err != nil {
		t.Fatal(err)
	}
	all := settings(t, nil)
	for key, value := range given {
		all[key.String()] = value
	}
	src := testSource(all)
	src.numbers = numbersOf(path)
	return src
}

// Every form in which YAML may give a setting is understood, or refused in words that fit.
func TestForms(t *testing.T) {
	for _, test := range []struct {
		lines string
		want  map[string]any // fields; nil: refused
		wrong string
	}{
		{"  townsquare:track: \"11.10\"\n", map[string]any{"Track": "11.10"}, ""},
		{"  townsquare:track: 11.7\n", map[string]any{"Track": "11.7"}, ""},
		{"  townsquare:track: 11.10\n", nil, `townsquare:track: "11.10" has no quotes, and YAML makes 11.1 of it
    allowed: the same in quotes
    type:    pulumi config set townsquare:track 11.10`},
		{"  track: 11.10 # without a namespace\n", nil, `townsquare:track: "11.10" has no quotes`},
		{"  townsquare:track: !!str 11.10\n", map[string]any{"Track": "11.10"}, ""},
		{"  townsquare:volumeGB: 50\n  townsquare:backupKeepDays: \"14\"\n", map[string]any{"VolumeGB": 50, "BackupKeepDays": 14}, ""},
		{"  townsquare:volumeGB: 1_000\n  townsquare:backupKeepDays: 1e1\n", map[string]any{"VolumeGB": 1000, "BackupKeepDays": 10}, ""},
		{"  townsquare:volumeGB: 050\n", nil, "type:    pulumi config set townsquare:volumeGB 50"},
		{"  townsquare:volumeGB: 50.5\n", nil, `"50.5" is not a whole number`},
		{"  townsquare:databaseVersion: 16\n", map[string]any{"DatabaseVersion": "16"}, ""},
		{"  townsquare:maintenanceHour: 03:00\n", map[string]any{"MaintenanceHour": "03:00"}, ""},
		{"  townsquare:maintenanceHour: 3\n", nil, `"3" is not an hour`},
		{"  townsquare:securityWithin: 72\n", nil, `allowed: 1h to 2160h`},
		{"  townsquare:freeze: [2026-12-24, \"2026-12-25\", 2026-12-20..2027-01-06]\n",
			map[string]any{"Freeze": []string{"2026-12-24", "2026-12-25", "2026-12-20..2027-01-06"}}, ""},
		{"  townsquare:freeze: ['2026-12-24 00:00:00 +0000 UTC'] # after a pulumi config set\n", map[string]any{"Freeze": []string{"2026-12-24"}}, ""},
		{"  townsquare:freeze: 2026-12-24\n", map[string]any{"Freeze": []string{"2026-12-24"}}, ""},
		{"  townsquare:freeze: [2026-12-24, '2026-12-24']\n", nil, `"2026-12-24" is there twice`},
		{"  townsquare:backups: True\n  townsquare:timers: no\n  townsquare:protect: \"FALSE\"\n", map[string]any{"Backups": true, "Timers": false, "Protect": false}, ""},
		{"  townsquare:timers: Off\n  townsquare:protect: 'on'\n", map[string]any{"Timers": false, "Protect": true}, ""},
		{"  townsquare:timers: 1\n", nil, `"1" is neither true nor false`},
		{"  townsquare:dropletBackups: off\n", map[string]any{"DropletBackups": "off"}, ""},
		{"  townsquare:track: null\n  townsquare:volumeGB:\n  townsquare:freeze: ~\n", map[string]any{"Track": "esr", "VolumeGB": 50, "Freeze": []string(nil)}, ""},
		{"  townsquare:alertEmails: Ops@example.org\n", map[string]any{"AlertEmails": []string{"Ops@example.org"}, "ACMEEmail": "Ops@example.org"}, ""},
		{"  townsquare:sshFrom: |\n    203.0.113.0/24\n    2001:0DB8:7:0::/48\n", map[string]any{"SSHFrom": []string{"203.0.113.0/24", "2001:db8:7::/48"}}, ""},
		{"  townsquare:sshFrom: [10]\n", nil, `townsquare:sshFrom[0]: "10" is not an address range`},
		{"  townsquare:backupKeep: {daily: \"7\", weekly: 4, monthly: null}\n", map[string]any{"BackupKeep": Keep{Last: 5, Daily: 7, Weekly: 4}}, ""},
		{"  townsquare:backupKeep: {daily: seven}\n", nil, `cannot be read`},
		{"  townsquare:domain: Example.ORG.\n  townsquare:host: Chat.Example.org\n", map[string]any{"Domain": "example.org", "Host": "chat"}, ""},
		{"  townsquare:domain: https://example.org/\n  townsquare:host: https://talk.example.org\n", map[string]any{"Domain": "example.org", "Host": "talk"}, ""},
		{"  townsquare:host: example.org\n", map[string]any{"Host": "@"}, ""},
		{"  townsquare:host: https://chat.example.org:8443/x\n", nil, `is not a host name`},
		{"  townsquare:caa: [Letsencrypt.org.]\n", map[string]any{"CAA": []string{"letsencrypt.org"}}, ""},
	} {
		t.Run(strings.ReplaceAll(test.lines, "\n", ";"), func(t *testing.T) {
			c, err := parse(typed(t, test.lines), "prod")
			if test.want == nil {
				var problems Problems
				if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("got %v, want one problem with %s", err, test.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for field, want := range test.want {
				if diff := cmp.Diff(want, reflect.ValueOf(*c).FieldByName(field).Interface()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", field, diff)
				}
			}
			if len(c.warnings) > 0 {
				t.Errorf("warnings: %v", c.warnings)
			}
		})
	}
}

// A file that the engine did not take is no reason to refuse anything.
func TestNumbersOfAnotherFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Pulumi.prod.yaml")
	src := testSource(settings(t, map[string]string{"townsquare:volumeGB": "20", "townsquare:track": "11.7"}))
	for _, text := range []string{"config:\n  townsquare:volumeGB: 10\n  townsquare:track: 11.10\n", "config: [", ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		src.numbers = numbersOf(path)
		if _, err := parse(src, "prod"); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	if numbers := numbersOf(path + ".missing"); len(numbers) != 0 {
		t.Errorf("numbers of no file: %v", numbers)
	}
}

// The engine writes a number back as it understood it: then a warning is all that is left.
func TestTrackThatLostItsZero(t *testing.T) {
	c, err := parse(typed(t, "  townsquare:track: \"11.1\"\n"), "prod")
	if err != nil || len(c.warnings) != 1 || !strings.Contains(c.warnings[0], "pulumi config set townsquare:track 11.10") {
		t.Errorf("warnings %+v, %v", c, err)
	}
}

// A default that is made from the stack's name or another setting is judged as if it were typed.
func TestDefaultsAreJudged(t *testing.T) {
	for stack, want := range map[string]string{
		"my_stack":              `townsquare:name: is not set, and its default "townsquare-my_stack" cannot name a resource`,
		"prod.eu":               `pulumi config set townsquare:name townsquare-prod-eu`,
		strings.Repeat("a", 30): `up to 40`,
	} {
		_, err := parse(testSource(settings(t, nil)), stack)
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("stack %s: %v, want one problem with %s", stack, err, want)
		}
	}
	if _, err := parse(testSource(settings(t, map[string]string{"townsquare:name": "talk"})), "my_stack"); err != nil {
		t.Error(err)
	}
	c := testConfig(t, map[string]string{"townsquare:domain": "abcdefghij.abcdefghij.abcdefghij.abcdefghi.example.org"})
	if wrong, _ := checkBucket(c.BackupBucket); wrong != "" || !strings.HasSuffix(c.BackupBucket, "-example-org-backups") {
		t.Errorf("the default bucket %s %s", c.BackupBucket, wrong)
	}
}

// The provider takes the token from the environment, too.
func TestToken(t *testing.T) {
	all := settings(t, map[string]string{"digitalocean:token": ""})
	if _, err := parse(testSource(all), "prod"); err == nil || !strings.Contains(err.Error(), "pulumi config set --secret digitalocean:token") {
		t.Errorf("without a token: %v", err)
	}
	for _, name := range []string{"DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"} {
		src := testSource(all)
		src.env = func(asked string) string { return map[string]string{name: "t"}[asked] }
		if _, err := parse(src, "prod"); err != nil {
			t.Errorf("with %s: %v", name, err)
		}
	}
}

// Commands that remove an item are pasted one after the other: the last item goes first.
func TestDuplicatesGoFromTheEnd(t *testing.T) {
	for key, item := range map[string]string{"sshFrom": "203.0.113.0/24", "sshKeys": testSSHKey} {
		_, err := parse(testSource(settings(t, map[string]string{"townsquare:" + key: `["` + item + `","` + item + `","` + item + `"]`})), "prod")
		var problems Problems
		if !errors.As(err, &problems) || len(problems) != 2 || problems[0].Type != "pulumi config rm --path 'townsquare:"+key+"[2]'" ||
			problems[1].Type != "pulumi config rm --path 'townsquare:"+key+"[1]'" {
			t.Errorf("%v", err)
		}
	}
}
