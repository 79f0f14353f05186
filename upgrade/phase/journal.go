package phase

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"townsquare/upgrade/secret"
)

// JournalDir is where a host keeps the logs of its runs.
const JournalDir = "/var/lib/townsquare/runs"

var idShape = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[a-z]+$`)

// NewID names a run by when it began, in UTC, and what it does.
func NewID(operation string, at time.Time) string {
	return at.UTC().Format("20060102T150405Z") + "-" + operation
}

// OperationOf is the name of the operation in a run's id.
func OperationOf(id string) string {
	_, operation, _ := strings.Cut(id, "-")
	return operation
}

// JournalPath is the log of run id in dir. An id of another shape is refused: it comes from
// outside and becomes a file name.
func JournalPath(dir, id string) (string, error) {
	if !idShape.MatchString(id) {
		return "", fmt.Errorf("%.40q is not the ID of a run", id)
	}
	return filepath.Join(dir, id+".jsonl"), nil
}

// Journal is the log of one run: one event a line, without secrets.
type Journal struct {
	file     *os.File
	redactor *secret.Redactor
	torn     bool // its last line has no end, as after a power cut or on a full disk
}

// OpenJournal creates the log of run id in dir.
func OpenJournal(dir, id string, r *secret.Redactor) (*Journal, error) {
	path, err := JournalPath(dir, id)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	j := &Journal{file: file, redactor: r}
	if info, err := file.Stat(); err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		_, err := file.ReadAt(last, info.Size()-1)
		j.torn = err == nil && last[0] != '\n'
	}
	return j, nil
}

// Write appends the event, in one write(2), and makes it durable, but for progress, which is worth
// nothing after a power cut, and for the end of a phase, which becomes so with what follows at once:
// users may be waiting. An error does not end a run: the record, not the log, is what counts.
func (j *Journal) Write(e Event) error {
	line, err := Encode(e, j.redactor)
	if err != nil {
		return err
	}
	if j.torn {
		line = append([]byte("\n"), line...)
	}
	n, err := j.file.Write(line)
	j.torn = err != nil && (n > 0 || j.torn)
	if err != nil {
		return err
	}
	if e.Kind == Progress || e.Kind == End {
		return nil
	}
	return j.file.Sync()
}

// Close ends the log.
func (j *Journal) Close() error { return j.file.Close() }

// Encode makes the line of a log of e.
func Encode(e Event, r *secret.Redactor) ([]byte, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return append([]byte(r.String(string(data))), '\n'), nil
}

// Decode reads one line of a log. The data of a result are still as they were sent: ReadData reads them.
func Decode(line []byte) (Event, error) {
	var e Event
	err := Read(line, &e)
	return e, err
}

// ReportOf returns the report that a result event carries; false for all other events, and for a report
// that cannot be read.
func ReportOf(e Event) (Report, bool) {
	if e.Kind != Result {
		return Report{}, false
	}
	if r, ok := e.Data.(Report); ok {
		return r, true
	}
	var r Report
	err := ReadData(e, &r)
	return r, err == nil
}

// ErrSilent says that a run's process is gone without a result: it was killed, or the power failed.
var ErrSilent = errors.New("the run ended without a word")

// followEvery is the pause between two looks at a log.
const followEvery = 100 * time.Millisecond

// Follow copies the log at path to out line by line, without its first skip lines, until the
// result has passed. alive tells whether the run still runs; when it does not and no result came,
// the error is ErrSilent.
func Follow(ctx context.Context, path string, skip int, alive func(context.Context) (bool, error), out io.Writer) error {
	file, err := openWhenThere(ctx, path, alive)
	if err != nil {
		return err
	}
	defer file.Close()
	reader := bufio.NewReader(file)
	var line []byte
	lives, seen := true, 0
	for {
		part, err := reader.ReadBytes('\n')
		line = append(line, part...)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err == nil {
			if seen++; seen > skip {
				if _, err := out.Write(line); err != nil {
					return err
				}
			}
			if e, err := Decode(line); err == nil && e.Kind == Result {
				return nil
			}
			line = nil
			continue
		}
		if !lives { // one more look was taken after the run was gone
			return ErrSilent
		}
		if lives, err = look(ctx, alive); err != nil {
			return err
		}
	}
}

func openWhenThere(ctx context.Context, path string, alive func(context.Context) (bool, error)) (*os.File, error) {
	for lives := true; ; {
		file, err := os.Open(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
		if !lives {
			return nil, ErrSilent
		}
		if lives, err = look(ctx, alive); err != nil {
			return nil, err
		}
	}
}

func look(ctx context.Context, alive func(context.Context) (bool, error)) (bool, error) {
	select {
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-time.After(followEvery):
	}
	return alive(ctx)
}
