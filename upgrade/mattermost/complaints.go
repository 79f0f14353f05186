package mattermost

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/printable"
)

// Complaint is one kind of error in the server's log: all messages that differ in their variable
// parts only. Not the place in the source tells kinds apart: lines move with every release.
type Complaint struct {
	Message string // as first seen
	Count   int
	Grave   bool // it failed a user's request (HTTP 5xx), or the server calls it worse than an error
}

// readingLog bounds the reading of a month of logs.
const readingLog = 30 * time.Second

// NewComplaints are the kinds of errors that the service logged since t and never in the month
// before: most servers complain of something, such as their mail, all the time. The error says that
// the journal could not be read: then nobody knows.
func (s Service) NewComplaints(ctx context.Context, t time.Time) ([]Complaint, error) {
	ctx, cancel := context.WithTimeout(ctx, readingLog)
	defer cancel()
	return s.unlike(ctx, s, t)
}

// ComplaintsUnlike are the kinds of errors that this service logged since t and the usual one never
// in the month before: what the one that serves complains of, too, is no news.
func (s Service) ComplaintsUnlike(ctx context.Context, usual Service, t time.Time) ([]Complaint, error) {
	ctx, cancel := context.WithTimeout(ctx, readingLog)
	defer cancel()
	return s.unlike(ctx, usual, t)
}

// A month of a noisy server's errors can be gigabytes: of what is new so many kinds are kept, of a
// message and of a line so many bytes. What was before is only compared with them.
const (
	mostKinds      = 200
	longestMessage = 1000
	longestLine    = 64 << 10
)

func (s Service) unlike(ctx context.Context, usual Service, t time.Time) ([]Complaint, error) {
	fresh := map[string]Complaint{}
	err := s.journal(ctx, t, time.Time{}, func(kind string, c Complaint) bool {
		if seen, known := fresh[kind]; known {
			c.Message, c.Count, c.Grave = seen.Message, seen.Count+1, seen.Grave || c.Grave
		}
		fresh[kind] = c
		return len(fresh) < mostKinds
	})
	if err != nil || len(fresh) == 0 {
		return nil, err
	}
	err = usual.journal(ctx, t.AddDate(0, -1, 0), t, func(kind string, _ Complaint) bool {
		delete(fresh, kind)
		return len(fresh) > 0
	})
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(fresh), func(a, b Complaint) int { // the most frequent first
		return cmp.Or(b.Count-a.Count, strings.Compare(a.Message, b.Message))
	}), nil
}

// errEnough ends the reading of a journal.
var errEnough = errors.New("enough was read")

// journal reads what the service logged as an error, from one moment to another, until each returns
// false; a zero to is now.
func (s Service) journal(ctx context.Context, from, to time.Time, each func(kind string, c Complaint) bool) error {
	ctx, enough := context.WithCancelCause(ctx)
	defer enough(nil)
	run := s.Run
	if run == nil {
		run = host.Run
	}
	args := []string{"_SYSTEMD_UNIT=" + s.Unit, "--output=cat", "--no-pager", "--quiet", "--since=" + stamp(from),
		`--grep="level":"(error|critical|fatal|panic)"|^(error|critical|fatal|panic) +\[`}
	if !to.IsZero() {
		args = append(args, "--until="+stamp(to))
	}
	out := &complaints{each: func(kind string, c Complaint) {
		if ctx.Err() == nil && !each(kind, c) {
			enough(errEnough)
		}
	}}
	_, err := run(ctx, host.Command{Name: "journalctl", Args: args, Stdout: out})
	out.line()
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == 1 && exit.Stderr == "" || errors.Is(err, errEnough) { // nothing found, or all that is asked for
		err = nil
	}
	return err
}

// plainLine is a line of a server whose console is not JSON: its level, the time, and the message up
// to its first field.
var plainLine = regexp.MustCompile(`^(error|critical|fatal|panic) +\[[^\]]*\] +(.*?)(?: +[a-z_]+=.*)?$`)

// complaints is a log that is written to it: each is called with the errors in it.
type complaints struct {
	each func(kind string, c Complaint)
	rest []byte
}

func (l *complaints) Write(p []byte) (int, error) {
	whole := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		part := p
		if i >= 0 {
			part = p[:i]
		}
		l.rest = append(l.rest, part[:min(len(part), longestLine-len(l.rest))]...)
		if i < 0 {
			return whole, nil
		}
		l.line()
		p = p[i+1:]
	}
}

// line looks at the line that has ended.
func (l *complaints) line() {
	text := bytes.TrimSpace(l.rest)
	l.rest = l.rest[:0]
	var e struct {
		Level, Msg string
		HTTP       int `json:"http_code"`
	}
	if json.Unmarshal(text, &e) != nil {
		m := plainLine.FindSubmatch(text)
		if m == nil {
			return
		}
		e.Level, e.Msg = string(m[1]), string(m[2])
	}
	if !slices.Contains([]string{"error", "critical", "fatal", "panic"}, e.Level) {
		return
	}
	message := printable.Line(e.Msg)
	message = strings.ToValidUTF8(message[:min(len(message), longestMessage)], "")
	l.each(variable.ReplaceAllString(message, "*"), Complaint{Message: message, Count: 1, Grave: e.Level != "error" || e.HTTP >= 500})
}

// variable is what differs between two messages of one kind: what is quoted, the server's ids of 26
// characters, addresses, paths and numbers.
var variable = regexp.MustCompile(`"[^"]*"|'[^']*'|\b[a-z0-9]{26}\b|https?://\S+|(?:/[\w.-]+){2,}|[0-9]+`)
