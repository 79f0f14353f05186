package release

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Limits, in bytes, on what proves an archive genuine.
const (
	keyLimit       = 1 << 20
	signatureLimit = 64 << 10
)

// key gets the vendor's key and accepts it only if it is the pinned one, valid today.
func (c *Client) key(ctx context.Context, now time.Time) (*openpgp.Entity, error) {
	address := cmp.Or(c.Sources.Key, VendorKey)
	page, err := c.page(ctx, address, keyLimit)
	if err != nil {
		return nil, fmt.Errorf("get the signing key: %w", err)
	}
	key, err := pinned(page.body, address, cmp.Or(c.Sources.Fingerprint, VendorFingerprint), now)
	if err != nil {
		return nil, err
	}
	page.keep()
	return key, nil
}

// pinned finds, in a file of keys, the one with the pinned fingerprint, and checks that it neither
// expired nor was revoked. Every other key in the file is ignored.
func pinned(file []byte, address, fingerprint string, now time.Time) (*openpgp.Entity, error) {
	fault := func(err error) *KeyError { return &KeyError{URL: address, Fingerprint: fingerprint, Err: err} }
	want, err := hex.DecodeString(strings.ReplaceAll(fingerprint, " ", ""))
	if err != nil || len(want) != 20 && len(want) != 32 {
		return nil, fmt.Errorf("pinned fingerprint %q: expected 40 hex digits", fingerprint)
	}
	ring, err := keyRing(file)
	if err != nil {
		return nil, fault(fmt.Errorf("%w: the file holds no OpenPGP key: %w", ErrKeyMismatch, err))
	}
	var key *openpgp.Entity
	var others []string
	for _, e := range ring {
		if bytes.Equal(e.PrimaryKey.Fingerprint, want) {
			key = e
		} else {
			others = append(others, strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint)))
		}
	}
	if key == nil {
		e := fault(ErrKeyMismatch)
		e.Found = others
		return nil, e
	}
	if key.Revoked(now) {
		return nil, fault(ErrKeyRevoked)
	}
	self, _ := key.PrimarySelfSignature()
	if self == nil {
		return nil, fault(fmt.Errorf("%w: it has no valid self-signature", ErrKeyMismatch))
	}
	if key.PrimaryKey.CreationTime.After(now) {
		e := fault(ErrKeyNotYet)
		e.Since = key.PrimaryKey.CreationTime
		return nil, e
	}
	if key.PrimaryKey.KeyExpired(self, now) {
		e := fault(ErrKeyExpired)
		if self.KeyLifetimeSecs != nil {
			e.Since = key.PrimaryKey.CreationTime.Add(time.Duration(*self.KeyLifetimeSecs) * time.Second)
		}
		return nil, e
	}
	return key, nil
}

// keyRing reads armoured or binary keys.
func keyRing(file []byte) (openpgp.EntityList, error) {
	if bytes.HasPrefix(bytes.TrimSpace(file), []byte("-----BEGIN PGP")) {
		return openpgp.ReadArmoredKeyRing(bytes.NewReader(file))
	}
	return openpgp.ReadKeyRing(bytes.NewReader(file))
}

// signature gets the detached signature of a release.
func (c *Client) signature(ctx context.Context, r Release) (page, error) {
	p, err := c.page(ctx, r.SignatureURL, signatureLimit)
	if err != nil {
		return page{}, fmt.Errorf("get the signature: %w", err)
	}
	if bytes.HasPrefix(bytes.TrimSpace(p.body), []byte("-----BEGIN PGP")) {
		block, err := armor.Decode(bytes.NewReader(p.body))
		if err != nil {
			return page{}, &SignatureError{File: r.Name(), Reason: "the signature file cannot be read: " + err.Error()}
		}
		if p.body, err = io.ReadAll(block.Body); err != nil {
			return page{}, &SignatureError{File: r.Name(), Reason: "the signature file cannot be read: " + err.Error()}
		}
	}
	return p, nil
}

// verify checks, in one pass over the file, its SHA-256 (where the vendor publishes one) and its
// signature. Both must hold. The errors are a *HashError and a *SignatureError.
func verify(ctx context.Context, name string, r Release, key *openpgp.Entity, signature []byte, now time.Time) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	content := io.TeeReader(stoppable{f, ctx}, hash)
	config := &packet.Config{Time: func() time.Time { return now }}
	_, signed := openpgp.CheckDetachedSignature(openpgp.EntityList{key}, content, bytes.NewReader(signature), config)
	// A signature that is wrong in form ends the check before the file was read; the hash needs it all.
	if _, err := io.Copy(io.Discard, content); err != nil {
		return fmt.Errorf("verify %s: %w", filepath.Base(name), err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); r.SHA256 != "" && got != r.SHA256 {
		return &HashError{File: r.Name(), Want: r.SHA256, Got: got}
	}
	if signed != nil {
		return &SignatureError{File: r.Name(), Reason: signatureFault(signed, key)}
	}
	return nil
}

// signatureFault says in words what OpenPGP found wrong.
func signatureFault(err error, key *openpgp.Entity) string {
	var bad pgperrors.SignatureError
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return fmt.Sprintf("made by another key than %X", key.PrimaryKey.Fingerprint)
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return "it has expired"
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return "the signing subkey has expired"
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return "the signing subkey was revoked"
	case errors.As(err, &bad):
		return "it does not belong to this file: " + string(bad)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the signature file is empty or cut off"
	default:
		return err.Error()
	}
}

// stoppable ends a long read when ctx ends.
type stoppable struct {
	io.Reader
	ctx context.Context
}

func (s stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.Reader.Read(p)
}
