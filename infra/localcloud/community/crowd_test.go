package community

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// until waits, however slow the computer is.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to it")
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
	until(t, func() (done bool) {
		crowd.note(func(got *Traffic) { done = got.Reads > 0 && got.Cut > 0 && got.Messages >= Listeners })
		return done
	})
	time.Sleep(500 * time.Millisecond) // and so it stays
	if crowd.note(func(got *Traffic) {
		if got.Failed > 0 || got.Cut != 1 || got.Messages != Listeners {
			t.Errorf("while all is well: %+v", *got)
		}
	}); crowd.dials.Load() != Readers {
		t.Errorf("%d readers opened %d connections", Readers, crowd.dials.Load())
	}
	down.Store(1)
	until(t, func() (done bool) {
		crowd.note(func(got *Traffic) { done = got.Wrong["read: status 502"] > 0 })
		return done && crowd.writer.SoFar().Refused > 0
	})
	got, ledger := crowd.End()
	if ledger.Refused == 0 || got.Failed <= ledger.Refused || got.Wrong["read: status 502"] == 0 {
		t.Errorf("while the server is down: %+v, refused %d", got, ledger.Refused)
	}
}
