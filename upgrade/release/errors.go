package release

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"townsquare/upgrade/internal/printable"
)

// Every error of this package that a person can do something about has Hint() string: what to do,
// apart from what happened.

// ShapeError says that a page of the vendor's is not as it was when this program was written.
// Nothing is guessed from such a page: a wrong guess would install the wrong release.
type ShapeError struct {
	Page     string // which one, such as "version archive"
	URL      string
	Line     int // 1-based; 0 when the page as a whole is meant
	Expected string
	Found    string
}

func (e *ShapeError) Error() string {
	where := e.URL
	if e.Line > 0 {
		where = fmt.Sprintf("%s line %d", e.URL, e.Line)
	}
	return fmt.Sprintf("%s changed shape: %s: expected %s, found %s", e.Page, where, e.Expected, e.Found)
}

// Hint says what to do about a page that changed.
func (e *ShapeError) Hint() string {
	return "nothing was changed on the host. Open " + e.URL + " and compare it with the message. " +
		"If the vendor changed the page, a newer version of this program is needed; " +
		"if something between here and there answered instead, put that right and run the command again"
}

// NetworkError says that a server could not be reached, or stopped answering, after every retry.
type NetworkError struct {
	URL      string
	Attempts int
	Err      error
}

func (e *NetworkError) Error() string {
	return fmt.Sprintf("reach %s (attempts: %d): %v", e.URL, e.Attempts, e.Err)
}
func (e *NetworkError) Unwrap() error { return e.Err }

// Hint says what to do about an unreachable server.
func (e *NetworkError) Hint() string {
	return "nothing was changed on the host. Check its way out (curl -sSI " + e.URL +
		") and run the command again; a download goes on where it stopped"
}

// StatusError says that a server answered with a status other than success.
type StatusError struct {
	URL   string
	Code  int           // the HTTP status
	After time.Duration // how long the server asked to wait; 0 when it did not say
}

func (e *StatusError) Error() string { return fmt.Sprintf("get %s: HTTP status %d", e.URL, e.Code) }

// Hint says what the status means for the person.
func (e *StatusError) Hint() string {
	switch e.Code {
	case 404, 410:
		return "the vendor has moved or withdrawn this file; nothing was changed on the host. Look whether " +
			e.URL + " exists, and set releases.* if the page has a new address"
	case 403, 429:
		return "the server limits how often it may be asked; wait an hour and run the command again"
	default:
		return "the server has a fault; nothing was changed on the host. Run the command again later"
	}
}

// StalledError says that a transfer brought no byte for the time given.
type StalledError struct{ After time.Duration }

func (e *StalledError) Error() string {
	return fmt.Sprintf("no data for %s", printable.Duration(e.After))
}

// SizeError says that a server offered or sent more than any genuine file of the kind has.
type SizeError struct {
	URL   string
	Limit int64 // bytes
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("get %s: more than %d bytes, which no genuine file has", e.URL, e.Limit)
}

// Hint says what to do about an oversized answer.
func (e *SizeError) Hint() string {
	return "nothing was changed on the host. Something other than the vendor's server may have answered; look at " + e.URL
}

// TruncatedError says that a download ended early, again and again. What came is kept, unverified,
// and the next run goes on from there.
type TruncatedError struct {
	URL       string
	Got, Want int64 // bytes
	Err       error
}

func (e *TruncatedError) Error() string {
	return fmt.Sprintf("download %s: cut off after %d of %d bytes: %v", e.URL, e.Got, e.Want, e.Err)
}
func (e *TruncatedError) Unwrap() error { return e.Err }

// Hint says how a cut-off download goes on.
func (e *TruncatedError) Hint() string {
	return "nothing was changed on the host. Run the command again: the download goes on where it stopped"
}

// HashError says that a downloaded archive is not the file whose SHA-256 the vendor published.
type HashError struct{ File, Want, Got string }

func (e *HashError) Error() string {
	return fmt.Sprintf("verify %s: SHA-256 is %s, the vendor published %s", e.File, e.Got, e.Want)
}

// Hint says what to do about a wrong checksum.
func (e *HashError) Hint() string {
	return "the file was removed and nothing was changed on the host. Run the command once more; if it fails again, " +
		"the vendor's page or the download is wrong: do not install this release by other means, tell the vendor"
}

// SignatureError says that the OpenPGP signature does not prove an archive to be the vendor's.
type SignatureError struct {
	File   string
	Reason string
}

func (e *SignatureError) Error() string {
	return fmt.Sprintf("verify %s: signature: %s", e.File, e.Reason)
}

// Hint says what to do about a bad signature.
func (e *SignatureError) Hint() string {
	return "the file was removed and nothing was changed on the host. Its checksum alone proves nothing, as it comes " +
		"from a page that anyone between here and the vendor could change. Run the command once more; if it fails again, tell the vendor"
}

// What can be wrong with the vendor's key; test a *KeyError with errors.Is.
var (
	ErrKeyExpired  = errors.New("expired")
	ErrKeyRevoked  = errors.New("revoked")
	ErrKeyNotYet   = errors.New("not valid yet")
	ErrKeyMismatch = errors.New("not the pinned key")
)

// KeyError says that the vendor's signing key cannot be trusted. There is no way around it.
type KeyError struct {
	URL         string
	Fingerprint string    // the pinned one
	Found       []string  // fingerprints of the primary keys found instead, for ErrKeyMismatch
	Since       time.Time // when it expired, or was made
	Err         error     // ErrKeyExpired, ErrKeyRevoked, ErrKeyNotYet or ErrKeyMismatch
}

func (e *KeyError) Error() string {
	text := fmt.Sprintf("signing key %s from %s: %v", e.Fingerprint, e.URL, e.Err)
	if !e.Since.IsZero() {
		word := " since "
		if errors.Is(e.Err, ErrKeyNotYet) {
			word = " but from "
		}
		text += word + e.Since.UTC().Format(time.DateOnly)
	}
	if len(e.Found) > 0 {
		text += ", found " + strings.Join(e.Found, " ")
	}
	return text
}
func (e *KeyError) Unwrap() error { return e.Err }

// Hint says what to do about a key that cannot be trusted.
func (e *KeyError) Hint() string {
	switch {
	case errors.Is(e.Err, ErrKeyExpired):
		return "nothing was changed on the host. The vendor let its key expire before (2024) and published it again with a " +
			"later date: wait for that and run the command again. An expired key is never accepted"
	case errors.Is(e.Err, ErrKeyNotYet):
		return "nothing was changed on the host. Its clock is probably wrong: timedatectl"
	case errors.Is(e.Err, ErrKeyRevoked):
		return "nothing was changed on the host. The vendor declared this key void; find out why, and which key replaces it, " +
			"from the vendor's own announcement before you set releases.fingerprint"
	default:
		return "nothing was changed on the host. Either the vendor has a new key, or someone put theirs in its place: compare " +
			"the fingerprint with the vendor's announcement, over another connection, before you set releases.fingerprint"
	}
}

// SpaceError says that a file system is too full.
type SpaceError struct {
	Dir        string
	Need, Free uint64 // bytes
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("%s: %d MB free, %d MB needed", e.Dir, e.Free>>20, e.Need>>20)
}

// Hint says how to see what fills the disk.
func (e *SpaceError) Hint() string {
	return "nothing was changed on the host. Make room and run the command again; what takes it: du -xhd1 " + e.Dir + " | sort -h"
}

// ArchiveError says that an archive holds something no genuine release holds. Nothing of it is kept.
type ArchiveError struct {
	Archive string
	Entry   string // the name as the archive gives it; empty when the archive as a whole is meant
	Fault   string
	Err     error // the cause, or nil
}

func (e *ArchiveError) Error() string {
	text := "extract " + e.Archive
	if e.Entry != "" {
		text += fmt.Sprintf(": entry %.200q", e.Entry)
	}
	text += ": " + e.Fault
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}
func (e *ArchiveError) Unwrap() error { return e.Err }

// Hint says what to do about a bad archive.
func (e *ArchiveError) Hint() string {
	return "nothing of the archive was kept and nothing was changed on the host. A signed release with such content is the " +
		"vendor's fault: choose another version with --to, and tell the vendor"
}
