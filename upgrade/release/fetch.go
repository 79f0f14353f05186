package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"townsquare/upgrade/internal/durable"
)

// unverified is the end of a download's name until its checksum and signature were found right.
const unverified = ".unverified"

// Fetch downloads a release into CacheDir and gives the path of the verified archive. A download
// that was cut off goes on where it stopped, in this run or the next; one that is there already is
// verified again and not downloaded. progress, which may be nil, hears of bytes done and in total
// (0 when unknown).
//
// The key is looked at before the download, so that an expired one costs seconds. A file that fails
// verification is removed and never tried again in the same call. The errors are a *KeyError,
// *HashError, *SignatureError, *TruncatedError, *NetworkError, *StatusError, *SizeError or *SpaceError.
func (c *Client) Fetch(ctx context.Context, r Release, progress func(done, total int64)) (string, error) {
	if err := fetchable(r); err != nil {
		return "", err
	}
	now := time.Now()
	key, err := c.key(ctx, now)
	if err != nil {
		return "", err
	}
	signature, err := c.signature(ctx, r)
	if err != nil {
		return "", err
	}
	dir := c.downloads()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	final := filepath.Join(dir, r.Name())
	check := func(name string) error { return verify(ctx, name, r, key, signature.body, now) }

	switch err := check(final); {
	case err == nil:
		signature.keep()
		return final, nil
	case ctx.Err() != nil:
		return "", err
	case !errors.Is(err, os.ErrNotExist):
		if err := os.Remove(final); err != nil { // damaged since, or replaced by the vendor
			return "", err
		}
	}
	d := &download{client: c, release: r, name: final + unverified, progress: progress}
	if err := d.run(ctx); err != nil {
		return "", err
	}
	if err := check(d.name); err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		if e := d.discard(); e != nil {
			return "", errors.Join(err, e)
		}
		return "", err
	}
	signature.keep()
	if err := d.accept(final); err != nil {
		return "", err
	}
	return final, nil
}

// fetchable refuses a release that could not be verified.
func fetchable(r Release) error {
	switch {
	case r.Unusable != "":
		return fmt.Errorf("fetch %s: %s", r.Name(), r.Unusable)
	case r.SignatureURL == "":
		return fmt.Errorf("fetch %s: the vendor publishes no signature for it", r.Name())
	case r.SHA256 == "" && r.Arch == AMD64, r.SHA256 != "" && !hexHash.MatchString(r.SHA256):
		return fmt.Errorf("fetch %s: the vendor publishes no checksum of 64 hex digits for it", r.Name())
	}
	return nil
}

func (c *Client) downloads() string { return filepath.Join(c.CacheDir, "downloads") }

// Prune removes every download but those of the releases to keep: an archive weighs several hundred
// megabytes and can be had again.
func (c *Client) Prune(keep ...Release) error {
	entries, err := os.ReadDir(c.downloads())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	wanted := map[string]bool{}
	for _, r := range keep {
		for _, end := range []string{"", unverified, unverified + noteEnd} {
			wanted[r.Name()+end] = true
		}
	}
	for _, e := range entries {
		if !wanted[e.Name()] && e.Type().IsRegular() {
			err = errors.Join(err, os.Remove(filepath.Join(c.downloads(), e.Name())))
		}
	}
	return err
}

// discard removes a download that is not genuine.
func (d *download) discard() error {
	return errors.Join(remove(d.name), remove(d.name+noteEnd))
}

// accept gives a verified download its name, durably.
func (d *download) accept(final string) error {
	if err := os.Rename(d.name, final); err != nil {
		return err
	}
	if err := remove(d.name + noteEnd); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(final))
}

// remove removes a file that may not be there.
func remove(name string) error {
	if err := os.Remove(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
