package infra

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Another operator, another order or another comment changes what the server is told, and no resource.
func TestOperatorsAreNoResources(t *testing.T) {
	registered := func(stack, keys string) (public, operators string) {
		r, out := deploy(t, map[string]string{"townsquare:name": stack, "townsquare:sshKeys": keys})
		key := r.one(t, "sshKey:SshKey")
		if !slices.Contains(key.IgnoreChanges, "publicKey") {
			t.Error("another host key would replace the registered key")
		}
		if host := out["host"]; !host.secret {
			t.Error("the engine would show all of host")
		}
		return plain(key.Inputs["publicKey"]).(string), strings.Join(out["operators"].value.([]string), "\n")
	}
	const other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKv9Ck8L3v0ZcW2yD2fYq0f0jM1kq5m1o5eWcXo0pF3d"
	one, operators := registered("townsquare-prod", `["`+testSSHKey+`"]`)
	if operators != "SHA256:P0Q4DjM5OnLa/ZcB6EkMpl/sLn3O3XRcu+1CfhKX77o ops@example.org" {
		t.Errorf("operators: %s", operators)
	}
	same, operators := registered("townsquare-prod", `["`+other+`","`+testSSHKey+`"]`)
	if same != one || strings.Count(operators, "SHA256:") != 2 {
		t.Errorf("registered %s, was %s; operators %s", same, one, operators)
	}
	if again, _ := registered("townsquare-test", `["`+testSSHKey+`"]`); again == one {
		t.Error("two stacks of an account register the same key")
	}
	if c := testConfig(t, nil); strings.Contains(one, strings.Fields(c.HostKey.Public)[1]) || strings.Contains(one, strings.Fields(testSSHKey)[1]) {
		t.Errorf("the registered key has a private half: %s", one)
	}
}

func TestLockedKeyIsOnTheCurve(t *testing.T) {
	on := 0
	for i := range 200 {
		encoded := [32]byte{}
		copy(encoded[:], ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%032d", i)).Public().(ed25519.PublicKey))
		encoded[31] &= 0x7f
		if !onCurve(encoded) {
			t.Fatalf("key %d of a real key pair is not on the curve", i)
		}
		encoded[0]++
		if onCurve(encoded) {
			on++
		}
	}
	if on < 60 || on > 140 {
		t.Errorf("%d of 200 other points are on the curve, want about half", on)
	}
}

// A file of an earlier release is understood.
func TestRetired(t *testing.T) {
	c := testConfig(t, map[string]string{"townsquare:sshKeysInAccount": "true"})
	if len(c.warnings) != 1 || !strings.Contains(c.warnings[0], "pulumi config rm townsquare:sshKeysInAccount") {
		t.Errorf("warnings %v", c.warnings)
	}
}
