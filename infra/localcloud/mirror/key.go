package mirror

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"townsquare/infra/localcloud/build"
)

// Files of the cache's entry for keys. The private halves are readable by their owner only.
const (
	keyPrivate     = "signing.key"   // signs releases
	keyPublic      = "pubkey.gpg"    // armored, as the vendor's
	keyExpired     = "expired.gpg"   // the same key, whose validity has ended
	keyOther       = "other.key"     // another vendor's
	keyFingerprint = "fingerprint"   // of the signing key, 40 hexadecimal digits
	keyName        = "Release Build" // of the user ID
)

// keyCreated is before the oldest release, so that a signature can carry its release's date.
var keyCreated = time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)

// expiredAfter ends the validity of the expired variant on the day on which the vendor's own key once ended.
var expiredAfter = uint32(time.Date(2024, 4, 7, 0, 0, 0, 0, time.UTC).Sub(keyCreated) / time.Second)

func keyEntry() build.Entry {
	return build.Entry{
		Kind: "mirror", Name: "keys", Key: build.Key("rsa3072", "1"), What: "test keys",
		Why:  "releases in the local cloud are signed by a key of its own",
		Make: func(_ context.Context, dir string, _ *build.Step) (string, error) { return makeKeys(dir) },
	}
}

// makeKeys returns the fingerprint.
func makeKeys(dir string) (string, error) {
	signing, err := newKey("releases@townsquare.test")
	if err != nil {
		return "", err
	}
	other, err := newKey("somebody@else.test")
	if err != nil {
		return "", err
	}
	fingerprint := fmt.Sprintf("%X", signing.PrimaryKey.Fingerprint)
	var private, otherPrivate, public, expired bytes.Buffer
	if err := signing.SerializePrivate(&private, nil); err != nil {
		return "", err
	}
	if err := other.SerializePrivate(&otherPrivate, nil); err != nil {
		return "", err
	}
	if err := writePublic(&public, signing); err != nil {
		return "", err
	}
	if err := expire(signing); err != nil {
		return "", err
	}
	if err := writePublic(&expired, signing); err != nil {
		return "", err
	}
	for name, text := range map[string][]byte{
		keyPrivate: private.Bytes(), keyOther: otherPrivate.Bytes(), keyPublic: public.Bytes(),
		keyExpired: expired.Bytes(), keyFingerprint: []byte(fingerprint + "\n"),
	} {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".key") {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, mode); err != nil {
			return "", err
		}
	}
	return fingerprint, nil
}

func newKey(email string) (*openpgp.Entity, error) {
	return openpgp.NewEntity(keyName, "test key of the local cloud", email, &packet.Config{
		Algorithm: packet.PubKeyAlgoRSA, RSABits: 3072, DefaultHash: crypto.SHA256,
		Time: func() time.Time { return keyCreated },
	})
}

// expire gives every user ID of e a new self-signature by which the key's validity is over. The key itself, and so
// its fingerprint and what it signed, stays the same.
func expire(e *openpgp.Entity) error {
	for _, identity := range e.Identities {
		identity.SelfSignature.KeyLifetimeSecs = &expiredAfter
		if err := identity.SelfSignature.SignUserId(identity.UserId.Id, e.PrimaryKey, e.PrivateKey, signConfig(keyCreated)); err != nil {
			return err
		}
		identity.Signatures = []*packet.Signature{identity.SelfSignature}
	}
	return nil
}

func writePublic(w io.Writer, e *openpgp.Entity) error {
	a, err := armor.Encode(w, openpgp.PublicKeyType, nil)
	if err != nil {
		return err
	}
	if err := e.Serialize(a); err != nil {
		return err
	}
	return a.Close()
}

// signConfig makes signatures that depend on nothing but key, text and time.
func signConfig(at time.Time) *packet.Config {
	off := false
	return &packet.Config{
		DefaultHash: crypto.SHA256, Time: func() time.Time { return at },
		NonDeterministicSignaturesViaNotation: &off,
	}
}

// signer reads a private key of the entry in dir.
func signer(dir, name string) (*openpgp.Entity, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := openpgp.ReadKeyRing(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return list[0], nil
}

// sign writes the detached signature of the file at path, binary as the vendor's are.
func sign(path, signature string, by *openpgp.Entity, at time.Time) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var out bytes.Buffer
	if err := openpgp.DetachSign(&out, by, f, signConfig(at)); err != nil {
		return fmt.Errorf("sign %s: %w", filepath.Base(path), err)
	}
	return os.WriteFile(signature, out.Bytes(), 0o644)
}
