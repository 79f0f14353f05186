package ui

import (
	"fmt"
	"time"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/phase"
)

// sayEvery is the pause between two plain lines on one phase's progress.
const sayEvery = 10 * time.Second

// lineState is what plain lines need to know of what went before.
type lineState struct {
	said time.Time // of the last line on progress
	down time.Time
}

// Event shows one event of a run.
func (p *Printer) Event(e phase.Event) {
	switch e.Kind {
	case phase.Begin:
		p.lines.said = time.Now()
		p.screen.begin(e.Phase)
	case phase.End:
		p.mark(green, p.sign("✓", "ok"), Took(e.Took), e.Phase)
	case phase.Failed:
		p.mark(red, p.sign("✗", "FAIL"), Took(e.Took), e.Phase+": "+firstLine(e.Text))
	case phase.Undoing:
		p.screen.begin("putting back: " + e.Phase)
	case phase.Undone:
		p.mark(yellow, p.sign("↺", "back"), Took(e.Took), "put back: "+e.Phase)
	case phase.Progress:
		p.progress(e)
	case phase.Note:
		p.mark(dim, p.sign("·", "note"), "", e.Text)
	case phase.Warn:
		p.mark(yellow, "!", "", e.Text)
	case phase.DownStart:
		p.lines.down = time.Now()
		if ago := time.Since(e.Time); ago > 0 && ago < time.Hour { // as when we come later to a run
			p.lines.down = e.Time
		}
		p.screen.clock(p.lines.down)
		p.mark(yellow, p.sign("▼", "down"), "", "downtime starts")
	case phase.DownEnd:
		p.screen.clock(time.Time{})
		p.mark(green, p.sign("▲", "up"), "", "downtime ends after "+Took(e.Took))
	case phase.Blocked:
		p.mark(yellow, p.sign("…", "wait"), "", e.Text)
	case phase.Leaving:
		p.mark(yellow, p.sign("⟳", "boot"), "", e.Text)
	case phase.Result:
		p.screen.clear()
	}
}

// mark writes one line with a sign, a time and words in columns.
func (p *Printer) mark(s style, sign, took, words string) {
	width := 4
	if p.unicode {
		width = 1
	}
	p.line(fmt.Sprintf("%s %9s  %s", p.paint(s, fmt.Sprintf("%-*s", width, sign)), took, printable.Line(words)))
}

func (p *Printer) progress(e phase.Event) {
	if p.screen != nil {
		p.screen.progress(e.Done, e.Total, e.Unit)
		return
	}
	if time.Since(p.lines.said) < sayEvery || e.Total <= 0 {
		return
	}
	p.lines.said = time.Now()
	p.mark(dim, "...", fmt.Sprintf("%d %%", e.Done*100/e.Total), e.Phase+": "+amount(e.Done, e.Total, e.Unit))
}

// Progress shows how far something is that is no phase, such as the upload.
func (p *Printer) Progress(title string, done, total int64) {
	if p.screen == nil {
		return
	}
	if done == 0 || p.screen.title != title {
		p.screen.begin(title)
	}
	p.screen.progress(done, total, "bytes")
	if done >= total {
		p.screen.clear()
	}
}

// Busy shows that something goes on; Close, Result or the next event ends it.
func (p *Printer) Busy(what string) { p.screen.begin(what) }

// Idle takes away what Busy shows.
func (p *Printer) Idle() { p.screen.clear() }

func amount(done, total int64, unit string) string {
	if unit == "bytes" {
		return fmt.Sprintf("%.0f of %.0f MB", float64(done)/1e6, float64(total)/1e6)
	}
	return fmt.Sprintf("%d of %d %s", done, total, unit)
}

// Took writes how long something took, as a person says it.
func Took(d time.Duration) string { return printable.Took(d) }

func firstLine(s string) string {
	for i, r := range s {
		if r == '\n' {
			return s[:i]
		}
	}
	return s
}
