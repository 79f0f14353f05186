package phase

import (
	"context"
	"errors"
	"slices"
	"time"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/release"
)

// Preview is what an operation would do: the Data of the last event of Examine.
type Preview struct {
	Operation string             `json:"operation,omitempty"` // of Operations; empty for a check
	From      string             `json:"current,omitempty"`   // what is installed; empty when nothing is
	Edition   string             `json:"edition,omitempty"`
	To        string             `json:"to,omitempty"`            // what would be installed now
	Target    string             `json:"target,omitempty"`        // where the policy leads to; To may be a stop on the way
	Path      []string           `json:"path,omitempty"`          // the stops before Target
	Waiting   string             `json:"waiting,omitempty"`       // a larger step, pending approval
	Held      []release.Held     `json:"held,omitempty"`          // newer versions that are not taken, and why
	Ended     string             `json:"support_ended,omitempty"` // last day of support of what is installed, when it is over
	Unlisted  []string           `json:"unlisted,omitempty"`      // of Options.Named: what the vendor's pages do not list (yet)
	UpToDate  bool               `json:"up_to_date"`
	Failures  int                `json:"failures,omitempty"`    // how often To failed here in a row, the last times
	Newer     bool               `json:"update_available"`      // To can be installed
	Security  bool               `json:"security,omitempty"`    // Target's notes speak of security
	EndOf     string             `json:"end_of_life,omitempty"` // last day of support of Target, "2027-05-15"
	Why       string             `json:"why,omitempty"`
	Ways      []Way              `json:"ways,omitempty"`    // of a rollback
	Restore   *Restoring         `json:"restore,omitempty"` // of a restore
	Steps     []Step             `json:"steps,omitempty"`
	Warnings  []string           `json:"warnings,omitempty"`
	Problems  []problem.Problem  `json:"problems,omitempty"` // reasons to refuse
	Error     string             `json:"error,omitempty" printable:"lines"`
	Recovered string             `json:"recovered,omitempty"` // the run that was left unfinished, and was recovered before the plan
	Hint      string             `json:"hint,omitempty"`
	Running   string             `json:"running,omitempty"`        // a run in progress; nothing was examined
	Left      string             `json:"unfinished,omitempty"`     // a run that must be put back; nothing was examined
	Stuck     bool               `json:"stuck,omitempty"`          // Left said itself that it cannot be put back
	Closed    bool               `json:"outside_window,omitempty"` // an unattended run may not begin now; Why says what holds it back
	Next      time.Time          `json:"not_before,omitzero"`      // then it may; zero: it waits for a person
	System    *OSFacts           `json:"system,omitempty"`         // of the operating system
	Drift     []drift.Difference `json:"drift,omitempty"`          // of a repair: what is not as the stack says
	Instead   string             `json:"instead,omitempty"`        // of both, only this operation has something to do, and was not examined; Why says what holds the other one back
	First     string             `json:"first,omitempty"`          // this operation must come first, and nothing else was examined; Why says what for
	Exit      int                `json:"exit"`
}

// Behind reports whether no update will be installed on a server that should not stay as it is: newer
// versions are held, or support for the installed one has ended.
func (p Preview) Behind() bool {
	return p.Error == "" && p.UpToDate && p.From != "" && (len(p.Held) > 0 || p.Ended != "")
}

// Reasons returns in one line, without a full stop, what Behind found.
func (p Preview) Reasons() string {
	words := heldWords(p.Held)
	if p.Ended == "" {
		return words
	}
	if words != "" {
		words += "; "
	}
	return words + p.From + " reached end of life on " + p.Ended
}

// Step is one phase in a plan.
type Step struct {
	Title string `json:"title"`
	What  string `json:"what,omitempty"` // what it would do on this host
	Done  bool   `json:"done"`           // it only looks, and has looked
}

// Examine does the checks for real, which change nothing, and describes the rest.
func Examine(ctx context.Context, checks, rest []Phase, op *Operation) (Preview, error) {
	l := newLog(op)
	var (
		plan    Preview
		later   *Later
		instead *Instead
		nothing bool
	)
	err := func() error {
		for _, p := range checks {
			op.current = p
			began := time.Now()
			op.Emit(Event{Kind: Begin})
			err := do(ctx, p.Run, op)
			switch {
			case errors.Is(err, Done):
				nothing = true
				return nil
			case errors.As(err, &later), errors.As(err, &instead):
				op.Emit(Event{Kind: End, Took: time.Since(began)})
				return nil
			case err != nil:
				op.Emit(Event{Kind: Failed, Text: err.Error(), Took: time.Since(began)})
				return back(ctx, nil, op, err)
			}
			op.Emit(Event{Kind: End, Took: time.Since(began)})
			plan.Steps = append(plan.Steps, Step{Title: p.Title(), Done: true})
		}
		for _, p := range rest {
			step := Step{Title: p.Title()}
			if d, ok := p.(Describer); ok {
				step.What = d.Describe(op)
			}
			plan.Steps = append(plan.Steps, step)
		}
		return nil
	}()
	op.current = nil
	plan.choice(op)
	plan.UpToDate, plan.System = plan.UpToDate || nothing, op.OS
	if op.Drift != nil {
		plan.Drift = op.Drift.Differences
	}
	plan.Warnings, plan.Exit = l.warnings, Code(err)
	plan.Newer = err == nil && !plan.UpToDate
	if later != nil {
		plan.Closed, plan.Why, plan.Next, plan.Exit = true, later.Error(), later.Next, later.code()
	}
	if instead != nil {
		plan.Instead, plan.Why = instead.Operation, instead.Why
	}
	if err != nil {
		plan.Error, plan.Hint = err.Error(), Hint(err)
		var refused *Refused
		if errors.As(err, &refused) {
			plan.Problems = refused.Problems
		}
	}
	op.Emit(Event{Kind: Result, Text: plan.Error, Data: plan})
	return plan, err
}

func (p *Preview) choice(op *Operation) {
	p.From = from(op)
	if op.Facts != nil && op.Facts.Installed() {
		p.Edition = string(op.Facts.Edition)
	}
	c := op.Choice
	p.UpToDate, p.Why, p.Ways, p.Restore, p.Unlisted = c.UpToDate, c.Why, op.Ways, op.Restore, op.unlisted
	for _, v := range c.Path {
		p.Path = append(p.Path, v.String())
	}
	p.Held = c.Held
	if !c.Ended.IsZero() {
		p.Ended = c.Ended.Format(time.DateOnly)
	}
	if c.Waiting != nil {
		p.Waiting = c.Waiting.Version.String()
	}
	if c.Target != nil {
		p.Target, p.To, p.Security = c.Target.Version.String(), c.Target.Version.String(), c.Target.Security
		if !c.Target.EndOfLife.IsZero() {
			p.EndOf = c.Target.EndOfLife.Format(time.DateOnly)
		}
	}
	if c.Next != nil {
		p.To = c.Next.Version.String()
	}
	for _, f := range slices.Backward(op.Record.History) {
		if f.To == "" || f.Operation == "rehearse" { // between two upgrades
			continue
		}
		if p.To == "" || f.To != p.To || f.Outcome != OutcomeRolledBack {
			break
		}
		p.Failures++
	}
}

// Hint returns what err, or an error in its chain, says can be typed; the outermost wins.
func Hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
