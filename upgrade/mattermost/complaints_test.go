package mattermost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/host"
)

// logs is a service with a log of the month before and one since.
func logs(before, after string) Service {
	return Service{Unit: "mm.service", Run: func(_ context.Context, c host.Command) ([]byte, error) {
		text := after
		if strings.Contains(strings.Join(c.Args, " "), "--until=") {
			text = before
		}
		_, err := io.WriteString(c.Stdout, text)
		return nil, err
	}}
}

func TestNewComplaints(t *testing.T) {
	before := `{"level":"error","msg":"mail"}
{"level":"error","msg":"user \"ada\" has 3 things","caller":"app/x.go:1"}
error [2026-11-22 04:04:34.378 Z] Unable to save the file caller="app/file.go:12"
noise`
	after := `{"level":"error","msg":"mail","caller":"app/mail.go:7"}
{"level":"error","msg":"user \"grace\" has 12 things","caller":"app/y.go:2"}
{"level":"warn","msg":"w"}
{"level":"error","msg":"no column for 8u6x3ehzo7r1zdxeqoptbs1yde","http_code":500}
{"level":"error","msg":"no column for 5u6x3ehzo7r1zdxeqoptbs1ydx","http_code":404}
error [2026-11-22 04:05:34.378 Z] Unable to save the file caller="app/file.go:99"
error [2026-11-22 04:05:34.378 Z] Unable to read the file caller="app/file.go:99"
{"level":"panic","msg":"b\u001b[2J\n"}`
	want := []Complaint{
		{"no column for 8u6x3ehzo7r1zdxeqoptbs1yde", 2, true},
		{"Unable to read the file", 1, false},
		{"b[2J ", 1, true},
	}
	got, err := logs(before, after).NewComplaints(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// However much a server complains, little of it is in memory at a time, and reading ends as soon as
// nothing more can come of it.
func TestComplaintsAreBounded(t *testing.T) {
	var after strings.Builder
	for i := range 3 * mostKinds {
		fmt.Fprintf(&after, "{\"level\":\"error\",\"msg\":\"kind %s %s\"}\n", strings.Repeat("x", i), strings.Repeat("y", 1000))
	}
	got, err := logs("", after.String()+strings.Repeat("z", 10<<20)).NewComplaints(t.Context(), time.Now())
	if err != nil || len(got) != mostKinds || len(got[0].Message) > longestMessage {
		t.Errorf("%d kinds, %v", len(got), err)
	}

	s, written := logs("", "{\"level\":\"error\",\"msg\":\"mail\"}\n"), 0
	run := s.Run
	s.Run = func(ctx context.Context, c host.Command) ([]byte, error) {
		if !strings.Contains(strings.Join(c.Args, " "), "--until=") {
			return run(ctx, c)
		}
		for range 1_000_000 { // a month of one error
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, context.Cause(ctx))
			}
			n, err := io.WriteString(c.Stdout, "{\"level\":\"error\",\"msg\":\"mail\"}\n")
			if written += n; err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	if got, err := s.NewComplaints(t.Context(), time.Now()); err != nil || len(got) != 0 || written > 1000 {
		t.Errorf("%v, %v after %d bytes", got, err, written)
	}
}

// A journal that cannot be read is no journal without errors.
func TestComplaintsThatNobodyKnows(t *testing.T) {
	for code, fails := range map[int]bool{0: false, 1: false, 2: true} {
		s := Service{Unit: "mm.service", Run: func(_ context.Context, c host.Command) ([]byte, error) {
			if !strings.HasPrefix(strings.Join(c.Args, " "), "_SYSTEMD_UNIT=mm.service") {
				return nil, errors.New("of another service")
			}
			if code == 0 {
				return nil, nil
			}
			return nil, &host.ExitError{Name: c.Name, Code: code}
		}}
		if found, err := s.NewComplaints(t.Context(), time.Now()); (err != nil) != fails || len(found) != 0 {
			t.Errorf("journalctl ends with %d: %v, %v", code, found, err)
		}
	}
}
