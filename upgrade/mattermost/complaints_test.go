package mattermost

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/host"
)

func TestFresh(t *testing.T) {
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
{"level":"panic","msg":"b"}`
	want := []Complaint{
		{"no column for 8u6x3ehzo7r1zdxeqoptbs1yde", 2, true},
		{"Unable to read the file", 1, false},
		{"b", 1, true},
	}
	if diff := cmp.Diff(want, fresh(before, after)); diff != "" {
		t.Error(diff)
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
