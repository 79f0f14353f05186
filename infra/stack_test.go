package infra

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); to accept it: go test ./infra -update\n%s", path, diff)
	}
}

// A stack is read in one list: type, name, what protects it. The golden files are that list.
func TestResources(t *testing.T) {
	stacks := map[string]map[string]string{
		"managed":     {},
		"local":       {"townsquare:database": "local", "townsquare:backups": "false"},
		"elsewhere":   {"townsquare:dns": "elsewhere", "townsquare:dropletBackups": "off"},
		"unprotected": {"townsquare:dns": "create", "townsquare:protect": "false"},
	}
	for name, changes := range stacks {
		t.Run(name, func(t *testing.T) {
			r, _ := deploy(t, changes)
			var lines []string
			for _, o := range r.all {
				line := fmt.Sprintf("%s %s", strings.TrimPrefix(o.Type, "digitalocean:index/"), o.Name)
				if o.Protect {
					line += " protected"
				}
				if len(o.IgnoreChanges) > 0 {
					line += " ignores:" + strings.Join(o.IgnoreChanges, ",")
				}
				lines = append(lines, line)
			}
			slices.Sort(lines)
			golden(t, "resources-"+name+".txt", strings.Join(lines, "\n")+"\n")
		})
	}
}

func TestEverythingWithDataIsProtected(t *testing.T) {
	r, _ := deploy(t, map[string]string{"townsquare:dns": "create"})
	l, _ := deploy(t, map[string]string{"townsquare:database": "local"})
	for _, kind := range []string{
		"droplet:Droplet", "volume:Volume", "reservedIp:ReservedIp", "vpc:Vpc", "domain:Domain",
		"databaseCluster:DatabaseCluster", "databaseDb:DatabaseDb", "databaseUser:DatabaseUser", "spacesBucket:SpacesBucket",
	} {
		found := append(r.of(kind), l.of(kind)...)
		if len(found) == 0 {
			t.Errorf("no %s", kind)
		}
		for _, o := range found {
			if !o.Protect {
				t.Errorf("%s %s is not protected", kind, o.Name)
			}
		}
	}
	if n := len(l.of("volume:Volume")); n != 2 {
		t.Errorf("with a local database there are %d volumes, want one for files and one for the database", n)
	}
	if r.one(t, "spacesBucket:SpacesBucket").Inputs["forceDestroy"].BoolValue() {
		t.Error("a protected bucket would be emptied when it is deleted")
	}
}

func TestNothingReplacesTheDroplet(t *testing.T) {
	r, _ := deploy(t, nil)
	droplet := r.one(t, "droplet:Droplet")
	want := []string{"image", "userData", "sshKeys", "monitoring", "dropletAgent"}
	if diff := cmp.Diff(want, droplet.IgnoreChanges); diff != "" {
		t.Errorf("changes that are ignored (-want +got):\n%s", diff)
	}
	if !droplet.DeleteFirst {
		t.Error("a rebuild would attach a volume to two droplets")
	}
	for key, want := range map[string]any{
		"image": "debian-13-x64", "size": "s-4vcpu-8gb", "region": "fra1", "ipv6": true, "monitoring": true,
		"backups": true, "dropletAgent": false, "resizeDisk": false, "vpcUuid": "townsquare-prod-vpc-id",
	} {
		if got := plain(droplet.Inputs[resourceKey(key)]); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if diff := cmp.Diff([]any{"townsquare-prod-files-id"}, plain(droplet.Inputs["volumeIds"])); diff != "" {
		t.Error(diff)
	}
}

// A shutdown may take as long as Mattermost and PostgreSQL need, and nothing is waited for for an hour.
func TestTimeouts(t *testing.T) {
	r, _ := deploy(t, nil)
	for kind, want := range map[string]pulumi.CustomTimeouts{
		"droplet:Droplet": {Create: "15m", Update: "30m", Delete: "10m"},
		"vpc:Vpc":         {Delete: "10m"},
	} {
		if diff := cmp.Diff(want, r.one(t, kind).Timeouts); diff != "" {
			t.Errorf("timeouts of %s (-want +got):\n%s", kind, diff)
		}
	}
}

func TestOnlyFourDoorsAreOpen(t *testing.T) {
	r, _ := deploy(t, map[string]string{"townsquare:sshFrom": `["203.0.113.0/24","2001:db8:7::/48"]`})
	firewall := r.one(t, "firewall:Firewall")
	var got []string
	for _, rule := range plain(firewall.Inputs["inboundRules"]).([]any) {
		m := rule.(map[string]any)
		got = append(got, fmt.Sprint(m["protocol"], " ", m["portRange"], " ", m["sourceAddresses"]))
	}
	want := []string{
		"tcp 22 [203.0.113.0/24 2001:db8:7::/48]", "tcp 80 [0.0.0.0/0 ::/0]",
		"tcp 443 [0.0.0.0/0 ::/0]", "udp 443 [0.0.0.0/0 ::/0]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("open to the world (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]any{4711.0}, plain(firewall.Inputs["dropletIds"])); diff != "" {
		t.Error(diff)
	}
}

func TestManagedDatabaseIsPrivate(t *testing.T) {
	r, out := deploy(t, map[string]string{"townsquare:maintenanceDay": "monday", "townsquare:maintenanceHour": "04:00"})
	cluster := r.one(t, "databaseCluster:DatabaseCluster").Inputs
	for key, want := range map[string]any{
		"engine": "pg", "version": "17", "size": "db-s-1vcpu-2gb", "nodeCount": 1.0, "region": "fra1",
		"privateNetworkUuid": "townsquare-prod-vpc-id",
	} {
		if got := plain(cluster[resourceKey(key)]); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	windows := plain(cluster["maintenanceWindows"])
	if diff := cmp.Diff([]any{map[string]any{"day": "monday", "hour": "04:00"}}, windows); diff != "" {
		t.Error(diff)
	}
	rules := plain(r.one(t, "databaseFirewall:DatabaseFirewall").Inputs["rules"])
	if diff := cmp.Diff([]any{map[string]any{"type": "droplet", "value": "4711"}}, rules); diff != "" {
		t.Errorf("who may connect (-want +got):\n%s", diff)
	}
	for name, user := range map[string]*url.Userinfo{
		"databaseUrl":      url.UserPassword("mattermost", "p@ss:word"),
		"databaseAdminUrl": url.UserPassword("doadmin", "admin/pass word"),
	} {
		u, err := url.Parse(out[name].value.(string))
		if err != nil {
			t.Fatal(err)
		}
		if u.User.String() != user.String() || u.Host != "private-db.example.com:25060" || u.Path != "/mattermost" {
			t.Errorf("%s is %s", name, u)
		}
		if q := u.Query(); q.Get("sslmode") != "verify-full" || q.Get("sslrootcert") != caPath {
			t.Errorf("%s does not verify whom it talks to: %s", name, u.RawQuery)
		}
	}
}

func TestBackupsArePrivate(t *testing.T) {
	r, out := deploy(t, map[string]string{"townsquare:region": "nyc1", "townsquare:backupKeepDays": "14"})
	bucket := r.one(t, "spacesBucket:SpacesBucket").Inputs
	if got := plain(bucket["acl"]); got != "private" {
		t.Errorf("acl is %v", got)
	}
	if diff := cmp.Diff(map[string]any{"enabled": true}, plain(bucket["versioning"])); diff != "" {
		t.Error(diff)
	}
	rule := plain(bucket["lifecycleRules"]).([]any)[0].(map[string]any)
	if diff := cmp.Diff(map[string]any{"days": 14.0}, rule["noncurrentVersionExpiration"]); diff != "" {
		t.Error(diff)
	}
	grants := plain(r.one(t, "spacesKey:SpacesKey").Inputs["grants"])
	want := []any{map[string]any{"bucket": "chat-example-org-backups", "permission": "readwrite"}}
	if diff := cmp.Diff(want, grants); diff != "" {
		t.Errorf("the key opens (-want +got):\n%s", diff)
	}
	if got := out["backupEndpoint"].value; got != "https://nyc3.digitaloceanspaces.com" {
		t.Errorf("endpoint is %v, want the region nearest to nyc1", got)
	}
}

func TestRecordsPointToTheReservedAddress(t *testing.T) {
	r, _ := deploy(t, nil)
	var got []string
	for _, o := range r.of("dnsRecord:DnsRecord") {
		got = append(got, fmt.Sprint(plain(o.Inputs["name"]), " ", plain(o.Inputs["type"]), " ", plain(o.Inputs["value"])))
	}
	want := []string{"chat A 198.51.100.7", "chat AAAA 2001:db8::7", "chat CAA letsencrypt.org."}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	e, out := deploy(t, map[string]string{"townsquare:dns": "elsewhere"})
	if n := len(e.of("dnsRecord:DnsRecord")); n != 0 {
		t.Errorf("%d records, though the zone is kept elsewhere", n)
	}
	lines := []string{
		"chat.example.org. 300 IN A 198.51.100.7", "chat.example.org. 300 IN AAAA 2001:db8::7",
		`chat.example.org. 300 IN CAA 0 issue "letsencrypt.org"`,
	}
	if diff := cmp.Diff(lines, out["dnsRecords"].value); diff != "" {
		t.Error(diff)
	}
}
