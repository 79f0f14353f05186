package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/untrusted"
)

// Names of the streams in their snapshots.
const (
	databaseFile = "database.sql"
	manifestFile = "manifest.json"
)

// Tags of restic's snapshots: all have tagOurs, one of the kinds, and the id of the run.
const (
	tagOurs     = "townsquare"
	tagDatabase = "database"
	tagFiles    = "files"
	tagManifest = "manifest"
)

// Part is one of restic's snapshots of a backup.
type Part struct {
	ID    string // restic's, whole
	Files int64
	Bytes int64
	Added int64 // to the repository; what it had already is not stored again
}

// summary is the last line of restic backup --json.
type summary struct {
	Type    string  `json:"message_type"`
	ID      string  `json:"snapshot_id"`
	Files   int64   `json:"total_files_processed"`
	Bytes   int64   `json:"total_bytes_processed"`
	Added   int64   `json:"data_added"`
	Percent float64 `json:"percent_done"`
	Done    int64   `json:"bytes_done"`
	Total   int64   `json:"total_bytes"`
}

// SaveDatabase stores what write writes as the database's part of a backup of site by run. When
// write fails nothing is stored: half a database would look like a whole one.
func (r *Repository) SaveDatabase(ctx context.Context, site, run string, write func(io.Writer) error) (Part, error) {
	p, err := r.saveStream(ctx, databaseFile, r.names(site, run, tagDatabase), write)
	if err != nil {
		return p, fmt.Errorf("back up the database: %w", err)
	}
	return p, nil
}

// SaveManifest makes the backup: it comes last. The id is what a person types.
func (r *Repository) SaveManifest(ctx context.Context, m Manifest) (Snapshot, error) {
	m.Kind, m.Format = Kind, Format
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return Snapshot{}, err
	}
	p, err := r.saveStream(ctx, manifestFile, r.names(m.Site, m.Run, tagManifest), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if err != nil {
		return Snapshot{}, fmt.Errorf("back up the manifest: %w", err)
	}
	return Snapshot{ID: short(p.ID), Time: m.Time, Manifest: m}, nil
}

func (r *Repository) names(site, run, kind string) []string {
	return []string{"--host", site, "--tag", tagOurs, "--tag", kind, "--tag", run}
}

func short(id string) string { return id[:min(8, len(id))] }

// saveStream gives restic what write writes. restic takes the end of its input for the end of the
// data, so the pipe is closed only after a write that went well, or when restic is gone.
func (r *Repository) saveStream(ctx context.Context, name string, names []string, write func(io.Writer) error) (Part, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return Part{}, err
	}
	defer out.Close()
	defer in.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type result struct {
		part Part
		err  error
	}
	done := make(chan result, 1)
	go func() {
		c := r.command(append([]string{"backup", "--json", "--stdin", "--stdin-filename", name}, names...)...)
		c.Stdin = out // the file itself, so that nothing else may end it
		p, err := r.backup(ctx, c, nil)
		out.Close() // restic is gone: whoever still writes must hear of it
		done <- result{p, err}
	}()
	if err := write(in); err != nil {
		select {
		case got := <-done: // the pipe broke because restic ended
			if got.err != nil {
				return Part{}, got.err
			}
		default:
			cancel(err)
			<-done
		}
		return Part{}, err
	}
	if err := in.Close(); err != nil {
		cancel(err)
		<-done
		return Part{}, err
	}
	got := <-done
	return got.part, got.err
}

// SaveFiles stores what is at paths, which have no links, as the files' part. Files that go while it reads
// are no error: users delete them. restic follows no link in place of a directory that it is about to read.
// progress may be nil.
func (r *Repository) SaveFiles(ctx context.Context, site, run string, paths, exclude []string, progress func(done, total int64)) (p Part, err error) {
	args := append([]string{"backup", "--json"}, r.names(site, run, tagFiles)...)
	for _, e := range exclude {
		args = append(args, "--exclude", e)
	}
	args = append(append(args, "--"), paths...)
	err = untrusted.WithoutLinks(paths, func() (err error) {
		p, err = r.backup(ctx, r.command(args...), progress)
		return err
	})
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == exitIncomplete && p.ID != "" {
		err = unreadable(exit.Stderr)
	}
	if err != nil {
		return p, fmt.Errorf("back up the files: %w", err)
	}
	return p, nil
}

// backup runs a backup command and reads its report.
func (r *Repository) backup(ctx context.Context, c host.Command, progress func(done, total int64)) (Part, error) {
	var last summary
	lines := &lineReader{each: func(line []byte) {
		var s summary
		if json.Unmarshal(line, &s) != nil {
			return
		}
		switch {
		case s.Type == "summary":
			last = s
		case s.Type == "status" && progress != nil && s.Total > 0:
			progress(s.Done, s.Total)
		}
	}}
	c.Stdout = lines
	_, err := r.o.Run(ctx, c)
	p := Part{ID: last.ID, Files: last.Files, Bytes: last.Bytes, Added: last.Added}
	var exit *host.ExitError
	switch {
	case err == nil && p.ID == "":
		return p, errors.New("restic names no snapshot")
	case errors.As(err, &exit) && exit.Code == exitIncomplete:
		return p, err
	case err != nil && ctx.Err() != nil:
		return p, context.Cause(ctx)
	case err != nil:
		return p, r.explain(err)
	}
	return p, nil
}

// unreadable names the files that restic could not read though they are there; nil when all that it
// missed is gone.
func unreadable(stderr string) error {
	var left []string
	seen := 0
	for line := range strings.Lines(stderr) {
		var e struct {
			Type string `json:"message_type"`
			Item string `json:"item"`
		}
		if json.Unmarshal([]byte(line), &e) != nil || e.Type != "error" {
			continue
		}
		seen++
		if _, err := os.Lstat(e.Item); !errors.Is(err, fs.ErrNotExist) {
			left = append(left, e.Item)
		}
	}
	switch {
	case len(left) > 3:
		return fmt.Errorf("%d files could not be read, such as %s", len(left), strings.Join(left[:3], ", "))
	case len(left) > 0:
		return fmt.Errorf("could not be read: %s", strings.Join(left, ", "))
	case seen == 0:
		return fmt.Errorf("restic could not read everything: %s", firstLine(stderr))
	}
	return nil
}

// lineReader calls each with every whole line that is written to it.
type lineReader struct {
	each func([]byte)
	rest []byte
}

func (l *lineReader) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		l.each(l.rest[:i])
		l.rest = l.rest[i+1:]
	}
}
