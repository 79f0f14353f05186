// Package spaces is the cloud's object storage: a real S3 server, versitygw, and what the owner of
// the account does with it through its API. What DigitalOcean's has and this server has not, rules
// for the lives of objects, is recorded by the provider only: no local cloud lives that long.
package spaces

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/google/renameio/v2"

	"townsquare/infra/localcloud/network"
)

// Domain is where the regions' endpoints are: fra1.spaces.townsquare.test. One server has them all.
const Domain = "spaces." + network.Zone

// region is what requests are signed for; clients of DigitalOcean's that name none sign for it.
const region = "us-east-1"

// Key is an access key.
type Key struct {
	ID, Secret string
}

// KeyFiles are where the key with full access is kept: its id, and its secret half.
func KeyFiles(cloud *network.Cloud) (id, secret string) {
	secrets := filepath.Join(cloud.Dir, "secrets")
	return filepath.Join(secrets, "spaces-id"), filepath.Join(secrets, "spaces-key")
}

// FullKey is the key with full access to the cloud's buckets, made now if there is none.
func FullKey(cloud *network.Cloud) (Key, error) {
	var key Key
	id, secret := KeyFiles(cloud)
	if err := os.MkdirAll(filepath.Dir(id), 0o700); err != nil {
		return Key{}, fmt.Errorf("make the key to all buckets: %w", err)
	}
	for path, half := range map[string]*string{id: &key.ID, secret: &key.Secret} {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			text = newSecret()
			err = renameio.WriteFile(path, text, 0o600)
		}
		if err != nil {
			return Key{}, fmt.Errorf("make the key to all buckets: %w", err)
		}
		*half = string(text)
	}
	return key, nil
}

func newSecret() []byte {
	random := make([]byte, 32)
	rand.Read(random) // never fails
	return hex.AppendEncode(nil, random)
}

// Server is the command that serves the cloud's buckets, with TLS by a certificate and its key. It
// has to be started in the cloud's network. Of its arguments, mark is in no other command's.
func Server(cloud *network.Cloud, program string, certificate, certificateKey []byte) (cmd *exec.Cmd, mark string, err error) {
	key, err := FullKey(cloud)
	if err != nil {
		return nil, "", err
	}
	dir := filepath.Join(cloud.Dir, "spaces")
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"buckets", "versions", "keys"} {
		if err := os.MkdirAll(path(name), 0o700); err != nil {
			return nil, "", err
		}
	}
	for name, data := range map[string][]byte{"server.pem": certificate, "server.key": certificateKey} {
		if err := os.WriteFile(path(name), data, 0o600); err != nil {
			return nil, "", err
		}
	}
	cmd = exec.Command(program, "--port", network.Spaces.String()+":443", "--region", region, "--quiet", "--keep-alive",
		"--cert", path("server.pem"), "--key", path("server.key"),
		// A key that is taken back must not live on in a cache.
		"--iam-dir", path("keys"), "--iam-cache-disable",
		"posix", "--versioning-dir", path("versions"), path("buckets"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+key.ID, "ROOT_SECRET_ACCESS_KEY="+key.Secret)
	return cmd, path("buckets"), nil
}
