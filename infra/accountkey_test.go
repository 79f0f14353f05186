package infra

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Another operator, another order or another comment changes no resource.
func TestOperatorsAreNoResources(t *testing.T) {
	registered := func(stack, keys string) string {
		r, _ := deploy(t, map[string]string{"townsquare:name": stack, "townsquare:sshKeys": keys})
		key := r.one(t, "sshKey:SshKey")
		if !slices.Contains(key.IgnoreChanges, "publicKey") {
			t.Error("another host key would replace the registered key")
		}
		return plain(key.Inputs["publicKey"]).(string)
	}
	const other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKv9Ck8L3v0ZcW2yD2fYq0f0jM1kq5m1o5eWcXo0pF3d"
	one := registered("townsquare-prod", `["`+testSSHKey+`"]`)
	if same := registered("townsquare-prod", `["`+other+`","`+testSSHKey+`"]`); same != one {
		t.Errorf("registered %s, was %s", same, one)
	}
	if again := registered("townsquare-test", `["`+testSSHKey+`"]`); again == one {
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
