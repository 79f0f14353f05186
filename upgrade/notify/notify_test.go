package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func found(what string) Message {
	return Message{Event: "found", Key: "found", Title: "An update is available", Host: "chat.example.org", Time: noon,
		Facts: []Fact{{"Available", what}}}
}

// receiver answers with the statuses in turn, the last for ever, and keeps what it got.
type receiver struct {
	*httptest.Server
	statuses []int
	got      []string
}

func newReceiver(t *testing.T, statuses ...int) *receiver {
	r := &receiver{statuses: statuses}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.got = append(r.got, string(body))
		status := r.statuses[0]
		if len(r.statuses) > 1 {
			r.statuses = r.statuses[1:]
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func desk(t *testing.T, c Config) (*Desk, *bytes.Buffer) {
	t.Helper()
	if err := c.Check("notify").Err(); err != nil {
		t.Fatal(err)
	}
	log := &bytes.Buffer{}
	return &Desk{Path: filepath.Join(t.TempDir(), "below", "notify.json"), Log: log,
		Sender: Sender{Config: c, Pauses: []time.Duration{0, 0}}}, log
}

func tell(t *testing.T, d *Desk, m Message) bool {
	t.Helper()
	reached, err := d.Tell(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return reached
}

func TestSameWordsOnce(t *testing.T) {
	r := newReceiver(t, 200)
	d, log := desk(t, Config{Webhook: r.URL + "/secret-key-of-hook"})
	m := found("9.10.1")
	for _, step := range []struct {
		name  string
		what  string
		after time.Duration
		sent  int
	}{
		{"new", "9.10.1", 0, 1},
		{"the next day", "9.10.1", 24 * time.Hour, 1},
		{"changed", "9.10.2", 25 * time.Hour, 2},
		{"a week later", "9.10.2", 25*time.Hour + quiet, 3},
	} {
		m.Facts[0].Value, m.Time = step.what, noon.Add(step.after)
		if tell(t, d, m); len(r.got) != step.sent {
			t.Errorf("%s: sent %d times, want %d", step.name, len(r.got), step.sent)
		}
	}
	m.Urgent = true
	for day := range 3 {
		m.Time = noon.AddDate(0, 1, day).Add(-time.Duration(day) * 10 * time.Minute) // a timer's jitter
		tell(t, d, m)
	}
	if len(r.got) != 6 || !strings.Contains(r.got[5], `"urgent":true`) {
		t.Errorf("what is urgent was said %d times in three days", len(r.got)-3)
	}
	m.Key = ""
	tell(t, d, m)
	if tell(t, d, m); len(r.got) != 8 {
		t.Errorf("without a key: %d", len(r.got))
	}
	if !strings.Contains(log.String(), "URGENT: An update is available\n  Available  9.10.2\n") || strings.Contains(log.String(), "secret-key") {
		t.Errorf("the journal has\n%s", log)
	}
}

// A run that fails again and again is told once a day; a success between makes it news.
func TestSameFailureOnceADay(t *testing.T) {
	r := newReceiver(t, 200)
	d, _ := desk(t, Config{Webhook: r.URL})
	for _, step := range []struct {
		name, event, same string
		after             time.Duration
		sent              int
	}{
		{"new", "failed", "a package", 0, 1},
		{"an hour later", "failed", "a package", time.Hour, 1},
		{"another failure", "failed", "the disk", 2 * time.Hour, 2},
		{"the next night", "failed", "the disk", 26 * time.Hour, 3},
		{"a success", "done", "run 5", 27 * time.Hour, 4},
		{"another success", "done", "run 6", 28 * time.Hour, 5},
		{"the same failure", "failed", "the disk", 29 * time.Hour, 6},
	} {
		m := Message{Event: step.event, Key: "run os", Same: step.same, Title: step.name, Time: noon.Add(step.after)}
		if tell(t, d, m); len(r.got) != step.sent {
			t.Errorf("%s: sent %d times, want %d", step.name, len(r.got), step.sent)
		}
	}
}

// TestServerAway: the channel is on the very server that is being upgraded.
func TestServerAway(t *testing.T) {
	r := newReceiver(t, 503)
	d, log := desk(t, Config{Mattermost: r.URL + "/hooks/secretkeyofhook", Webhook: newReceiver(t, 204).URL})
	if tell(t, d, found("9.10.1")) || len(r.got) != 3 {
		t.Errorf("tried %d times", len(r.got))
	}
	l, err := Read(d.Path)
	if err != nil || len(l.Unsent) != 1 || l.Failed == nil || !l.Failed.Since.Equal(noon) || !strings.Contains(l.Failed.Error, "503") {
		t.Errorf("%+v, %v", l, err)
	}
	data, err := os.ReadFile(d.Path)
	if info, e := os.Stat(d.Path); err != nil || e != nil || info.Mode().Perm() != 0o600 || strings.Contains(string(data), "secretkey") {
		t.Errorf("the ledger has the address, or is not private: %s, %v", data, err)
	}
	if strings.Contains(log.String(), "secretkey") {
		t.Errorf("the journal has the address: %s", log)
	}
	r.statuses, r.got = []int{200}, nil
	if !tell(t, d, found("9.10.2")) || len(r.got) != 2 || !strings.Contains(r.got[0], "9.10.1") || !strings.Contains(r.got[1], "9.10.2") {
		t.Errorf("got %q", r.got)
	}
	if l, err := Read(d.Path); err != nil || len(l.Unsent) != 0 || l.Failed != nil {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestNeverForGood(t *testing.T) {
	r := newReceiver(t, 404)
	d, _ := desk(t, Config{Webhook: r.URL})
	if tell(t, d, found("9.10.1")) || len(r.got) != 1 {
		t.Errorf("what is refused was tried %d times", len(r.got))
	}
	if l, _ := Read(d.Path); len(l.Unsent) != 0 || l.Failed == nil {
		t.Errorf("%+v", l)
	}
	r.statuses = []int{500}
	d, _ = desk(t, Config{Webhook: r.URL})
	for n := range 2 * keepUnsent {
		m := found("x")
		m.Key, m.Time = "", noon.Add(time.Duration(n)*time.Hour)
		tell(t, d, m)
	}
	if l, _ := Read(d.Path); len(l.Unsent) != keepUnsent || !l.Failed.Since.Equal(noon) {
		t.Errorf("%d are kept, failed %+v", len(l.Unsent), l.Failed)
	}
}

func TestRedirects(t *testing.T) {
	other := newReceiver(t, 200)
	for _, c := range []struct {
		status int
		to     string // empty: the same host
		taken  bool
	}{{307, "", true}, {308, other.URL, false}, {302, "", false}} {
		var got int
		mux := http.NewServeMux()
		server := httptest.NewServer(mux)
		mux.HandleFunc("/new", func(_ http.ResponseWriter, req *http.Request) {
			if body, _ := io.ReadAll(req.Body); len(body) > 0 {
				got++
			}
		})
		mux.HandleFunc("/hook", func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, c.to+"/new", c.status) })
		d, _ := desk(t, Config{Webhook: server.URL + "/hook"})
		if reached := tell(t, d, found("x")); reached != c.taken || (got == 1) != c.taken {
			t.Errorf("%d to %q: reached %v, got %d", c.status, c.to, reached, got)
		}
		server.Close()
	}
	if len(other.got) > 0 {
		t.Error("another host got the message")
	}
}

func TestTLSIsVerified(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it got through") }))
	t.Cleanup(server.Close)
	d, log := desk(t, Config{Webhook: server.URL + "/secret-key-of-hook"})
	if tell(t, d, found("x")) || !strings.Contains(log.String(), "certificate") || strings.Contains(log.String(), "secret-key") {
		t.Errorf("log: %s", log)
	}
}

func TestForms(t *testing.T) {
	m := found("9.10.1")
	m.Urgent, m.Text = true, "It waits.\nTell @all."
	m.Facts = append(m.Facts, Fact{"Why | what", "a\r\nBcc: x@example.org|b"})
	want := "@channel **URGENT: An update is available**\n\nIt waits.\nTell @\u200ball.\n\n| | |\n|:--|:--|\n| Available | 9.10.1 |\n| Why \\| what | a Bcc: x@\u200bexample.org\\|b |\n"
	if got := m.Markdown(); got != want {
		t.Errorf("Markdown is\n%q, want\n%q", got, want)
	}
	var letter string
	d, _ := desk(t, Config{Email: []string{"ops@example.org", "ada@example.org"}})
	d.Mail = func(_ context.Context, l string) error { letter = l; return nil }
	m.Title = "Größer\r\nBcc: mallory@example.org"
	tell(t, d, m)
	got, err := mail.ReadMessage(strings.NewReader(letter))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(got.Body)
	if got.Header.Get("Bcc") != "" || got.Header.Get("To") != "ops@example.org, ada@example.org" || got.Header.Get("X-Priority") != "1" ||
		!strings.HasPrefix(got.Header.Get("Subject"), "=?utf-8?q?") || !strings.Contains(string(body), "Available") {
		t.Errorf("letter is\n%s", letter)
	}
	d.Mail = func(context.Context, string) error { return errors.New("no MTA") }
	m.Key = ""
	if tell(t, d, m) {
		t.Error("mail that failed reached everybody")
	}
}

func TestConfig(t *testing.T) {
	c, err := Parse("notify", []byte(`{"mattermost":"https://chat.example.org/hooks/abcdefgh","email":["ops@example.org"],"announce":"10m"}`))
	if err != nil || c.Announce != 10*time.Minute || c.IsZero() {
		t.Errorf("%+v, %v", c, err)
	}
	if s := strings.Join(c.Secrets(), " "); !strings.Contains(s, "hooks/abcdefgh") || !strings.Contains(s, " abcdefgh") {
		t.Errorf("secrets are %q", s)
	}
	for _, text := range []string{`{"mattermost":"http://chat.example.org/hooks/abcdefgh"}`, `{"webhok":"https://x"}`, `{"email":["Ops <ops@example.org>"]}`,
		`{"webhook":"https://user:abcdefgh@x/"}`, `{"announce":"2h"}`, `{"late":"1h"}`, `- abcdefgh`, `{"webhook": [abcdefgh]}`} {
		if c, err := Parse("notify", []byte(text)); err == nil || strings.Contains(err.Error(), "abcdefgh") {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
	for _, local := range []string{"http://127.0.0.1:8065/hooks/x", "http://[::1]/", "http://localhost:8065/hooks/x"} {
		if err := (Config{Mattermost: local}).Check("notify").Err(); err != nil {
			t.Errorf("%s: %v", local, err)
		}
	}
	var back Message
	data, _ := json.Marshal(found("x"))
	if err := json.Unmarshal(data, &back); err != nil || back.hash() != found("x").hash() {
		t.Errorf("%v: a message changes on its way through the ledger", err)
	}
}
