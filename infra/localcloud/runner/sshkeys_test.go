//go:build machine

package runner_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"golang.org/x/crypto/ssh"

	"townsquare/infra"
	"townsquare/infra/localcloud/runner"
)

// operatorKey is an operator's public key, the same for the same name.
func operatorKey(t *testing.T, name string) string {
	t.Helper()
	public, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%032s", name)).Public())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))) + " " + name
}

// byPlace registers operators' keys as releases before 2026-12 did: named by their place in the list.
func byPlace(keys ...string) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		for i, key := range keys {
			name := fmt.Sprintf("townsquare-dev-key-%d", i+1)
			if _, err := do.NewSshKey(ctx, name, &do.SshKeyArgs{Name: pulumi.String(name), PublicKey: pulumi.String(key)}); err != nil {
				return err
			}
		}
		return nil
	}
}

// registered is what the present program registers.
func registered(name, hostKey string, keys ...string) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		c := &infra.Config{Name: name, HostKey: infra.HostKey{Public: hostKey}}
		for _, key := range keys {
			c.SSHKeys = append(c.SSHKeys, infra.SSHKey{Line: key})
		}
		_, err := infra.NewAccountKey(ctx, name, c)
		return err
	}
}

// A key is once in an account. A program that names keys by their place cannot drop the first of two; the
// present one takes over from it, changes no resource for another operator, and has a second stack beside it.
func TestOperatorsKeys(t *testing.T) {
	ada, grace, hedy, host := operatorKey(t, "ada"), operatorKey(t, "grace"), operatorKey(t, "hedy"), operatorKey(t, "host")
	var current pulumi.RunFunc
	var said bytes.Buffer
	stack := stackOf(t, newCloud(t, "keystest"), &said, func(ctx *pulumi.Context) error { return current(ctx) }, nil)
	defer stack.Close()
	up := func(program pulumi.RunFunc) (runner.Changes, error) {
		said.Reset()
		current = program
		return stack.Up(t.Context())
	}

	if _, err := up(byPlace(ada, grace)); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if _, err := up(byPlace(grace)); err == nil || !strings.Contains(said.String(), "SSH Key is already in use on your account") {
		t.Errorf("the account has a key twice: %v\n%s", err, said.String())
	}
	for _, step := range []struct {
		what    string
		program pulumi.RunFunc
		want    runner.Changes
	}{
		{"from keys by place", registered("dev", host, grace), runner.Changes{"create": 1, "delete": 1, "same": 1}},
		{"one in front", registered("dev", host, hedy, grace), runner.Changes{"same": 2}},
		{"another order and comment, another host key", registered("dev", operatorKey(t, "new"), grace+"@example.org", hedy), runner.Changes{"same": 2}},
		{"a second stack with the same operator and host key", func(ctx *pulumi.Context) error {
			return errors.Join(registered("dev", host, grace)(ctx), registered("prod", host, grace)(ctx))
		}, runner.Changes{"create": 1, "same": 2}},
	} {
		changes, err := up(step.program)
		if err != nil || !maps.Equal(changes, step.want) {
			t.Errorf("%s: %v %v, want %v\n%s", step.what, changes, err, step.want, said.String())
		}
	}
	if _, err := stack.Destroy(t.Context(), false); err != nil {
		t.Errorf("%v\n%s", err, said.String())
	}
}
