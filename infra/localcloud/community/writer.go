package community

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Ledger is what a writer knows: all that the server acknowledged, and so may not lose.
type Ledger struct {
	Posts   []Post
	Files   []File
	Refused int // tries that got no acknowledgement; whether they are there is not known

	Gap     time.Duration // the longest time without an acknowledgement: the outage as a writer sees it
	GapFrom time.Time
}

// Writer is somebody who posts ten times a second, each tenth time with a file, until told to end.
type Writer struct {
	mu     sync.Mutex
	ledger Ledger
	last   time.Time // of an acknowledgement
	stop   context.CancelFunc
	ended  chan struct{}
}

// writeEvery is the pause between two posts, and fileEvery how many posts come between two files.
const (
	writeEvery = 100 * time.Millisecond
	fileEvery  = 10
)

// Write begins to write to the channel, until ctx ends or End is called. What fails is not tried
// again: the next one is.
func (c *Client) Write(ctx context.Context, channel string) *Writer {
	ctx, stop := context.WithCancel(ctx)
	w := &Writer{last: time.Now(), stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		tick := time.NewTicker(writeEvery)
		defer tick.Stop()
		for i := 1; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// Not ctx: what is on its way when the writer ends may be acknowledged.
			w.write(context.WithoutCancel(ctx), c, channel, i)
		}
	}()
	return w
}

func (w *Writer) write(ctx context.Context, c *Client, channel string, i int) {
	post := Post{Channel: channel, Message: fmt.Sprintf("Written meanwhile, %d", i)}
	if i%fileEvery == 0 {
		file, err := c.attach(ctx, channel, fmt.Sprintf("note-%d.txt", i), []byte(rand.Text()))
		file.Taken = time.Now()
		w.note(err, func(l *Ledger) { l.Files = append(l.Files, file) })
		if err != nil {
			return
		}
		post.Files = []string{file.ID}
	}
	made, err := c.Post(ctx, post)
	w.note(err, func(l *Ledger) { l.Posts = append(l.Posts, made) })
}

func (w *Writer) note(err error, add func(*Ledger)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.ledger.Refused++
		return
	}
	add(&w.ledger)
	if gap := time.Since(w.last); gap > w.ledger.Gap {
		w.ledger.Gap, w.ledger.GapFrom = gap, w.last
	}
	w.last = time.Now()
}

// SoFar is the ledger at this moment.
func (w *Writer) SoFar() Ledger {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.ledger
	l.Posts, l.Files = append([]Post(nil), l.Posts...), append([]File(nil), l.Files...)
	return l
}

// End ends the writing and gives the ledger. It waits for what is on its way.
func (w *Writer) End() Ledger {
	w.stop()
	<-w.ended
	return w.SoFar()
}

// Lost says what was acknowledged and is not there as it was written; empty is what it should be.
func (l Ledger) Lost(ctx context.Context, c *Client) []error {
	var lost []error
	for _, want := range l.Posts {
		var got Post
		err := c.call(ctx, http.MethodGet, "/posts/"+want.ID, nil, &got)
		if err := differ("post "+want.ID, want.Message, got.Message, err); err != nil {
			lost = append(lost, err)
		}
	}
	for _, f := range l.Files {
		if err := sameContent(ctx, c, f.Name, "/files/"+f.ID, f.SHA256); err != nil {
			lost = append(lost, err)
		}
	}
	return lost
}
