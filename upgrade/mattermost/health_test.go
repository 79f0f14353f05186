package mattermost

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPing(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		status  int
		build   string
		err     string
	}{
		"well":               {"9.10.0.9.10.1.17ea6fbb0614caa7413fefb2f3b3014f.false", 200, "9.10.1", ""},
		"licensed":           {"9.10.0.9.10.0.17ea.true", 200, "9.10.0", ""},
		"database down":      {"9.10.0.9.10.0.17ea.false", 500, "", "500"},
		"files out of reach": {"9.10.0.9.10.0.17ea.false", 500, "", "its file store is UNHEALTHY"},
		"something else":     {"", 200, "", "not a Mattermost server"},
		"moved":              {"9.10.0.9.10.0.17ea.false", 301, "", "301"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != "/mm/api/v4/system/ping" || r.URL.Query().Get("get_server_status") != "true" {
					t.Errorf("asked %s %s", r.Method, r.URL)
				}
				w.Header().Set("X-Version-Id", c.version)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				if name == "files out of reach" {
					fmt.Fprint(w, `{"database_status":"OK","filestore_status":"UNHEALTHY","status":"UNHEALTHY"}`)
				}
			}))
			defer s.Close()
			a, err := Health{URL: s.URL + "/mm", ServerName: "chat.example.org"}.Ping(t.Context())
			if c.err == "" && (err != nil || a.Build != c.build) {
				t.Errorf("got %+v, %v", a, err)
			}
			if errors.Is(err, ErrDependency) != (name == "files out of reach") {
				t.Errorf("%v: whose fault?", err)
			}
			if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %v, want %q in it", err, c.err)
			}
		})
	}
	// The public address is asked as a stranger: an unknown certificate is no good answer.
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the refusal that is wanted
	s.StartTLS()
	defer s.Close()
	if _, err := Public(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown certificate: %v", err)
	}
}
