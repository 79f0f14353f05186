package mattermost

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"townsquare/upgrade/host"
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

func (s Service) unlike(ctx context.Context, usual Service, t time.Time) ([]Complaint, error) {
	before, err := usual.journal(ctx, t.AddDate(0, -1, 0), t)
	if err != nil {
		return nil, err
	}
	after, err := s.journal(ctx, t, time.Time{})
	if err != nil {
		return nil, err
	}
	return fresh(before, after), nil
}

// journal is what the service logged as an error, from one moment to another; a zero to is now.
func (s Service) journal(ctx context.Context, from, to time.Time) (string, error) {
	run := s.Run
	if run == nil {
		run = host.Run
	}
	args := []string{"_SYSTEMD_UNIT=" + s.Unit, "--output=cat", "--no-pager", "--quiet", "--since=" + stamp(from),
		`--grep="level":"(error|critical|fatal|panic)"|^(error|critical|fatal|panic) +\[`}
	if !to.IsZero() {
		args = append(args, "--until="+stamp(to))
	}
	out, err := run(ctx, host.Command{Name: "journalctl", Args: args})
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == 1 && exit.Stderr == "" { // nothing found
		err = nil
	}
	return string(out), err
}

// fresh are the complaints in after that before does not have, the most frequent first.
func fresh(before, after string) []Complaint {
	known := complaints(before)
	var found []Complaint
	for kind, c := range complaints(after) {
		if _, old := known[kind]; !old {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b Complaint) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Message, b.Message)
	})
	return found
}

// plainLine is a line of a server whose console is not JSON: its level, the time, and the message up
// to its first field.
var plainLine = regexp.MustCompile(`^(error|critical|fatal|panic) +\[[^\]]*\] +(.*?)(?: +[a-z_]+=.*)?$`)

// complaints counts the errors in a log by their kind.
func complaints(log string) map[string]Complaint {
	found := map[string]Complaint{}
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		var e struct {
			Level, Msg string
			HTTP       int `json:"http_code"`
		}
		if json.Unmarshal([]byte(line), &e) != nil {
			m := plainLine.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			e.Level, e.Msg = m[1], m[2]
		}
		if !slices.Contains([]string{"error", "critical", "fatal", "panic"}, e.Level) {
			continue
		}
		kind := variable.ReplaceAllString(e.Msg, "*")
		c, seen := found[kind]
		if !seen {
			c.Message = e.Msg
		}
		c.Count++
		c.Grave = c.Grave || e.Level != "error" || e.HTTP >= 500
		found[kind] = c
	}
	return found
}

// variable is what differs between two messages of one kind: what is quoted, the server's ids of 26
// characters, addresses, paths and numbers.
var variable = regexp.MustCompile(`"[^"]*"|'[^']*'|\b[a-z0-9]{26}\b|https?://\S+|(?:/[\w.-]+){2,}|[0-9]+`)
