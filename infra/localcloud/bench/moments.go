package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"townsquare/infra/localcloud/stage"
)

// size is how much a community has.
type size struct {
	posts   int
	filesMB int
}

var sizes = []size{{10_000, 100}, {100_000, 1000}, {1_000_000, 2000}}

func (s size) name() string {
	if s.posts%1_000_000 == 0 {
		return fmt.Sprintf("%dM", s.posts/1_000_000)
	}
	return fmt.Sprintf("%dk", s.posts/1000)
}

//go:embed fill.sql
var fillSQL string

// fillFiles is how large each attachment is.
const fillFiles = 250_000

// fillScript puts attachments where the server keeps them: random bytes, which no backup can
// compress or find twice. Arguments: how many, and how large.
const fillScript = `
cat >/tmp/fill.py <<'PY'
import os, sys
count, size, root = int(sys.argv[1]), int(sys.argv[2]), "/var/lib/mattermost/data/bench"
os.makedirs(root, exist_ok=True)
first = len(os.listdir(root))
for n in range(first, first + count):
    with open(f"{root}/{n}.bin", "wb") as f:
        f.write(os.urandom(size))
PY
python3 /tmp/fill.py "$1" "$2"
rm /tmp/fill.py
chown -R mattermost:mattermost /var/lib/mattermost/data/bench`

// fill gives the server's community what size says, in the shape that Mattermost gives it.
func fill(ctx context.Context, s *stage.Server, to size) error {
	if _, err := s.Machine.ExecInput(ctx, strings.NewReader(fillSQL), "runuser", "-u", "postgres", "--", "psql", "-XAtq", "-v", "ON_ERROR_STOP=1",
		"-v", "posts="+strconv.Itoa(to.posts), "mattermost"); err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	return addFiles(ctx, s, to.filesMB*1_000_000/fillFiles)
}

func addFiles(ctx context.Context, s *stage.Server, count int) error {
	_, err := host(ctx, s, fillScript, strconv.Itoa(count), strconv.Itoa(fillFiles))
	return err
}

// uploadsScript takes every upload out of memory, or reads it into it. This computer may have room there
// for all of them, and a server of 8 GB that nobody asks for last year's attachments keeps others.
// Argument: forget or read.
const uploadsScript = `
sync
cat >/tmp/uploads.py <<'PY'
import os, sys
for top, _, names in os.walk(os.path.realpath("/opt/mattermost/data")):
    for name in names:
        with open(os.path.join(top, name), "rb") as f:
            if sys.argv[1] == "read":
                f.read()
            else:
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
PY
python3 /tmp/uploads.py "$1"
rm /tmp/uploads.py`

// host runs a script on the host as root, with arguments, and returns what it printed.
func host(ctx context.Context, s *stage.Server, script string, arguments ...string) (string, error) {
	argv := append([]string{"bash", "-euo", "pipefail", "-c", script, "bench"}, arguments...)
	out, err := s.Machine.Exec(ctx, argv...)
	return strings.TrimSpace(out), err
}

// before is a server of 7.7.0 with so much on it, and after the same at 9.10.0. Each is made once.
func (b *bench) before(ctx context.Context, to size) (*stage.Moment, error) {
	return b.stage.Moment(ctx, stage.Before+"-"+to.name(), stage.Before, nil, func(ctx context.Context, s *stage.Server) error {
		return fill(ctx, s, to)
	})
}

func (b *bench) after(ctx context.Context, to size) (*stage.Moment, error) {
	earlier, err := b.before(ctx, to)
	if err != nil {
		return nil, err
	}
	return b.stage.Moment(ctx, stage.After+"-"+to.name(), stage.After, earlier, func(ctx context.Context, s *stage.Server) error {
		if r := s.Upgrade(ctx, "apply", "--yes", "--watch", "2s", "--to", stage.After); r.Code != 0 {
			return fmt.Errorf("%s", r)
		}
		_, err := host(ctx, s, `runuser -u postgres -- psql -XAtqc 'vacuum analyze' -c 'checkpoint' mattermost`)
		return err
	})
}

// prepare makes every moment, so that what is measured later is measured on a machine at rest.
func (b *bench) prepare(ctx context.Context) error {
	for _, s := range b.sizes {
		if _, err := b.after(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// arrive is a moment, with only these releases on the mirror, the last as the newest, and everything
// at rest: what the rewinding wrote is on the disk, and Mattermost is old enough to stop quickly.
func (b *bench) arrive(ctx context.Context, m *stage.Moment, releases ...string) (*stage.Server, error) {
	s, err := m.Rewind(ctx)
	if err != nil {
		return nil, err
	}
	s.Directly()
	if err := b.publish(ctx, releases...); err != nil {
		return nil, err
	}
	if _, err := host(ctx, s, "sync"); err != nil {
		return nil, err
	}
	return s, atRest(ctx, s)
}

func (b *bench) publish(ctx context.Context, releases ...string) error {
	newest := releases[len(releases)-1]
	argv := append([]string{"mirror", "publish", "--only"}, releases...)
	if r := b.stage.Localcloud(ctx, append(argv, "--esr", newest[:strings.LastIndex(newest, ".")])...); r.Code != 0 {
		return fmt.Errorf("%s", r)
	}
	return nil
}

// restAge is how old a server must be to stop at once: a younger one sleeps first, for up to 15 s.
const restAge = 17

func atRest(ctx context.Context, s *stage.Server) error {
	_, err := host(ctx, s, `
for n in {1..600}; do
	pid=$(systemctl show --property=MainPID --value mattermost)
	if [ "$pid" != 0 ] && [ "$(ps -o etimes= -p "$pid")" -ge "$1" ]; then exit; fi
	sleep 0.2
done
exit 1`, strconv.Itoa(restAge))
	if err != nil {
		return fmt.Errorf("mattermost does not come to rest: %w", err)
	}
	return nil
}

// atWork makes this computer's memory what it is on one that has served for long: full, but not of
// uploads. The smallest community needs too little of it for that to be worth the time.
func (b *bench) atWork(ctx context.Context, s *stage.Server, how string, of size) error {
	uploads := "forget"
	if how == byGuideRead {
		uploads = "read"
	}
	if _, err := host(ctx, s, uploadsScript, uploads); err != nil {
		return err
	}
	if of == sizes[0] {
		return nil
	}
	cloud, err := b.stage.Cloud()
	if err != nil {
		return err
	}
	images, err := filepath.Glob(filepath.Join(cloud.Dir, "scenes", "*", "*.img"))
	if err != nil {
		return err
	}
	return b.memory.fill(ctx, images)
}

// databaseMB is how large the database is.
func databaseMB(ctx context.Context, s *stage.Server) (int, error) {
	out, err := host(ctx, s, `runuser -u postgres -- psql -XAtc "select pg_database_size('mattermost') / 1000000"`)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

// stopwatch is how long work took on the wall's clock.
func stopwatch(work func() error) (time.Duration, error) {
	began := time.Now()
	err := work()
	return time.Since(began), err
}

func lines(text string) []string {
	var all []string
	for line := range bytes.Lines([]byte(text)) {
		all = append(all, strings.TrimSpace(string(line)))
	}
	return all
}
