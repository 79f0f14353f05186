package build

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Progress tells a person what takes so long: one line when a step starts (what, why, how long it usually takes),
// a clock while it runs, one line when it ends. On a terminal the clock is one line rewritten each second; anywhere
// else, such as a CI log, it is a new line every quarter of a minute.
type Progress struct {
	mu    sync.Mutex
	out   io.Writer
	every time.Duration // between two lines of the clock
	live  bool          // the clock rewrites its own line
}

// NewProgress writes to out, which is usually os.Stderr.
func NewProgress(out io.Writer) *Progress {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &Progress{out: out, every: time.Second, live: true}
	}
	return &Progress{out: out, every: 15 * time.Second}
}

// Say writes one line.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(fmt.Sprintf(format, args...) + "\n")
}

func (p *Progress) line(text string) {
	if p.live {
		text = "\r\x1b[K" + text
	}
	io.WriteString(p.out, text)
}

// Step is one piece of work in progress. Its methods may be called from any goroutine.
type Step struct {
	p      *Progress
	what   string
	start  time.Time
	mu     sync.Mutex
	status string
	stop   chan struct{}
	done   sync.WaitGroup
	once   sync.Once
}

// Step announces a piece of work and starts its clock: what it is ("mattermost 9.10.0"), why it is done, and how
// long it usually takes when nothing is cached (0: quick, not worth a word). Call Done or Failed exactly when it ends.
func (p *Progress) Step(what, why string, usual time.Duration) *Step {
	s := &Step{p: p, what: what, start: time.Now(), stop: make(chan struct{})}
	text := "building " + what
	if why != "" {
		text += ": " + why
	}
	if usual > 0 {
		text += fmt.Sprintf(" (about %s on two cores, then kept)", roughly(usual))
	}
	p.Say("%s", text)
	s.done.Go(s.tick)
	return s
}

// Status sets what the clock shows beside the time.
func (s *Step) Status(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = fmt.Sprintf(format, args...)
}

// Elapsed is how long the step has run.
func (s *Step) Elapsed() time.Duration { return time.Since(s.start) }

// Done stops the clock and says how long the step took and what came of it.
func (s *Step) Done(format string, args ...any) {
	s.halt()
	s.p.Say("  built %s in %s: %s", s.what, clock(s.Elapsed()), fmt.Sprintf(format, args...))
}

// Failed stops the clock; the error itself is the caller's to report.
func (s *Step) Failed() {
	s.halt()
	s.p.Say("  %s went wrong after %s", s.what, clock(s.Elapsed()))
}

func (s *Step) halt() {
	s.once.Do(func() { close(s.stop) })
	s.done.Wait()
}

func (s *Step) tick() {
	t := time.NewTicker(s.p.every)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
		}
		s.mu.Lock()
		text := "  " + clock(s.Elapsed()) + "  " + s.status
		s.mu.Unlock()
		if !s.p.live {
			text += "\n"
		}
		s.p.mu.Lock()
		s.p.line(text)
		s.p.mu.Unlock()
	}
}

// clock is a duration as on a stopwatch, 3:07.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func roughly(d time.Duration) string {
	if d < 90*time.Second {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d min", int((d + 30*time.Second).Minutes()))
}

// Size is a number of bytes for people, 78.2 MB.
func Size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(n)/1e3)
}
