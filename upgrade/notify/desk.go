package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// How long the same words about the same thing are not said again. Those that are urgent, or of a run
// that failed, come again every day, an hour early so that a daily timer's jitter does not make it
// every second day.
const (
	quiet    = 7 * 24 * time.Hour
	quietDay = 23 * time.Hour
)

// keepUnsent is how many messages that could not be sent are kept for the next occasion.
const keepUnsent = 20

// Desk takes messages, and remembers what was said and what could not be.
type Desk struct {
	Sender
	Path string    // of the ledger
	Log  io.Writer // the journal: gets every message in plain text, and what went wrong
}

// Ledger is what a desk remembers.
type Ledger struct {
	Said   map[string]said `json:"said,omitempty"`
	Unsent []unsent        `json:"unsent,omitempty"`
	Failed *Failure        `json:"failed,omitempty"` // since the last message that reached everybody

	Unheard map[string]*Failure `json:"unheard,omitempty"` // heartbeats that did not arrive, by what they are of
}

type said struct {
	Hash string    `json:"hash"`
	At   time.Time `json:"at"`
}

type unsent struct {
	Message Message  `json:"message"`
	Ways    []string `json:"ways"` // that did not take it yet
}

// Failure says since when, and why, not everybody is reached.
type Failure struct {
	Since time.Time `json:"since"`
	Error string    `json:"error"`
}

// Read reads the ledger at path; one that is not there, or that was cut short, is empty.
func Read(path string) (Ledger, error) {
	l := Ledger{}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil && json.Unmarshal(data, &l) != nil {
		return Ledger{}, nil
	}
	return l, err
}

// Tell says m, after what could not be said before. An error is that of the ledger: that people are
// not reached is in the ledger and in the log, and nobody's failure.
func (d *Desk) Tell(ctx context.Context, m Message) (reached bool, err error) {
	free, err := d.alone()
	if err != nil {
		return false, err
	}
	defer free()
	l, err := Read(d.Path)
	if err != nil {
		return false, err
	}
	if l.Said == nil {
		l.Said = map[string]said{}
	}
	hash := m.hash()
	if before, ok := l.Said[m.Key]; m.Key != "" && ok && before.Hash == hash && m.Time.Sub(before.At) < m.quiet() {
		fmt.Fprintf(d.Log, "said already on %s: %s\n", before.At.Format(time.DateTime), m.subject())
		return true, nil
	}
	if m.Key != "" {
		l.Said[m.Key] = said{Hash: hash, At: m.Time}
	}
	io.WriteString(d.Log, m.Plain())
	for key, s := range l.Said {
		if m.Time.Sub(s.At) > 2*quiet {
			delete(l.Said, key)
		}
	}
	l.Unsent = append(l.Unsent, unsent{Message: m, Ways: d.Config.Ways()})
	reached = d.flush(ctx, &l, m.Time)
	return reached, d.write(l)
}

// flush sends what waits, the oldest first, and keeps what could not be sent. A way that failed once
// is not tried again for the next message: each try takes its time.
func (d *Desk) flush(ctx context.Context, l *Ledger, now time.Time) bool {
	down := map[string]error{}
	var left []unsent
	for _, u := range l.Unsent {
		var ways []string
		for _, way := range u.Ways {
			if down[way] == nil {
				down[way] = d.send(ctx, way, u.Message)
				if err := down[way]; err != nil {
					fmt.Fprintf(d.Log, "could not tell by %s: %v\n", way, err)
				}
			}
			if err := down[way]; err != nil && !errors.As(err, new(refused)) {
				ways = append(ways, way)
			}
		}
		if len(ways) > 0 {
			left = append(left, unsent{u.Message, ways})
		}
	}
	l.Unsent = left[max(0, len(left)-keepUnsent):]
	var first error
	for _, way := range d.Config.Ways() {
		if err := down[way]; err != nil && first == nil {
			first = fmt.Errorf("%s: %w", way, err)
		}
	}
	switch {
	case first == nil:
		l.Failed = nil
	case l.Failed == nil:
		l.Failed = &Failure{Since: now, Error: first.Error()}
	default:
		l.Failed.Error = first.Error()
	}
	return first == nil
}

// alone keeps two programs from telling at once: what one says, the other must know.
func (d *Desk) alone() (func(), error) {
	if err := os.MkdirAll(filepath.Dir(d.Path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(d.Path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", d.Path, err)
	}
	return func() { file.Close() }, nil
}

func (d *Desk) write(l Ledger) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(d.Path, append(data, '\n'), 0o600, renameio.IgnoreUmask())
}

func (m Message) quiet() time.Duration {
	if m.Urgent || m.Event == "failed" {
		return quietDay
	}
	return quiet
}

// hash is of what is said, whenever it is.
func (m Message) hash() string {
	m.Time = time.Time{}
	data, _ := json.Marshal(m)
	if m.Same != "" {
		data = []byte(m.Same)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}
