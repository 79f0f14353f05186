package ui

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/schollz/progressbar/v3"
)

const redrawEvery = 100 * time.Millisecond

// screen keeps one moving line at the bottom of a terminal: what goes on, a bar where there is one,
// and the downtime clock. A nil screen, off a terminal, shows nothing.
type screen struct {
	mu    sync.Mutex
	to    io.Writer
	width func() int
	stop  chan struct{} // closes the redrawing; nil when nothing moves

	title string
	since time.Time
	bar   *progressbar.ProgressBar
	down  time.Time
	drawn bool
	frame int
}

func newScreen(to io.Writer, width func() int) *screen { return &screen{to: to, width: width} }

// begin shows title as what goes on now.
func (s *screen) begin(title string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.title, s.since, s.bar = title, time.Now(), nil
	s.draw()
	if s.stop == nil {
		s.stop = make(chan struct{})
		go s.redraw(s.stop)
	}
}

// progress shows a bar, in bytes or in pieces.
func (s *screen) progress(done, total int64, unit string) {
	if s == nil || total <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if done >= total { // what is left of the phase has no measure: its time is shown
		s.bar = nil
		return
	}
	if s.bar == nil {
		s.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(io.Discard),
			progressbar.OptionSetWidth(24),
			progressbar.OptionShowBytes(unit == "bytes"),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(unit == "bytes"),
			progressbar.OptionSetTheme(progressbar.ThemeASCII))
	}
	if s.bar.GetMax64() != total {
		s.bar.ChangeMax64(total)
	}
	_ = s.bar.Set64(done)
}

// clock shows the time since, as that of the service being away; a zero time ends it.
func (s *screen) clock(since time.Time) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = since
}

// above writes what stays, with the moving line out of the way.
func (s *screen) above(write func()) {
	if s == nil {
		write()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	write()
	if s.stop != nil {
		s.draw()
	}
}

// clear ends the moving line.
func (s *screen) clear() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		close(s.stop)
		s.stop = nil
	}
	s.wipe()
}

func (s *screen) redraw(stop chan struct{}) {
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			s.mu.Lock()
			if s.stop == stop {
				s.draw()
			}
			s.mu.Unlock()
		}
	}
}

func (s *screen) wipe() {
	if s.drawn {
		fmt.Fprint(s.to, "\r\x1b[K")
		s.drawn = false
	}
}

func (s *screen) draw() {
	s.frame++
	text := fmt.Sprintf("%c %s", `|/-\`[s.frame%4], s.title)
	if s.bar != nil {
		text += "  " + trimBar(s.bar.String())
	} else {
		text += "  " + Took(time.Since(s.since))
	}
	if !s.down.IsZero() {
		text += fmt.Sprintf("   downtime %.1f s", time.Since(s.down).Seconds())
	}
	fmt.Fprint(s.to, "\r\x1b[K"+runewidth.Truncate(text, s.width()-1, ""))
	s.drawn = true
}

func trimBar(s string) string {
	for len(s) > 0 && (s[0] == '\r' || s[0] == '\n' || s[0] == ' ') {
		s = s[1:]
	}
	return s
}
