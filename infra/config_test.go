package infra

import (
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/ssh"
)

// testHostKey is a key in OpenSSH's format, which has random bytes in it: made once a run. It
// protects nothing.
func testHostKey(t *testing.T) string {
	t.Helper()
	text, err := makeTestHostKey()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

var makeTestHostKey = sync.OnceValues(func() (string, error) {
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed([]byte("townsquare tests: no host has it")), "")
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(block)), nil
})

const testSSHKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHfbs0vUWTEPDxbmPykCVkVU2LPX8u0FNr4SJr7sGJ5w ops@example.org"

// settings are a valid stack's, with changes: an empty value takes a key away.
func settings(t *testing.T, changes map[string]string) map[string]string {
	t.Helper()
	all := map[string]string{
		"townsquare:domain":            "example.org",
		"townsquare:region":            "fra1",
		"townsquare:sshKeys":           `["` + testSSHKey + `"]`,
		"townsquare:sshFrom":           `["203.0.113.0/24"]`,
		"townsquare:hostKey":           testHostKey(t),
		"townsquare:alertEmails":       `["ops@example.org"]`,
		"townsquare:backupPassword":    "correct horse battery staple",
		"digitalocean:spacesAccessId":  "access",
		"digitalocean:spacesSecretKey": "secret-of-spaces",
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
}

var testSecrets = []string{"townsquare:hostKey", "townsquare:backupPassword", "digitalocean:spacesAccessId", "digitalocean:spacesSecretKey"}

func testSource(all map[string]string) source {
	return source{
		get:    func(key string) (string, bool) { v, ok := all[key]; return v, ok },
		secret: func(key string) bool { return slices.Contains(testSecrets, key) },
		keys:   slices.Sorted(maps.Keys(all)),
		env:    func(string) string { return "" },
	}
}

func testConfig(t *testing.T, changes map[string]string) *Config {
	t.Helper()
	c, err := parse(testSource(settings(t, changes)), "prod")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExamplesAreComplete(t *testing.T) {
	prod := readStackFile(t, "../Pulumi.prod.yaml")
	secrets := map[string]string{
		"townsquare:hostKey": testHostKey(t), "townsquare:backupPassword": "correct horse battery staple",
		"digitalocean:spacesAccessId": "a", "digitalocean:spacesSecretKey": "b",
	}
	maps.Copy(prod, secrets)
	if _, err := parse(testSource(prod), "prod"); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile("../Pulumi.prod.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range Keys() {
		if !strings.Contains(string(text), "townsquare:"+key) {
			t.Errorf("Pulumi.prod.yaml does not explain %s", key)
		}
	}

	dev := readStackFile(t, "../Pulumi.dev.yaml")
	maps.Copy(dev, secrets)
	dev["townsquare:sshKeys"] = `["` + testSSHKey + `"]`
	if _, err := parse(testSource(dev), "dev"); err != nil {
		t.Error(err)
	}
}

// readStackFile gives the settings as the engine does: anything but a text as JSON.
func readStackFile(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for key, value := range file.Config {
		if s, ok := value.(string); ok {
			all[key] = s
			continue
		}
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		all[key] = string(data)
	}
	return all
}

func TestOneWrongSetting(t *testing.T) {
	key := func(bits string) string { return `["` + bits + `"]` }
	tests := []struct{ key, value, wrong string }{
		{"domain", "", `townsquare:domain: is not set`},
		{"domain", "Example.org", `"Example.org" is not a domain name`},
		{"domain", "localhost", `"localhost" is not a domain name`},
		{"domain", "exa mple.org", `is not a domain name`},
		{"domain", "-a.example.org", `is not a domain name`},
		{"domain", "10.0.0.1", `is not a domain name`},
		{"host", "chat_1", `"chat_1" is not a host name`},
		{"host", "chat..x", `is not a host name`},
		{"dns", "route53", `allowed: create, existing, elsewhere`},
		{"name", "Town", `cannot name a resource`},
		{"name", "town--square", `cannot name a resource`},
		{"region", "", `townsquare:region: is not set`},
		{"region", "fra9", `"fra9" is not known`},
		{"size", "s-1vcpu-1gb", `"s-1vcpu-1gb" has too little memory`},
		{"image", "ubuntu-24-04-x64", `allowed: debian-13-x64`},
		{"vpcRange", "10.20.0.0", `is not an address range`},
		{"vpcRange", "10.20.0.5/24", `is not the first address of its range (10.20.0.0/24)`},
		{"vpcRange", "8.8.8.0/24", `cannot be a VPC's range`},
		{"vpcRange", "10.0.0.0/8", `cannot be a VPC's range`},
		{"sshKeys", "", `townsquare:sshKeys: is not set`},
		{"sshKeys", "[]", `townsquare:sshKeys: is not set`},
		{"sshKeys", "ssh-ed25519 AAAA", `is not a list`},
		{"sshKeys", key("ssh-ed25519 AAAA"), `townsquare:sshKeys[0]: "ssh-ed25519 AAAA" is not a public key`},
		{"sshKeys", key("no-pty " + testSSHKey), `is not a public key`},
		{"sshKeys", "-----BEGIN OPENSSH PRIVATE KEY-----b3Bl", `townsquare:sshKeys: "(a private key)" is not a list`},
		{"sshKeys", key("-----BEGIN OPENSSH PRIVATE KEY-----"), `"(a private key)" is a private key`},
		{"sshKeys", `["` + testSSHKey + `","` + testSSHKey + ` again"]`, `townsquare:sshKeys[1]:`},
		{"sshFrom", "", `townsquare:sshFrom: is not set`},
		{"sshFrom", `["203.0.113.7"]`, `203.0.113.7/32 for this address alone`},
		{"sshFrom", `["203.0.113.7/24"]`, `(203.0.113.0/24)`},
		{"sshFrom", `["office"]`, `townsquare:sshFrom[0]: "office" is not an address range`},
		{"sshFrom", `["203.0.113.0/24","203.0.113.0/24"]`, `townsquare:sshFrom[1]: "203.0.113.0/24" is there twice`},
		{"hostKey", "", `scripts/new-host-key.sh`},
		{"hostKey", "not a key", `townsquare:hostKey: cannot be used`},
		{"database", "mysql", `allowed: managed, local`},
		{"databaseSize", "db-s-99vcpu", `"db-s-99vcpu" is not known`},
		{"databaseNodes", "9", `"9" is out of range`},
		{"databaseNodes", "two", `"two" is not a whole number`},
		{"databaseVersion", "99", `allowed: 15, 16, 17`},
		{"databaseVolumeGB", "20", `is set, but the database is managed`},
		{"maintenanceDay", "someday", `"someday" is not known`},
		{"maintenanceHour", "3am", `"3am" is not an hour`},
		{"maintenanceHour", "03:30", `is not an hour`},
		{"volumeGB", "5", `allowed: 10 to 16384`},
		{"dropletBackups", "hourly", `allowed: off, weekly, daily`},
		{"backups", "yes", `is neither true nor false`},
		{"backupRegion", "nyc1", `"nyc1" is not known`},
		{"backupBucket", "My_Bucket", `cannot name a bucket`},
		{"backupKeepDays", "0", `allowed: 1 to 3650`},
		{"backupPassword", "", `scripts/new-backup-password.sh`},
		{"backupPassword", "short", `is too short`},
		{"alertEmails", "", `townsquare:alertEmails: is not set`},
		{"alertEmails", `["nobody"]`, `townsquare:alertEmails[0]: "nobody" is not an e-mail address`},
		{"alertEmails", `["Ops <ops@example.org>"]`, `is not an e-mail address`},
		{"acmeEmail", "x@localhost", `is not an e-mail address`},
		{"acmeDirectory", "http://acme.example.org/dir", `begins with https://`},
		{"acmeDirectory", "https://acme.example.org/{env.HOME}", `is not such an address`},
		{"caa", `["Lets Encrypt"]`, `townsquare:caa[0]:`},
		{"edition", "gold", `allowed: team, enterprise`},
		{"track", "11", `"11" is not a track`},
		{"backupKeep", `{"daily":0}`, `is out of range`},
		{"backupKeep", `{"last":-1,"daily":7}`, `is out of range`},
		{"backupKeep", `{"yearly":1}`, `cannot be read`},
		{"window", "at night", `"at night" is not a time window`},
		{"window", "Sun 02:00-02:00", `is empty`},
		{"window", "Sun 02:00-04:00 Europe/Atlantis", `time zone that does not exist, "Europe/Atlantis"`},
		{"freeze", `["2027-01-06..2026-12-20"]`, `townsquare:freeze[0]: "2027-01-06..2026-12-20" ends before it begins`},
		{"freeze", `Christmas`, `is not a list`},
		{"securityWithin", "three days", `allowed: 1h to 2160h`},
		{"automatic", "all", `allowed: patch, minor, any`},
		{"timers", "yes", `is neither true nor false`},
		{"notify", `{"mattermost":"https://chat.example.org/hooks/k"}`, `is in the stack's file in clear`},
		{"releases", "https://mirror", `cannot be read`},
		{"releases", `{"arhcive":"https://a.example.org/"}`, `cannot be read`},
		{"releases", `{"archive":"ftp://a.example.org/"}`, `townsquare:releases.archive: "ftp://a.example.org/"`},
		{"releases", `{"key":"https://a.example.org/k"}`, `has a key without its fingerprint`},
		{"environment", "prod", `allowed: Production, Staging, Development`},
		{"protect", "maybe", `is neither true nor false`},
		{"colour", "red", `townsquare:colour: is not a key of this program`},
	}
	for _, test := range tests {
		t.Run(test.key+"="+test.value, func(t *testing.T) {
			_, err := parse(testSource(settings(t, map[string]string{"townsquare:" + test.key: test.value})), "prod")
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("accepted: %v", err)
			}
			if len(problems) != 1 || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("got:\n%v\nwant one problem with: %s", err, test.wrong)
			}
			for _, p := range problems {
				if p.Allowed == "" || p.Type == "" {
					t.Errorf("does not say what is allowed and what to type: %+v", p)
				}
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	all := settings(t, map[string]string{
		"townsquare:domain": "x", "townsquare:size": "tiny", "townsquare:sshFrom": "[]", "townsquare:database": "local",
		"townsquare:maintenanceHour": "25:00", "digitalocean:spacesAccessId": "", "townsquare:sise": "s-4vcpu-8gb",
	})
	_, err := parse(testSource(all), "prod")
	if err == nil {
		t.Fatal("accepted")
	}
	golden(t, "problems.txt", err.Error()+"\n")
}

func TestSecretsMustBeSecret(t *testing.T) {
	src := testSource(settings(t, nil))
	src.secret = func(string) bool { return false }
	_, err := parse(src, "prod")
	if err == nil {
		t.Fatal("accepted")
	}
	for _, key := range testSecrets {
		if !strings.Contains(err.Error(), key+": is in the stack's file in clear") {
			t.Errorf("says nothing of %s:\n%v", key, err)
		}
	}
	for _, s := range []string{"correct horse", "secret-of-spaces", "BEGIN"} {
		if strings.Contains(err.Error(), s) {
			t.Errorf("the message has %q in it", s)
		}
	}
}

func TestTooManyKeysForUserData(t *testing.T) {
	var keys []string
	for i := range 800 {
		public, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%032d", i)).Public())
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))))
	}
	list, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parse(testSource(settings(t, map[string]string{"townsquare:sshKeys": string(list)})), "prod")
	if err == nil || !strings.Contains(err.Error(), "65536 bytes in all") {
		t.Errorf("user data over the limit: %v", err)
	}
}

func TestDefaults(t *testing.T) {
	c := testConfig(t, map[string]string{"townsquare:acmeDirectory": "https://ca.example.org/dir"})
	if len(c.CAA) != 0 {
		t.Errorf("with an authority of one's own CAA is %v: it would forbid it", c.CAA)
	}
	c = testConfig(t, map[string]string{"townsquare:region": "atl1", "townsquare:host": "@"})
	if c.BackupRegion != "atl1" || c.BackupBucket != "example-org-backups" || c.URL() != "https://example.org" {
		t.Errorf("got %s, %s, %s", c.BackupRegion, c.BackupBucket, c.URL())
	}
}

// A window, as many as an operator may need, is what upgrade takes too; see its schedule package.
func TestWindows(t *testing.T) {
	for _, text := range []string{"daily 02:00-04:00", "Sun 03:00-05:00 Europe/Berlin", "Sat 00:00-24:00",
		"Mon-Fri 23:00-02:00; Sat,Sun 01:00-06:00,13:00-14:00 America/New_York"} {
		if wrong, _ := checkWindow(text); wrong != "" {
			t.Errorf("%q %s", text, wrong)
		}
	}
	for _, text := range []string{"Sunday 02:00-04:00", "Sun 02:00-25:00", "Sun 02:00-04:00;", "Sun 02:00-04:00 Local", "Sun 02:00-04:00 ../../etc/passwd"} {
		if wrong, _ := checkWindow(text); wrong == "" {
			t.Errorf("%q is taken for a window", text)
		}
	}
}

// Nothing of what a secret holds is in what is said about it.
func TestNotify(t *testing.T) {
	read := func(value string) (string, Problems) {
		src := testSource(map[string]string{"townsquare:notify": value})
		src.secret = func(string) bool { return true }
		r := &reader{source: src}
		return r.notify("notify"), r.problems
	}
	good := `{"announce":"10m","email":["ops@example.org"],"mattermost":"https://chat.example.org/hooks/abcdefgh","webhook":"http://127.0.0.1/x","heartbeat":{"check":"https://hc-ping.com/abcdefgh","backup":"https://hc-ping.com/abcdefgh?x=1","fail":"/fail"}}`
	if got, problems := read(good); got != good || len(problems) > 0 {
		t.Errorf("%q, %v", got, problems)
	}
	for _, value := range []string{`{"mattermost":"http://chat.example.org/hooks/abcdefgh"}`, `{"slack":"https://abcdefgh"}`, `"abcdefgh"`,
		`{"announce":"2h"}`, `{"late":"1h"}`, `{"email":["nobody"]}`, `{"webhook":"https://u:abcdefgh@example.org/"}`,
		`{"heartbeat":{"check":"http://hc-ping.com/abcdefgh"}}`, `{"heartbeat":{"backup":"abcdefgh"}}`, `{"heartbeat":{"fail":"fail"}}`, `{"heartbeat":{"url":"https://abcdefgh"}}`} {
		if _, problems := read(value); len(problems) != 1 || strings.Contains(problems.Error(), "abcdefgh") {
			t.Errorf("%s: %v", value, problems)
		}
	}
}
