package community

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// until waits for what a crowd does.
func until(t *testing.T, crowd *Crowd, done func(*Traffic) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var got Traffic
		reached := false
		crowd.note(func(now *Traffic) { got, reached = *now, done(now) })
		if reached {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not come to it: %+v", got)
		}
	}
}

// A crowd counts what fails, and its listeners come back.
func TestCrowdSeesWhatFails(t *testing.T) {
	var down, connected atomic.Int64
	up := websocket.Upgrader{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/api/v4/websocket":
			conn, err := up.Upgrade(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if connected.Add(1) == 1 { // the first is cut off
				conn.Close()
				return
			}
			_ = conn.WriteMessage(websocket.TextMessage, []byte(`{"event":"hello"}`))
			_, _, _ = conn.ReadMessage() // until the listener goes: a connection that nobody holds is closed some time
		case down.Load() > 0:
			w.WriteHeader(http.StatusBadGateway)
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusCreated)
			w.Write([]byte(`{"id":"1","file_infos":[{"id":"1"}]}`))
		default:
			w.Write([]byte(`{}`))
		}
	}))
	defer server.Close()
	c := &Client{URL: server.URL, HTTP: server.Client()}
	crowd, err := c.Crowd(t.Context(), "channel")
	if err != nil {
		t.Fatal(err)
	}
	until(t, crowd, func(got *Traffic) bool { return got.Reads > 0 && got.Cut > 0 && got.Messages >= Listeners })
	time.Sleep(500 * time.Millisecond) // and so it stays
	if crowd.note(func(got *Traffic) {
		if got.Failed > 0 || got.Cut != 1 || got.Messages != Listeners {
			t.Errorf("while all is well: %+v", *got)
		}
	}); crowd.dials.Load() != Readers {
		t.Errorf("%d readers opened %d connections", Readers, crowd.dials.Load())
	}
	down.Store(1)
	until(t, crowd, func(got *Traffic) bool { return got.Wrong["read: status 502"] > 0 && crowd.writer.SoFar().Refused > 0 })
	got, ledger := crowd.End()
	if ledger.Refused == 0 || got.Failed <= ledger.Refused || got.Wrong["read: status 502"] == 0 {
		t.Errorf("while the server is down: %+v, refused %d", got, ledger.Refused)
	}
}
