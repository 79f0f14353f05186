package phase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"townsquare/upgrade/release"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
)

// Choose reads the vendor's pages and picks the version to install.
type Choose struct{}

// Title says what a person reads.
func (Choose) Title() string { return "choose a version" }

// Run fills op.Choice; Done when the host has it already.
func (Choose) Run(ctx context.Context, op *Operation) error {
	catalog, err := op.Releases.Catalog(ctx)
	if err != nil {
		return fmt.Errorf("read what releases there are: %w", err)
	}
	return op.choose(catalog)
}

// choose picks from what there is.
func (op *Operation) choose(catalog *release.Catalog) error {
	for _, w := range catalog.Warnings {
		op.Warn("%s", w)
	}
	for _, name := range op.Named {
		if v, err := release.Parse(name); err == nil && !catalog.Lists(v, edition(op)) {
			op.unlisted = append(op.unlisted, v.String())
		}
	}
	choice, err := choose(catalog, op)
	var refused *release.ChoiceError
	if errors.As(err, &refused) {
		return refused.Problems
	}
	if err != nil {
		return err
	}
	op.Choice = choice
	for _, w := range choice.Warnings {
		op.Warn("%s", w)
	}
	pending := op.remember(catalog)
	switch {
	case choice.UpToDate && choice.Waiting != nil:
		return &Later{Why: choice.Why, Person: true}
	case choice.UpToDate:
		return Done
	}
	if op.Facts.Installed() { // nobody misses what was never there
		if err := op.begin(schedule.Upgrade, pending.Security); err != nil {
			return err
		}
	}
	if choice.Waiting != nil {
		op.Note("%s is a larger step, and waits for a person", choice.Waiting.Version)
	}
	var stops []string
	for _, version := range choice.Path {
		stops = append(stops, version.String())
	}
	if len(stops) > 0 {
		op.Note("%s is reached by way of %s; this run goes to %s", choice.Target.Version, strings.Join(stops, ", "), choice.Next.Version)
	}
	return nil
}

// remember notes what waits for this host: what it may install by itself, which it returns, and the
// larger step that waits for a person. Whoever looks, and whatever they ask for, it is what an
// unattended run would find.
func (op *Operation) remember(catalog *release.Catalog) state.Pending {
	var own, larger, held, unsupported Waiting
	if op.Facts.Installed() {
		p := policy(op)
		p.To, p.Reach, p.Failed = "", ownReach(op), failed(op)
		choice, err := release.Choose(catalog, op.Facts.Version, p)
		if err != nil { // only where someone asks for a version by number
			return state.Pending{}
		}
		if !choice.UpToDate {
			own = waits(choice.Target)
		}
		larger = waits(choice.Waiting)
		if own.What == "" && larger.What == "" {
			held.What = heldWords(choice.Held)
		}
		if !choice.Ended.IsZero() {
			unsupported.What = fmt.Sprintf("%s reached end of life on %s", op.Facts.Version, choice.Ended.Format(time.DateOnly))
		}
	}
	op.note(schedule.Larger, larger)
	op.note(schedule.Held, held)
	op.note(schedule.Unsupported, unsupported)
	return op.note(schedule.Upgrade, own)
}

func heldWords(held []release.Held) string {
	words := make([]string, len(held))
	for i, h := range held {
		words[i] = h.String()
	}
	return strings.Join(words, "; ")
}

func waits(r *release.Release) Waiting {
	if r == nil {
		return Waiting{}
	}
	return Waiting{What: "Mattermost " + r.Version.String(), Security: r.Security, Published: r.Published}
}

// arrived forgets what waited for a host that is now on version to, unless that is a stop on the way.
func (op *Operation) arrived(to string) {
	c := op.Choice
	if c.Target == nil || c.Target.Version.String() != to {
		return
	}
	op.note(schedule.Upgrade, Waiting{})
	op.note(schedule.Held, Waiting{})
	op.note(schedule.Unsupported, Waiting{}) // the next check knows of this version
	if c.Waiting == nil {
		op.note(schedule.Larger, Waiting{})
	}
}

// ownReach is how far a machine may go by itself.
func ownReach(op *Operation) string { return cmp.Or(op.Config.Automatic, release.ReachPatch) }

func choose(catalog *release.Catalog, op *Operation) (release.Choice, error) {
	p := policy(op)
	if op.Facts.Installed() || op.Facts.Last == "" {
		return release.Choose(catalog, op.Facts.Version, p)
	}
	// A rebuilt host: its database and files were last used by this version, so it is upgraded from
	// there; where nothing newer is due, that very version comes back.
	last, err := release.Parse(op.Facts.Last)
	if err != nil {
		return release.Choice{}, err
	}
	choice, err := release.Choose(catalog, last, p)
	if err != nil || !choice.UpToDate {
		return choice, err
	}
	p.To = op.Facts.Last
	return release.Choose(catalog, release.Version{}, p)
}

// policy is what the operator wants, with the versions that failed on this host.
func policy(op *Operation) release.Policy {
	p := release.Policy{Edition: edition(op), Track: op.Config.Track, Arch: op.Arch, To: op.To, Skip: op.Config.Skip, Failed: map[string]string{}}
	if op.Unattended || op.ByItself {
		p.Reach = ownReach(op)
	}
	if !op.Retry {
		p.Failed = failed(op)
	}
	return p
}

// failed are the versions that failed, here or elsewhere, or were rolled back by hand, and how.
func failed(op *Operation) map[string]string {
	all := map[string]string{}
	maps.Copy(all, op.Config.Elsewhere)
	for version, bad := range op.Record.Bad {
		all[version] = fmt.Sprintf("it failed here on %s: %s", bad.Since.Format(time.DateOnly), bad.Reason)
		if bad.Reason == rolledBackByHand {
			all[version] = fmt.Sprintf("%s on %s", bad.Reason, bad.Since.Format(time.DateOnly))
		}
	}
	return all
}

// edition is the one that is installed: it is never changed. Only a first installation asks the
// operator.
func edition(op *Operation) release.Edition {
	switch {
	case op.Facts.Edition != "": // installed, or noted beside the state that a rebuilt host found
		return op.Facts.Edition
	case op.Config.Edition != "":
		return release.Edition(op.Config.Edition)
	default:
		return release.Team
	}
}
