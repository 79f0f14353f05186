package phase

import (
	"context"
	"errors"
	"testing"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

// Each look at the repository is remembered, but one that was interrupted or could not begin.
func TestNoteRepository(t *testing.T) {
	lost := &backup.OpenError{Repository: "s3:https://fra1.example.org/b", Cause: errors.New("the repository that was there is gone")}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"lost":           {lost, lost.Error()},
		"opens":          {nil, ""},
		"none":           {backup.ErrNone, ""},
		"interrupted":    {&backup.OpenError{Repository: "r", Cause: ErrInterrupted}, "before"},
		"cancelled":      {&backup.OpenError{Repository: "r", Cause: context.Canceled}, "before"},
		"restic missing": {problem.List{{Where: "restic", Found: "not installed"}}, "before"},
	} {
		got := "before"
		op := &Operation{Pending: func(kind schedule.Kind, p state.Pending) (state.Pending, error) {
			if kind != schedule.Repository {
				t.Errorf("%s: noted as %s", name, kind)
			}
			got = p.What
			return p, nil
		}}
		if err := noteRepository(op, c.err); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}
