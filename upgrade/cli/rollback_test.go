package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/secret"
	"townsquare/upgrade/ui"
)

// A way on which something is lost is gone only when the person named it.
func TestChooseWay(t *testing.T) {
	keeps := phase.Way{Name: phase.WayDowngrade, Keeps: true}
	drops := phase.Way{Name: phase.WayDowngrade, Keeps: true, Drops: map[string]int{"channelbookmarks": 2}}
	closed := phase.Way{Name: phase.WayDowngrade, Keeps: true, Problems: problem.List{{Found: "no plan"}}}
	loses, kept := phase.Way{Name: phase.WayCheckpoint}, phase.Way{Name: "backup=1a2b3c4d"}
	for name, c := range map[string]struct {
		ways  []phase.Way
		way   string
		yes   bool
		types string
		want  string // or, without one, an error
	}{
		"nothing is lost":                  {ways: []phase.Way{keeps, loses}, yes: true, want: "downgrade"},
		"something is lost on every way":   {ways: []phase.Way{drops, loses}, yes: true},
		"the way that keeps is closed":     {ways: []phase.Way{closed, loses}, yes: true},
		"named":                            {ways: []phase.Way{keeps, loses}, way: "checkpoint", yes: true, want: "checkpoint"},
		"named, the newest backup":         {ways: []phase.Way{keeps, loses, kept}, way: "backup", yes: true, want: "backup=1a2b3c4d"},
		"named and asked":                  {ways: []phase.Way{keeps, loses}, way: "checkpoint", types: "y\n", want: "checkpoint"},
		"named and thought better of":      {ways: []phase.Way{keeps, loses}, way: "checkpoint", types: "n\n"},
		"asked":                            {ways: []phase.Way{keeps, loses}, types: "checkpoint\n", want: "checkpoint"},
		"asked, and nothing said":          {ways: []phase.Way{keeps, loses}, types: "\n"},
		"asked, and a closed way answered": {ways: []phase.Way{closed, loses}, types: "downgrade\n"},
		"all are closed":                   {ways: []phase.Way{closed}, types: "downgrade\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			a := &app{stdin: strings.NewReader(c.types)}
			a.printer = ui.New(&out, &out, func(string) string { return "" }, &secret.Redactor{})
			got, err := a.chooseWay(t.Context(), phase.Preview{From: "9.10.0", To: "7.7.0", Ways: c.ways}, &rollbackOptions{way: c.way, yes: c.yes})
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
			var usage *usageError
			if c.yes && c.want == "" && !errors.As(err, &usage) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
