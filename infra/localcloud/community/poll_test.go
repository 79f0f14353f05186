package community

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestSummaryFindsTheLongestGap(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	v := &Visits{Started: start, Ended: at(1000), wrong: map[string]int{"status 502": 1}, all: []visit{
		{asked: at(0), answered: at(10), good: true},
		{asked: at(20), answered: at(30), good: true},
		{asked: at(40), answered: at(50), good: false},
		{asked: at(60), answered: at(830), good: true}, // held
		{asked: at(840), answered: at(850), good: true},
	}}
	s := v.Summary()
	if s.Gap != 800*time.Millisecond || !s.GapFrom.Equal(at(30)) {
		t.Errorf("gap is %v from %v, want 800ms from %v", s.Gap, s.GapFrom, at(30))
	}
	if s.Asked != 5 || s.Failed != 1 || s.Slowest != 770*time.Millisecond {
		t.Errorf("summary is %+v", s)
	}
}

func TestPollSeesAnOutage(t *testing.T) {
	var down atomic.Bool
	var served, refused atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("get_server_status") != "true" {
			t.Errorf("a ping without get_server_status is answered even when the database is down: %s", r.URL)
		}
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			refused.Add(1)
			return
		}
		served.Add(1)
	}))
	defer server.Close()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan *Visits)
	go func() { done <- Poll(ctx, server.URL, server.Client(), 20*time.Millisecond) }()
	until(t, func() bool { return served.Load() > 0 })
	down.Store(true)
	time.Sleep(300 * time.Millisecond)
	until(t, func() bool { return refused.Load() > 0 })
	before := served.Load()
	down.Store(false)
	until(t, func() bool { return served.Load() > before })
	stop()
	s := (<-done).Summary()
	if s.Gap < 250*time.Millisecond || s.Wrong["status 503"] != s.Failed || s.Failed == 0 {
		t.Errorf("summary is %+v", s)
	}
}

func TestClientReadsTheBuildsNumber(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// As 9.10.1 says it: the code's version first, the release's own second.
		w.Header().Set("X-Version-Id", "9.10.0.9.10.1.373b2653d26ac50385070ae1d6f6b039.false")
	}))
	defer server.Close()
	c := &Client{URL: server.URL}
	got, err := c.Version(t.Context())
	if err != nil || got != "9.10.1" {
		t.Errorf("version is %q, %v", got, err)
	}
	if _, err := c.Chain(t.Context()); err == nil {
		t.Error("an address without TLS has a verified certificate")
	}
}
