package infra

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math/big"
	"slices"
	"strings"

	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"golang.org/x/crypto/ssh"
)

// NewAccountKey registers the one SSH key that a droplet has to be made with: without any, DigitalOcean sets
// a password for root and sends it by e-mail. The key opens nothing; operators' keys are in user data and in
// the output "host", so that another operator changes no resource. DigitalOcean's API takes a key once in an
// account, and operators often have theirs there.
//
// Another host key makes no other account key: a droplet that is rebuilt needs the registered one.
func NewAccountKey(ctx *pulumi.Context, name string, c *Config, opts ...pulumi.ResourceOption) (*do.SshKey, error) {
	public, err := lockedKey(c.Name + " " + c.HostKey.Public)
	if err != nil {
		return nil, err
	}
	child := name + "-no-login"
	return do.NewSshKey(ctx, child, &do.SshKeyArgs{Name: pulumi.String(child), PublicKey: pulumi.String(public)},
		append(opts, pulumi.IgnoreChanges([]string{"publicKey"}))...)
}

// lockedKey returns the public half of an ed25519 key whose private half is not known to anyone: its point is
// a hash, the same for the same seed. The host key would do as well for DigitalOcean, but its private half is
// on the server, and would open every other droplet that is made with all keys of the account.
func lockedKey(seed string) (string, error) {
	for i := 0; ; i++ {
		point := sha256.Sum256(fmt.Appendf(nil, "townsquare account key %d %s", i, seed))
		point[31] &= 0x7f // the sign of x: any
		if !onCurve(point) {
			continue // half of all hashes
		}
		public, err := ssh.NewPublicKey(ed25519.PublicKey(point[:]))
		if err != nil {
			return "", err
		}
		return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))) + " opens-nothing", nil
	}
}

// onCurve reports whether an encoded y has an x with -x² + y² = 1 + d x² y². Source: RFC 8032, 5.1.3.
func onCurve(encoded [32]byte) bool {
	slices.Reverse(encoded[:])
	one, y := big.NewInt(1), new(big.Int).SetBytes(encoded[:])
	p := new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	d := new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), p))
	y2 := new(big.Int).Mul(y, y)
	u := new(big.Int).Sub(y2, one)
	v := new(big.Int).Add(new(big.Int).Mul(d, y2), one)
	return big.Jacobi(u.Mul(u, v).Mod(u, p), p) == 1 // x² = u/v, and u/v is a square where u·v is
}
