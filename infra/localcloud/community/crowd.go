package community

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Crowd is a square with people on it: one writes and uploads, some read, and some listen for what is
// new, over websockets, and come back when they are cut off. Each keeps its connection open.
type Crowd struct {
	writer  *Writer
	stop    context.CancelFunc
	wait    sync.WaitGroup
	dials   atomic.Int64
	mu      sync.Mutex
	traffic Traffic
}

// Traffic is what a crowd did, and what of it failed.
type Traffic struct {
	Posts       int            `json:"posts"`
	Uploads     int            `json:"uploads"`
	Reads       int            `json:"reads"`
	Messages    int            `json:"messages"`         // that arrived by websocket
	Failed      int            `json:"failed"`           // requests without a good answer, connecting a websocket among them
	Wrong       map[string]int `json:"wrong,omitempty"`  // the failures of readers and listeners by kind
	Slowest     time.Duration  `json:"slowest_ns"`       // the longest that a reader waited
	Connections int            `json:"connections"`      // that readers opened in all; one each while none is cut
	Cut         int            `json:"cut,omitempty"`    // websockets that the server ended
	Back        time.Duration  `json:"back_ns,omitzero"` // the longest from such an end until the listener was connected again
}

// Members of a crowd besides the writer, and how often each of the readers reads.
const (
	Readers   = 3
	Listeners = 5
	readEvery = 100 * time.Millisecond
)

// Crowd begins to live in the channel, as the client's user, until End. c's transport must be an
// *http.Transport. It returns once every listener is connected.
func (c *Client) Crowd(ctx context.Context, channel string) (*Crowd, error) {
	own, ok := c.http().Transport.(*http.Transport)
	if !ok {
		return nil, errors.New("a crowd needs the client's own transport")
	}
	ctx, stop := context.WithCancel(ctx)
	crowd := &Crowd{stop: stop}
	var listeners []*websocket.Conn
	for range Listeners {
		conn, err := c.listen(ctx, own)
		if err != nil {
			stop()
			return nil, err
		}
		listeners = append(listeners, conn)
	}
	for _, conn := range listeners {
		crowd.wait.Go(func() { crowd.listener(ctx, c, own, conn) })
	}
	for range Readers {
		crowd.wait.Go(func() { crowd.reader(ctx, c, own, channel) })
	}
	crowd.writer = c.Write(ctx, channel)
	return crowd, nil
}

// End sends everybody home, once all that is on its way has an answer, and says what they did.
func (crowd *Crowd) End() (Traffic, Ledger) {
	crowd.stop()
	ledger := crowd.writer.End()
	crowd.wait.Wait()
	t := crowd.traffic
	t.Posts, t.Uploads, t.Failed = len(ledger.Posts), len(ledger.Files), t.Failed+ledger.Refused
	t.Connections = int(crowd.dials.Load())
	return t, ledger
}

func (crowd *Crowd) note(change func(*Traffic)) {
	crowd.mu.Lock()
	defer crowd.mu.Unlock()
	change(&crowd.traffic)
}

func (crowd *Crowd) failed(what string, err error) {
	var status *StatusError
	why := err.Error()
	if errors.As(err, &status) {
		why = fmt.Sprintf("status %d", status.Status)
	} else if i := strings.LastIndex(why, ": "); i >= 0 {
		why = why[i+2:]
	}
	crowd.note(func(t *Traffic) {
		if t.Wrong == nil {
			t.Wrong = map[string]int{}
		}
		t.Failed++
		t.Wrong[what+": "+why]++
	})
}

// reader looks at the newest posts, one request after the other over one connection.
func (crowd *Crowd) reader(ctx context.Context, c *Client, own *http.Transport, channel string) {
	transport := oneEach(&http.Client{Transport: own})
	transport.MaxConnsPerHost = 1
	dial := transport.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		crowd.dials.Add(1)
		return dial(ctx, network, address)
	}
	defer transport.CloseIdleConnections()
	me := &Client{URL: c.URL, HTTP: &http.Client{Transport: transport, Timeout: c.http().Timeout}}
	me.Resume(c.User, c.token)
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		// Not ctx: what is on its way at the end is still answered.
		err := me.call(context.WithoutCancel(ctx), http.MethodGet, "/channels/"+channel+"/posts?per_page=30", nil, nil)
		if err != nil {
			crowd.failed("read", err)
			continue
		}
		crowd.note(func(t *Traffic) { t.Reads++; t.Slowest = max(t.Slowest, time.Since(began)) })
	}
}

// listen connects as the web client does.
func (c *Client) listen(ctx context.Context, own *http.Transport) (*websocket.Conn, error) {
	dialer := websocket.Dialer{NetDialContext: own.DialContext, HandshakeTimeout: time.Minute}
	if own.TLSClientConfig != nil {
		dialer.TLSClientConfig = &tls.Config{RootCAs: own.TLSClientConfig.RootCAs, NextProtos: []string{"http/1.1"}}
	}
	url := "ws" + strings.TrimPrefix(strings.TrimRight(c.URL, "/"), "http") + "/api/v4/websocket"
	conn, res, err := dialer.DialContext(ctx, url, http.Header{"Authorization": {"Bearer " + c.token}})
	if res != nil {
		res.Body.Close()
	}
	switch {
	case err != nil && res != nil:
		return nil, &StatusError{Method: http.MethodGet, Path: "/websocket", Status: res.StatusCode}
	case err != nil:
		return nil, fmt.Errorf("open a websocket: %w", err)
	}
	return conn, nil
}

// listener hears what the server says, and connects again at once when it is cut off.
func (crowd *Crowd) listener(ctx context.Context, c *Client, own *http.Transport, conn *websocket.Conn) {
	for {
		over := context.AfterFunc(ctx, func() { conn.Close() })
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				break
			}
			crowd.note(func(t *Traffic) { t.Messages++ })
		}
		over()
		conn.Close()
		if ctx.Err() != nil {
			return
		}
		cut := time.Now()
		crowd.note(func(t *Traffic) { t.Cut++ })
		for {
			var err error
			if conn, err = c.listen(ctx, own); err == nil {
				break
			}
			if ctx.Err() != nil {
				return
			}
			crowd.failed("websocket", err)
			time.Sleep(readEvery)
		}
		crowd.note(func(t *Traffic) { t.Back = max(t.Back, time.Since(cut)) })
	}
}
