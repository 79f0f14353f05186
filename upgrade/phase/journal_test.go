package phase

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"townsquare/upgrade/secret"
)

const journalID = "20261122T010203Z-apply"

func TestJournal(t *testing.T) {
	var r secret.Redactor
	r.Add("hunter22hunter22")
	dir := t.TempDir()
	j, err := OpenJournal(dir, journalID, &r)
	if err != nil {
		t.Fatal(err)
	}
	report := Report{Exit: 4, Warnings: []string{"w"}}
	for _, e := range []Event{
		{Kind: Begin, Phase: "fetch", Run: journalID},
		{Kind: Progress, Done: 1, Total: 2, Unit: "bytes"},
		{Kind: Note, Text: "password hunter22hunter22"},
		{Kind: Result, Data: report},
	} {
		if err := j.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	path, err := JournalPath(dir, journalID)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(data), "hunter22") {
		t.Errorf("%s, %v", data, err)
	}
	var out bytes.Buffer
	if err := Follow(t.Context(), path, 2, nil, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last, err := Decode([]byte(lines[len(lines)-1]))
	if err != nil || len(lines) != 2 {
		t.Fatalf("%q, %v", lines, err)
	}
	if got, ok := ReportOf(last); !ok || got.Exit != 4 || got.Warnings[0] != "w" {
		t.Errorf("report %+v, %v", got, ok)
	}
}

func TestJournalNamesAreChecked(t *testing.T) {
	for _, id := range []string{"", "../../etc/passwd", "20261122T010203Z-apply/../x", "20261122T010203Z-", "x"} {
		if path, err := JournalPath("/runs", id); err == nil {
			t.Errorf("%q gave %s", id, path)
		}
	}
	if id := NewID("apply", time.Date(2026, 11, 22, 2, 2, 3, 0, time.FixedZone("CET", 3600))); id != journalID {
		t.Errorf("id %s", id)
	}
}

// Following begins before the log is there, waits for whole lines, and ends when the run does.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, err := JournalPath(t.TempDir(), journalID)
		if err != nil {
			t.Fatal(err)
		}
		lives := true
		alive := func(context.Context) (bool, error) { return lives, nil }
		var out bytes.Buffer
		ended := make(chan error, 1)
		go func() { ended <- Follow(t.Context(), path, 0, alive, &out) }()
		time.Sleep(time.Second)
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, part := range []string{`{"kind":"be`, `gin"}`, "\n", `{"kind":"note"}` + "\n"} {
			if _, err := file.WriteString(part); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if got := out.String(); got != "{\"kind\":\"begin\"}\n{\"kind\":\"note\"}\n" {
			t.Errorf("got %q", got)
		}
		lives = false
		if err := <-ended; !errors.Is(err, ErrSilent) {
			t.Errorf("error is %v", err)
		}
	})
}

// A line that a power cut or a full disk tore does not take the next one with it.
func TestTornLine(t *testing.T) {
	const id = "20261122T013000Z-apply"
	dir := t.TempDir()
	path := filepath.Join(dir, id+".jsonl")
	if err := os.WriteFile(path, []byte(`{"kind":"begin"}`+"\n"+`{"kind":"undo`), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := OpenJournal(dir, id, &secret.Redactor{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := j.Write(Event{Kind: Result}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || j.Close() != nil {
		t.Fatal(err)
	}
	var kinds []string
	for line := range strings.Lines(string(text)) {
		e, _ := Decode([]byte(line))
		kinds = append(kinds, string(e.Kind))
	}
	if got := strings.Join(kinds, " "); got != "begin  result result" {
		t.Errorf("lines are %q in\n%s", got, text)
	}
}
