package host

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"townsquare/upgrade/state"
)

// Upgrader is where the host keeps the upgrader that operators bring along.
const Upgrader = "/usr/local/lib/townsquare/upgrade"

// inProgress is a function of sh that succeeds when a run is in progress: its unit is there, or the lock
// is held, as by a recovery.
const inProgress = `in_progress() {
	case $(systemctl show --property=ActiveState --value ` + Unit + ` 2>/dev/null) in
		active|activating|deactivating|reloading) return 0 ;;
	esac
	[ -e ` + LockPath + ` ] && ! (flock --shared --nonblock 9) 9<` + LockPath + `
}
`

// receive takes a gzipped program on stdin and the SHA-256 it must have as $1. What arrives keeps
// a temporary name until it is whole; a running upgrader keeps the file it was started from. What a run
// in progress starts yet, such as its end, must be the program that it is: then nothing is replaced.
const receive = `set -eu
umask 022
` + inProgress + `
dir=${2%/*}
mkdir -p "$dir"
new=$(mktemp "$dir/.upgrade.XXXXXX")
trap 'rm -f "$new"' EXIT
gzip -dc >"$new"
got=$(sha256sum "$new" | cut -c1-64)
if [ "$got" != "$1" ]; then echo "arrived damaged: SHA-256 $got, expected $1" >&2; exit 1; fi
chmod 0755 "$new"
sync "$new"
if [ -e "$2" ] && in_progress; then exit 75; fi
mv -f "$new" "$2"
sync "$dir"
trap - EXIT`

// Incumbent is what stands in the way of replacing the upgrader on the host.
type Incumbent struct {
	Running bool   // a run is in progress
	Version []byte // of the upgrader there, as JSON; an older one that cannot tell prints something else
	Record  []byte // the host's record; empty: there is none
}

const incumbent = inProgress + `
if in_progress; then echo running; else echo idle; fi
timeout 10 ` + Upgrader + ` host version 2>/dev/null | head -n 1
echo
if [ -e ` + state.Path + ` ]; then cat ` + state.Path + `; fi`

// Incumbent looks at the upgrader that is there.
func (c *Conn) Incumbent(ctx context.Context) (Incumbent, error) {
	var out bytes.Buffer
	if err := c.Run(ctx, AsRoot("sh", "-c", incumbent), nil, &out); err != nil {
		return Incumbent{}, err
	}
	running, rest, _ := bytes.Cut(out.Bytes(), []byte("\n"))
	version, record, _ := bytes.Cut(rest, []byte("\n"))
	return Incumbent{Running: string(running) == "running", Version: version, Record: bytes.TrimSpace(record)}, nil
}

// Upload puts the program at path on the host as dest, unless its SHA-256 is there already. may is
// asked before one that is there is replaced. progress gets the bytes read so far, of all. The error is
// ErrRunning when a run is in progress: then nothing is replaced.
func (c *Conn) Upload(ctx context.Context, path, there, dest string, may func() error, progress func(done, total int64)) (bool, error) {
	sum, size, err := sumOf(path)
	if err != nil {
		return false, err
	}
	if sum == there {
		return false, nil
	}
	if there != "" {
		if err := may(); err != nil {
			return false, err
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	reader, writer := io.Pipe()
	go func() {
		large := bufio.NewWriterSize(writer, 64<<10) // gzip writes 240 bytes at a time: each would be a packet
		zip, _ := gzip.NewWriterLevel(large, gzip.BestSpeed)
		_, err := io.Copy(zip, &counter{from: file, total: size, tell: progress})
		if err == nil {
			err = zip.Close()
		}
		if err == nil {
			err = large.Flush()
		}
		writer.CloseWithError(err)
	}()
	defer reader.Close()
	err = c.Run(ctx, AsRoot("sh", "-c", receive, "receive", sum, dest), reader, io.Discard)
	var exit *ExitError
	if errors.As(err, &exit) && exit.Code == ExitLater {
		return false, ErrRunning
	}
	if err != nil {
		return false, fmt.Errorf("upload the upgrader: %w", err)
	}
	return true, nil
}

type counter struct {
	from        io.Reader
	done, total int64
	tell        func(done, total int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.done += int64(n)
	if c.tell != nil {
		c.tell(c.done, c.total)
	}
	return n, err
}

func sumOf(path string) (string, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, file)
	if err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(hash.Sum(nil)), n, nil
}
