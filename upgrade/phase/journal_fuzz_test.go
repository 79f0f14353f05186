package phase

import (
	"encoding/json"
	"testing"
)

// A line of a log comes from the host over the network. Whatever it is, it is refused or is an event
// that is written and read as the same one; and only a result carries a report.
func FuzzDecode(f *testing.F) {
	for _, line := range []string{
		`{"time":"2026-11-22T01:30:00Z","run":"20261122T013000Z-apply","kind":"begin","phase":"swap the versions"}`,
		`{"time":"2026-11-22T01:30:00Z","run":"x","kind":"progress","done":5,"total":10,"unit":"bytes"}`,
		`{"kind":"result","data":{"id":"20261122T013000Z-apply","outcome":"done","exit":0,"phases":[{"title":"watch","took_ns":1}]}}`,
		`{"kind":"result","data":[1]}`, `{"kind":"result","data":{"exit":"x"}}`, `{"kind":1}`, `{"time":"yesterday"}`, `null`, `[]`, `{`, "",
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := Decode(line)
		if err != nil {
			return
		}
		if _, ok := ReportOf(e); ok && e.Kind != Result {
			t.Errorf("a %q event carries a report", e.Kind)
		}
		written, err := json.Marshal(e)
		if err != nil {
			return // a year that no line of ours can have
		}
		again, err := Decode(written)
		if err != nil {
			t.Fatalf("written as %s: %v", written, err)
		}
		if again.Kind != e.Kind || again.Phase != e.Phase || again.Run != e.Run || again.Text != e.Text || again.Took != e.Took {
			t.Errorf("%+v is read again as %+v", e, again)
		}
	})
}
