package release

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// content is bytes that no test expects anything of but to arrive.
func content(size int) []byte {
	b := make([]byte, size)
	rand.Read(b)
	return b
}

// files lists what lies in the download directory.
func files(t testing.TB, c *Client) string {
	t.Helper()
	var names []string
	entries, err := os.ReadDir(c.downloads())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestFetch(t *testing.T) {
	v := newVendor(t)
	body := content(3 << 20)
	r, c := v.publish(t, "9.10.0", body), v.client(t)
	var told [][2]int64
	path := must(c.Fetch(t.Context(), r, func(done, total int64) { told = append(told, [2]int64{done, total}) }))(t)
	if got := must(os.ReadFile(path))(t); !bytes.Equal(got, body) {
		t.Error("the file is not what the server has")
	}
	if got := files(t, c); got != r.Name() {
		t.Errorf("files %q, want only %s", got, r.Name())
	}
	if last := told[len(told)-1]; last != [2]int64{3 << 20, 3 << 20} {
		t.Errorf("progress ended at %v", last)
	}
	if info := must(os.Stat(c.downloads()))(t); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", info.Mode())
	}
	// Again: verified, not downloaded.
	must(c.Fetch(t.Context(), r, nil))(t)
	if n := len(v.asked("/9.10.0/" + r.Name())); n != 1 {
		t.Errorf("%d downloads, want 1", n)
	}
	// Damaged on the disk since: downloaded anew.
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(c.Fetch(t.Context(), r, nil))(t)
	if got := must(os.ReadFile(path))(t); !bytes.Equal(got, body) {
		t.Error("the damaged file was not replaced")
	}
}

// An arm64 archive has no published checksum; its signature must hold all the same.
func TestFetchBySignatureAlone(t *testing.T) {
	v := newVendor(t)
	r, c := v.publish(t, "9.10.0", content(1000)), v.client(t)
	path := "/9.10.0/" + r.Name()
	arm := *r.forArch(ARM64)
	v.files["/9.10.0/"+arm.Name()], v.files["/9.10.0/"+arm.Name()+".sig"] = v.files[path], v.files[path+".sig"]
	must(c.Fetch(t.Context(), arm, nil))(t)
	v.files["/9.10.0/"+arm.Name()] = content(1000)
	os.RemoveAll(c.downloads())
	if _, err := c.Fetch(t.Context(), arm, nil); !isError[*SignatureError](err) {
		t.Errorf("error %v, want a SignatureError", err)
	}
}

// What is wrong with an archive is found, named, and the file removed; nothing is tried twice.
func TestFetchNotGenuine(t *testing.T) {
	stranger := newKey(t, time.Now().Add(-time.Hour), 0)
	for name, test := range map[string]struct {
		spoil func(v *vendor, path string, body []byte)
		check func(error) bool
		part  string
	}{
		"another content":           {func(v *vendor, path string, body []byte) { v.files[path] = content(len(body)) }, isError[*HashError], "the vendor published"},
		"cut off on the server":     {func(v *vendor, path string, body []byte) { v.files[path] = body[:len(body)/2] }, isError[*HashError], "SHA-256 is"},
		"empty":                     {func(v *vendor, path string, _ []byte) { v.files[path] = []byte{} }, isError[*HashError], "SHA-256 is"},
		"signed by another":         {func(v *vendor, path string, body []byte) { v.files[path+".sig"] = sign(t, stranger, body) }, isError[*SignatureError], "another key"},
		"signature of another file": {func(v *vendor, path string, _ []byte) { v.files[path+".sig"] = sign(t, v.key, []byte("other")) }, isError[*SignatureError], "does not belong to this file"},
		"no signature":              {func(v *vendor, path string, _ []byte) { v.files[path+".sig"] = []byte{} }, isError[*SignatureError], "signature"},
		"a page as signature":       {func(v *vendor, path string, _ []byte) { v.files[path+".sig"] = []byte("<html>") }, isError[*SignatureError], "signature"},
		"armour broken": {func(v *vendor, path string, _ []byte) {
			v.files[path+".sig"] = []byte("-----BEGIN PGP SIGNATURE-----\n\n!\n")
		}, isError[*SignatureError], "cannot be read"},
		"signature missing": {func(v *vendor, path string, _ []byte) { delete(v.files, path+".sig") }, isStatus(404), "404"},
		"archive missing":   {func(v *vendor, path string, _ []byte) { delete(v.files, path) }, isStatus(404), "404"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			body := content(4000)
			r, c := v.publish(t, "9.10.0", body), v.client(t)
			path := "/9.10.0/" + r.Name()
			test.spoil(v, path, body)
			_, err := c.Fetch(t.Context(), r, nil)
			if err == nil || !test.check(err) || !strings.Contains(err.Error(), test.part) {
				t.Fatalf("error %v", err)
			}
			var hint interface{ Hint() string }
			if !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "nothing was changed") {
				t.Errorf("no hint that says nothing was changed: %v", err)
			}
			if got := files(t, c); strings.Contains(got, r.Name()+" ") || strings.HasSuffix(got, ".gz") {
				t.Errorf("files %q", got)
			}
			if isError[*HashError](err) || isError[*SignatureError](err) {
				if got := files(t, c); got != "" {
					t.Errorf("the bad file is still there: %q", got)
				}
				if n := len(v.asked(path)); n > 1 {
					t.Errorf("%d downloads of a file that is not genuine", n)
				}
			}
		})
	}
}

func TestFetchKey(t *testing.T) {
	now := time.Now()
	revoked := newKey(t, now.Add(-time.Hour), 0)
	if err := revoked.RevokeKey(packet.KeyCompromised, "lost", nil); err != nil {
		t.Fatal(err)
	}
	expired := newKey(t, now.Add(-48*time.Hour), 24*time.Hour)
	stranger := newKey(t, now.Add(-time.Hour), 0)
	for name, test := range map[string]struct {
		key  *openpgp.Entity // the pinned one
		file []byte
		want error
		part string
	}{
		"expired":       {expired, public(t, expired), ErrKeyExpired, "expired since " + now.Add(-24*time.Hour).UTC().Format(time.DateOnly)},
		"revoked":       {revoked, public(t, revoked), ErrKeyRevoked, "revoked"},
		"another":       {newKey(t, now, 0), public(t, stranger), ErrKeyMismatch, fingerprint(stranger)},
		"no key":        {newKey(t, now, 0), []byte("<html>"), ErrKeyMismatch, "holds no OpenPGP key"},
		"broken armour": {newKey(t, now, 0), []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), ErrKeyMismatch, "holds no OpenPGP key"},
		"empty":         {newKey(t, now, 0), []byte{}, ErrKeyMismatch, "not the pinned key"},
		"of tomorrow":   {newKey(t, now.Add(48*time.Hour), 0), nil, ErrKeyNotYet, "not valid yet"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVendor(t)
			v.key = test.key
			if test.file == nil {
				test.file = public(t, test.key)
			}
			v.files["/pubkey.gpg"] = test.file
			c := v.client(t)
			r := listed("9.10.0", Team, false)
			r.URL, r.SignatureURL = v.URL+"/x", v.URL+"/x.sig"
			_, err := c.Fetch(t.Context(), r, nil)
			var key *KeyError
			if !errors.As(err, &key) || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.part) {
				t.Fatalf("error %v, want a KeyError: %v", err, test.want)
			}
			if key.Hint() == "" || len(v.asked("/x")) > 0 {
				t.Error("no hint, or the archive was downloaded before the key was looked at")
			}
		})
	}
}

func TestFetchKeyAmongOthers(t *testing.T) {
	v := newVendor(t)
	r := v.publish(t, "9.10.0", content(100))
	v.files["/pubkey.gpg"] = public(t, newKey(t, time.Now().Add(-time.Hour), 0), v.key)
	c := v.client(t)
	f := strings.ToLower(c.Sources.Fingerprint)
	c.Sources.Fingerprint = f[:4] + " " + f[4:] // as people write it
	must(c.Fetch(t.Context(), r, nil))(t)
	c.Sources.Fingerprint = "A1B2"
	if _, err := c.Fetch(t.Context(), r, nil); err == nil || !strings.Contains(err.Error(), "40 hex digits") {
		t.Errorf("a short fingerprint: %v", err)
	}
}

func TestFetchArmoured(t *testing.T) {
	v := newVendor(t)
	r := v.publish(t, "9.10.0", content(100))
	for path, kind := range map[string]string{"/pubkey.gpg": openpgp.PublicKeyType, "/9.10.0/" + r.Name() + ".sig": openpgp.SignatureType} {
		var b bytes.Buffer
		w := must(armor.Encode(&b, kind, nil))(t)
		must(w.Write(v.files[path]))(t)
		w.Close()
		v.files[path] = b.Bytes()
	}
	must(v.client(t).Fetch(t.Context(), r, nil))(t)
}

func TestFetchRefusesUnverifiable(t *testing.T) {
	c := newVendor(t).client(t)
	for name, change := range map[string]func(*Release){
		"unusable":     func(r *Release) { r.Unusable = "TBD" },
		"unsigned":     func(r *Release) { r.SignatureURL = "" },
		"no checksum":  func(r *Release) { r.SHA256 = "" },
		"odd checksum": func(r *Release) { r.Arch, r.SHA256 = ARM64, "a1" },
	} {
		r := listed("9.10.0", Team, false)
		change(&r)
		if _, err := c.Fetch(t.Context(), r, nil); err == nil || !strings.Contains(err.Error(), "fetch mattermost-team-9.10.0") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestFetchNoSpace(t *testing.T) {
	v := newVendor(t)
	r, c := v.publish(t, "9.10.0", content(1<<20)), v.client(t)
	c.Free = func(dir string) (uint64, error) {
		if dir != c.downloads() {
			t.Errorf("asked for the space of %s", dir)
		}
		return spare, nil
	}
	_, err := c.Fetch(t.Context(), r, nil)
	var space *SpaceError
	if !errors.As(err, &space) || space.Need != spare+1<<20 || space.Free != spare || !strings.Contains(space.Hint(), "du ") {
		t.Errorf("error %v, want a SpaceError", err)
	}
	c.Free = func(string) (uint64, error) { return 0, errors.New("no such disk") }
	if _, err := c.Fetch(t.Context(), r, nil); err == nil || !strings.Contains(err.Error(), "no such disk") {
		t.Errorf("error %v", err)
	}
	c.Free = func(string) (uint64, error) { return 0, errors.ErrUnsupported }
	must(c.Fetch(t.Context(), r, nil))(t)
}

func TestPrune(t *testing.T) {
	v := newVendor(t)
	c := v.client(t)
	if err := c.Prune(); err != nil {
		t.Errorf("with nothing there: %v", err)
	}
	old, kept := v.publish(t, "9.9.3", content(10)), v.publish(t, "9.10.0", content(10))
	must(c.Fetch(t.Context(), old, nil))(t)
	must(c.Fetch(t.Context(), kept, nil))(t)
	if err := os.WriteFile(filepath.Join(c.downloads(), old.Name()+unverified), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Prune(kept); err != nil || files(t, c) != kept.Name() {
		t.Errorf("left %q (%v)", files(t, c), err)
	}
}
