package mattermost

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// netnsPath is where ip-netns(8) keeps a named network.
func netnsPath(name string) string { return filepath.Join("/run/netns", name) }

// relay leads from inside a network without a way out to one database and nowhere else.
type relay struct {
	address  string // inside
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// newRelay listens in the network at path for what goes to db.
func newRelay(path string, db *Database) (*relay, error) {
	r := &relay{address: "127.0.0.1:5432"}
	var err error
	if r.listener, err = listenIn(path, r.address); err != nil {
		return nil, err
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	there := net.JoinHostPort(db.Host, strconv.Itoa(int(db.config.Port)))
	r.running.Go(func() {
		for {
			conn, err := r.listener.Accept()
			if err != nil {
				return // closed
			}
			r.running.Go(func() { r.pass(conn, there) })
		}
	})
	return r, nil
}

func (r *relay) pass(inside net.Conn, there string) {
	defer inside.Close()
	outside, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(r.ctx, "tcp", there)
	if err != nil {
		return // the server inside sees a closed connection, and tries again
	}
	defer outside.Close()
	over := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // its end is what matters, however it came
			over <- struct{}{}
		}()
	}
	select {
	case <-over:
	case <-r.ctx.Done():
	}
}

// Close ends it, with what passes through.
func (r *relay) Close() {
	r.cancel()
	_ = r.listener.Close() // nothing was written to it
	r.running.Wait()
}
