package provider

import (
	"context"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/ssh"
)

// SshKeyArgs are the inputs of digitalocean.SshKey.
type SshKeyArgs struct {
	Name      *string `pulumi:"name,optional"`
	PublicKey string  `pulumi:"publicKey"`
}

// SshKeyState is a registered key; droplets name it by id or fingerprint.
type SshKeyState struct {
	SshKeyArgs
	Fingerprint string `pulumi:"fingerprint"`
}

func newSshKeys(cloud *Cloud) infer.InferredResource {
	r := &resource[SshKeyArgs, SshKeyState]{cloud: cloud, name: "SshKey"}
	r.autoname = func(in *SshKeyArgs) **string { return &in.Name }
	r.check = func(in *SshKeyArgs) (failures []p.CheckFailure) {
		for property, given := range map[string]string{"name": value(in.Name), "publicKey": in.PublicKey} {
			if given == "" {
				failures = append(failures, fails(property, "must not be empty"))
			}
		}
		return failures
	}
	r.create = func(_ context.Context, in SshKeyArgs) (id string, state SshKeyState, err error) {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(in.PublicKey))
		if err != nil {
			return "", state, refused("public_key: Key invalid, it should be a public key in OpenSSH form")
		}
		state = SshKeyState{SshKeyArgs: in, Fingerprint: ssh.FingerprintLegacyMD5(key)}
		err = cloud.change(func(c *Contents) error {
			keys, err := all[SshKeyState](c, r.name)
			if err != nil {
				return err
			}
			for _, other := range keys {
				if other.Fingerprint == state.Fingerprint {
					return refused("SSH Key is already in use on your account")
				}
			}
			id = c.number()
			return c.put(r.name, id, state)
		})
		return id, state, err
	}
	return infer.Resource(r)
}

// authorizedKeys returns the public keys that a droplet's sshKeys name.
func authorizedKeys(c *Contents, names []string) ([]string, error) {
	keys, err := all[SshKeyState](c, "SshKey")
	if err != nil {
		return nil, err
	}
	var found []string
next:
	for _, name := range names {
		for id, key := range keys {
			if id == name || key.Fingerprint == name {
				found = append(found, strings.TrimSpace(key.PublicKey))
				continue next
			}
		}
		return nil, refused("%s are invalid key identifiers for Droplet creation", name)
	}
	return found, nil
}
