package infra

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

func resourceKey(s string) resource.PropertyKey { return resource.PropertyKey(s) }

// The mocks carry no outputs of other resources as secrets, so a value that came from one is looked
// for as text in everything that was registered in clear.
func TestNoSecretInClear(t *testing.T) {
	for _, changes := range []map[string]string{nil, {"townsquare:database": "local"}} {
		r, out := deploy(t, changes)
		secrets := []string{
			"correct horse battery staple", "secret-of-spaces", "admin/pass word", "p@ss:word", "spaces-secret",
			strings.Split(testHostKey(t), "\n")[1],
		}
		for _, o := range r.all {
			text := resource.NewProperty(withoutSecrets(o.Inputs)).String()
			for _, s := range secrets {
				if strings.Contains(text, s) {
					t.Errorf("%s %s has %q in clear", o.Type, o.Name, s)
				}
			}
		}
		for _, name := range []string{
			"databaseUrl", "databaseAdminUrl", "backupAccessKey", "backupSecretKey", "backupPassword",
		} {
			if !out[name].secret {
				t.Errorf("output %s is not a secret", name)
			}
		}
		for name, o := range out {
			for _, s := range secrets {
				if strings.Contains(fmt.Sprint(o.value), s) && !o.secret {
					t.Errorf("output %s shows a secret", name)
				}
			}
		}
	}
}

// withoutSecrets is the part of the inputs that the engine would store and show in clear.
func withoutSecrets(m resource.PropertyMap) resource.PropertyMap {
	clear := resource.PropertyMap{}
	for key, value := range m {
		if !value.ContainsSecrets() {
			clear[key] = value
		}
	}
	return clear
}

func TestUserDataHasNoSecretButTheHostKey(t *testing.T) {
	r, _ := deploy(t, nil)
	data := r.one(t, "droplet:Droplet").Inputs["userData"]
	if !data.ContainsSecrets() {
		t.Error("the user data, with the host key in it, is not a secret")
	}
	text := plain(data).(string)
	for _, s := range []string{"correct horse battery staple", "secret-of-spaces", "p@ss", "admin/pass", "postgres://"} {
		if strings.Contains(text, s) {
			t.Errorf("user data has %q in it: every process of the droplet can read it", s)
		}
	}
}

// The names are a contract with `upgrade`.
func TestOutputs(t *testing.T) {
	_, out := deploy(t, map[string]string{
		"townsquare:database": "local", "townsquare:backups": "false",
		"townsquare:releases": `{"key":"https://mirror.example.org/pubkey.gpg","fingerprint":"a1b31d46f0f3a10b02cf2d44f8f2c31744774b28"}`,
	})
	got := map[string]any{}
	for name, o := range out {
		got[name] = o.value
	}
	want := map[string]any{
		"format": 1, "url": "https://chat.example.org", "address": "198.51.100.7", "sshUser": "ops",
		"sshHostKey":       testConfig(t, nil).HostKey.Public,
		"operators":        []string{"SHA256:P0Q4DjM5OnLa/ZcB6EkMpl/sLn3O3XRcu+1CfhKX77o ops@example.org"},
		"databaseMode":     "local",
		"databaseUrl":      "postgres:///mattermost?host=/var/run/postgresql&user=mattermost",
		"databaseAdminUrl": "postgres:///mattermost?host=/var/run/postgresql&user=townsquare",
		"databaseCa":       "", "edition": "team", "track": "esr", "window": "",
		"freeze": []string{}, "securityWithin": "", "automatic": "patch", "timers": true, "notify": "",
		"releases": map[string]string{"archive": "", "policy": "", "github": "",
			"key": "https://mirror.example.org/pubkey.gpg", "fingerprint": "A1B31D46F0F3A10B02CF2D44F8F2C31744774B28"},
		"backupBucket": "", "backupEndpoint": "", "backupAccessKey": "", "backupSecretKey": "",
		"backupPassword": "correct horse battery staple",
		"backupKeep":     map[string]int{"last": 5, "daily": 7, "weekly": 5, "monthly": 12},
	}
	if got["host"] == nil { // its content is TestDesired's
		t.Error("no output host")
	}
	delete(got, "host")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Error(diff)
	}
}
