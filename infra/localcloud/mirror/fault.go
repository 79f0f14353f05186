package mirror

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Fault is one thing that goes wrong with one path until it is cleared, or Times times.
type Fault struct {
	ID   int    `json:"id"`
	Path string `json:"path"` // of the URL, on whatever host: "/release-policy.mdx"
	Kind Kind   `json:"kind"`

	Bytes   int64  `json:"bytes,omitempty"`   // Cut: sent of each answer before the connection breaks; Truncated: size; Corrupt: place of the wrong byte
	Rate    int64  `json:"rate,omitempty"`    // Slow: bytes a second
	Status  int    `json:"status,omitempty"`  // Status: of the answer
	Version string `json:"version,omitempty"` // WrongHash, TBD: the entry of the page, in both tabs
	Times   int    `json:"times,omitempty"`   // 0: until it is cleared
}

// Kind is a way to go wrong.
type Kind string

// The kinds. Those up to RateLimit happen to any path, the rest only where they make sense.
const (
	Cut       Kind = "cut"        // the connection breaks after Bytes
	Truncated Kind = "truncated"  // the file ends after Bytes, and says so; its hash on the page stays
	Corrupt   Kind = "corrupt"    // one byte, at Bytes, is another; size, ETag and hash on the page stay
	Slow      Kind = "slow"       // Rate bytes a second
	Stall     Kind = "stall"      // the request is taken and never answered
	Status    Kind = "status"     // the answer is Status
	HTML      Kind = "html"       // a web page, with 200, as a captive portal or a moved site gives
	RateLimit Kind = "rate-limit" // GitHub's answer to too many requests

	WrongSignature Kind = "wrong-signature" // a .sig: by a key that is not the vendor's
	NoSignature    Kind = "no-signature"    // a .sig: bytes that are no signature
	ExpiredKey     Kind = "expired-key"     // the key: the right one, whose validity has ended
	WrongKey       Kind = "wrong-key"       // the key: another one
	WrongHash      Kind = "wrong-hash"      // the version archive: another SHA-256 beside Version
	TBD            Kind = "tbd"             // the version archive: "TBD" where Version's SHA-256 belongs
	Shape          Kind = "shape"           // a page or the API: the same facts in another form
)

// kinds says of each what it does and on which paths it may be; nil: on all.
func kinds() map[Kind]struct {
	about string
	paths func(path string) bool
} {
	is := func(paths ...string) func(string) bool {
		return func(path string) bool { return slices.Contains(paths, path) }
	}
	signature := func(path string) bool { return strings.HasSuffix(path, signatureSuffix) }
	return map[Kind]struct {
		about string
		paths func(path string) bool
	}{
		Cut:            {"break the connection after --bytes", nil},
		Truncated:      {"end the file after --bytes", nil},
		Corrupt:        {"change the byte at --bytes", nil},
		Slow:           {"send --rate bytes a second", nil},
		Stall:          {"never answer", nil},
		Status:         {"answer with --status", nil},
		HTML:           {"answer with some web page", nil},
		RateLimit:      {"answer as GitHub does after too many requests", is(pathGitHub)},
		WrongSignature: {"sign with another key", signature},
		NoSignature:    {"send something that is no signature", signature},
		ExpiredKey:     {"send the key as no longer valid", is(pathKey)},
		WrongKey:       {"send another key", is(pathKey)},
		WrongHash:      {"show another SHA-256 for --version", is(pathArchive)},
		TBD:            {"show TBD in place of the SHA-256 of --version", is(pathArchive)},
		Shape:          {"give the page another shape", is(pathArchive, pathPolicy, pathGitHub, pathFeed)},
	}
}

func (f Fault) check() error {
	kind, ok := kinds()[f.Kind]
	switch {
	case !ok:
		return fmt.Errorf("no fault %q", f.Kind)
	case !strings.HasPrefix(f.Path, "/"):
		return fmt.Errorf("path %q does not begin with a slash", f.Path)
	case kind.paths != nil && !kind.paths(f.Path):
		return fmt.Errorf("fault %s has no meaning for %s", f.Kind, f.Path)
	case f.Kind == Slow && f.Rate <= 0:
		return errors.New("fault slow needs a rate above 0 bytes a second")
	case f.Kind == Status && http.StatusText(f.Status) == "":
		return fmt.Errorf("fault status needs a status that HTTP knows, not %d", f.Status)
	case (f.Kind == WrongHash || f.Kind == TBD) && f.Version == "":
		return fmt.Errorf("fault %s needs the version whose entry is to change", f.Kind)
	case f.Bytes < 0 || f.Times < 0:
		return errors.New("neither bytes nor times can be below 0")
	}
	return nil
}

// String is f in a line.
func (f Fault) String() string {
	out := fmt.Sprintf("%d: %s %s", f.ID, f.Path, f.Kind)
	switch f.Kind {
	case Cut, Truncated, Corrupt:
		out += fmt.Sprintf(" at byte %d", f.Bytes)
	case Slow:
		out += fmt.Sprintf(" %d bytes/s", f.Rate)
	case Status:
		out += fmt.Sprintf(" %d", f.Status)
	case WrongHash, TBD:
		out += " of " + f.Version
	}
	if f.Times > 0 {
		out += fmt.Sprintf(" (%d times)", f.Times)
	}
	return out
}

// PathOf turns what a person calls something into its path: "archive", "policy", "github", "feed", "key", a version
// (its Team archive), a version with ".sig" (the signature of that), or a path as it is.
func PathOf(name, arch string) (string, error) {
	pages := map[string]string{
		"archive": pathArchive, "policy": pathPolicy, "github": pathGitHub, "feed": pathFeed, "key": pathKey,
	}
	if path, ok := pages[name]; ok {
		return path, nil
	}
	if strings.HasPrefix(name, "/") {
		return name, nil
	}
	number, suffix := name, ""
	if n, ok := strings.CutSuffix(name, signatureSuffix); ok {
		number, suffix = n, signatureSuffix
	}
	r, err := Find(number)
	if err != nil {
		return "", fmt.Errorf("%q is no page (archive, policy, github, feed, key), no path, and no version: %w", name, err)
	}
	return "/" + r.Number + "/" + archiveName(r.Number, Team, arch) + suffix, nil
}
