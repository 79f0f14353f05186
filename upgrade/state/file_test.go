package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func full() *State {
	at := time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)
	return &State{Kind: Kind, Version: Version, Active: "9.10.0", Previous: "7.7.0",
		Bad: map[string]Bad{"9.9.0": {Since: at, Reason: "the server exited", Run: "r"}},
		Run: &Run{ID: "20261122T010203Z-apply", Operation: "apply", From: "7.7.0", To: "9.10.0", Started: at,
			Step: "start", PID: 42, BootID: "b", Stopped: true, StoppedAt: at},
		History: []Finished{{ID: "a", Operation: "apply", To: "7.7.0", Started: at, Ended: at, Outcome: "done",
			Phases: []PhaseTime{{Title: "stop", Took: time.Second}}}},
	}
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "state.json")
	if err := full().Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full(), got); diff != "" {
		t.Error(diff)
	}
	for p, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", p, info.Mode(), err)
		}
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}

// Room that was given up stays free until the service is back: systemd needs some to start it.
func TestRoomIsKeptWhileTheServiceServes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	s := full()
	for _, stopped := range []bool{true, false} {
		s.Run.Stopped = stopped
		if err := s.Save(path); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + roomSuffix); (err == nil) == stopped {
			t.Errorf("stopped: %v, and the room: %v", stopped, err)
		}
	}
}

func TestNothingThereIsAnEmptyRecord(t *testing.T) {
	s, err := Load(filepath.Join(t.TempDir(), "state.json"))
	if err != nil || s.Run != nil || s.Kind != Kind {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestStrangeRecordsAreRefused(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{`{"kind":"townsquare.host","version":2}`, "newer"},
		{`{"kind":"teleport","version":1}`, "kind"},
		{`{"kind":"townsquare.host","version":0}`, "does not exist"},
		{`{"kind":"townsquare.host","version":1,"run":[]}`, "run"},
		{`{"kind":"townsquare.host","version":1,"run":{"id":"x","novel":true}}`, "newer"},
		{`{}`, "kind"},
		{``, "unexpected end"},
		{`{"kind":"townsquare.host","version":1`, "unexpected end"},
	} {
		path := filepath.Join(t.TempDir(), "state.json")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", c.text, err)
		}
		if strings.Contains(c.says, "newer") && !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v is not ErrNewer", c.text, err)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	s := new(State)
	for i := range 3 * maxHistory {
		s.History = append(s.History, Finished{ID: fmt.Sprint(i)})
	}
	path := filepath.Join(t.TempDir(), "state.json")
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.History) != maxHistory || got.History[maxHistory-1].ID != fmt.Sprint(3*maxHistory-1) {
		t.Errorf("%d runs, the last %s", len(got.History), got.History[len(got.History)-1].ID)
	}
}

// FuzzParse: whatever a disk holds, the record is refused or survives a round trip.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"kind":"townsquare.host","version":1,"active":"9.10.0","run":{"id":"x","stopped_at":"2026-11-22T01:02:03Z"}}`))
	f.Add([]byte(`{"kind":"townsquare.host","version":1,"bad":{"1":{}},"history":[{}]}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "state.json")
		if err := s.Save(path); err != nil {
			return // a time beyond the year 9999 has no JSON
		}
		again, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.Active, again.Active); diff != "" {
			t.Error(diff)
		}
	})
}
