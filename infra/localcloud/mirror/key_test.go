package mirror

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
)

// verify checks the signature of p's archive with the public key in text.
func verify(t *testing.T, keyText, signature string, p Package) error {
	t.Helper()
	ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(keyText))
	if err != nil {
		t.Fatal(err)
	}
	archive, err := os.Open(filepath.Join(p.Dir, p.File))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	config := signConfig(today)
	_, err = openpgp.CheckDetachedSignature(ring, archive, strings.NewReader(signature), config)
	return err
}

func TestSignatures(t *testing.T) {
	m := newTestMirror(t, "9.10.0")
	p := m.published("9.10.0")
	key := func() string { return m.get(hostPackages, pathKey).body }
	signature := func() string { return m.get(hostReleases, p.path()+signatureSuffix).body }

	if err := verify(t, key(), signature(), p); err != nil {
		t.Errorf("the right signature: %v", err)
	}
	m.fault(Fault{Path: p.path() + signatureSuffix, Kind: WrongSignature, Times: 1})
	if err := verify(t, key(), signature(), p); !errors.Is(err, pgperrors.ErrUnknownIssuer) {
		t.Errorf("another key's signature: %v", err)
	}
	m.fault(Fault{Path: p.path() + signatureSuffix, Kind: NoSignature, Times: 1})
	if err := verify(t, key(), signature(), p); err == nil {
		t.Error("no signature at all was accepted")
	}
	m.fault(Fault{Path: pathKey, Kind: WrongKey, Times: 1})
	if err := verify(t, key(), signature(), p); !errors.Is(err, pgperrors.ErrUnknownIssuer) {
		t.Errorf("another key: %v", err)
	}
	m.fault(Fault{Path: pathKey, Kind: ExpiredKey, Times: 1})
	if err := verify(t, key(), signature(), p); !errors.Is(err, pgperrors.ErrKeyExpired) {
		t.Errorf("the expired key: %v", err)
	}
}

func TestExpiredKeyIsTheSameKey(t *testing.T) {
	dir, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := strings.TrimSpace(read(t, filepath.Join(dir, keyFingerprint)))
	for name, expired := range map[string]bool{keyPublic: false, keyExpired: true} {
		ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(read(t, filepath.Join(dir, name))))
		if err != nil {
			t.Fatal(err)
		}
		e := ring[0]
		if got := strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint)); got != fingerprint {
			t.Errorf("%s has fingerprint %s, want %s", name, got, fingerprint)
		}
		if got := e.PrimaryKey.KeyExpired(e.PrimaryIdentity().SelfSignature, today); got != expired {
			t.Errorf("%s expired: %v", name, got)
		}
		if e.PrivateKey != nil {
			t.Errorf("%s contains the private key", name)
		}
	}
}

func TestPrivateKeysArePrivate(t *testing.T) {
	dir, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{keyPrivate, keyOther} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestSignatureIsTheSameEveryTime(t *testing.T) {
	keys, err := testKeys()
	if err != nil {
		t.Fatal(err)
	}
	by, err := signer(keys, keyPrivate)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	var last []byte
	for range 2 {
		if err := sign(path, path+".sig", by, day(2024, 7, 16)); err != nil {
			t.Fatal(err)
		}
		now := []byte(read(t, path+".sig"))
		if last != nil && !bytes.Equal(now, last) {
			t.Error("two signatures of the same differ")
		}
		last = now
	}
}

// GnuPG is what the vendor's instructions verify with, so it must agree.
func TestGnuPGAgrees(t *testing.T) {
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		t.Fatal("gpg is missing: type  sudo scripts/install-packages.sh test")
	}
	m := newTestMirror(t, "9.10.0")
	p := m.published("9.10.0")
	home, err := os.MkdirTemp("", "gnupg-") // short: its sockets' names have a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	run := func(stdin string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), gpg, append([]string{"--homedir", home, "--batch", "--no-autostart", "--status-fd", "1"}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(m.get(hostPackages, pathKey).body, "--import"); err != nil {
		t.Fatalf("import: %v\n%s", err, out)
	}
	archive := filepath.Join(p.Dir, p.File)
	out, err := run("", "--verify", archive+signatureSuffix, archive)
	fingerprint := strings.TrimSpace(read(t, filepath.Join(m.dir, FingerprintFile)))
	if err != nil || !strings.Contains(out, "VALIDSIG "+fingerprint) {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if out, err := run("", "--verify", archive+otherSignatureSuffix, archive); err == nil {
		t.Errorf("another key's signature was accepted:\n%s", out)
	}
}
