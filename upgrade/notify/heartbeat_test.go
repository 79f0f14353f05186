package notify

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// monitor keeps the calls that a monitoring service got, and answers with the statuses in turn.
func monitor(t *testing.T, statuses ...int) (address string, calls *[]string) {
	t.Helper()
	calls = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*calls = append(*calls, r.Method+" "+r.URL.String())
		w.WriteHeader(statuses[min(len(*calls), len(statuses))-1])
	}))
	t.Cleanup(server.Close)
	return server.URL, calls
}

func TestBeat(t *testing.T) {
	for name, c := range map[string]struct {
		beat     func(url string) Heartbeat
		of       string
		good     bool
		statuses []int
		calls    []string
		fails    bool
	}{
		"a good check":             {func(u string) Heartbeat { return Heartbeat{Check: u + "/secretkey"} }, BeatCheck, true, []int{200}, []string{"GET /secretkey"}, false},
		"a good backup":            {func(u string) Heartbeat { return Heartbeat{Check: u + "/c", Backup: u + "/b?up=1"} }, BeatBackup, true, []int{200}, []string{"GET /b?up=1"}, false},
		"not asked for":            {func(u string) Heartbeat { return Heartbeat{Check: u + "/c"} }, BeatBackup, true, []int{200}, nil, false},
		"a failure, said":          {func(u string) Heartbeat { return Heartbeat{Check: u + "/secretkey?x=1", Fail: "/fail"} }, BeatCheck, false, []int{200}, []string{"GET /secretkey/fail?x=1"}, false},
		"a failure, by silence":    {func(u string) Heartbeat { return Heartbeat{Check: u + "/c"} }, BeatCheck, false, []int{200}, nil, false},
		"the service has a hiccup": {func(u string) Heartbeat { return Heartbeat{Check: u + "/c"} }, BeatCheck, true, []int{503, 429, 200}, []string{"GET /c", "GET /c", "GET /c"}, false},
		"the service is away":      {func(u string) Heartbeat { return Heartbeat{Check: u + "/secretkey"} }, BeatCheck, true, []int{503}, []string{"GET /secretkey", "GET /secretkey", "GET /secretkey"}, true},
		"it is not known there":    {func(u string) Heartbeat { return Heartbeat{Check: u + "/secretkey"} }, BeatCheck, true, []int{404}, []string{"GET /secretkey"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			address, calls := monitor(t, c.statuses...)
			d, log := desk(t, Config{Heartbeat: c.beat(address)})
			err := d.Beat(t.Context(), c.of, c.good, noon)
			if diff := cmp.Diff(c.calls, *calls, cmp.Transformer("nil", func(l []string) []string { return append([]string{}, l...) })); diff != "" {
				t.Error(diff)
			}
			if (err != nil) != c.fails || (log.Len() > 0) != c.fails || strings.Contains(log.String(), "secretkey") || err != nil && strings.Contains(err.Error(), "secretkey") {
				t.Errorf("%v; the journal has %q", err, log)
			}
			l, e := Read(d.Path)
			if e != nil || (l.Unheard[c.of] != nil) != c.fails {
				t.Errorf("%+v, %v", l, e)
			}
		})
	}
}

// That a service was not reached is known since the first time, until it is.
func TestUnheardSince(t *testing.T) {
	address, _ := monitor(t, 404, 403, 200)
	d, _ := desk(t, Config{Heartbeat: Heartbeat{Check: address}})
	since := func(at time.Time) *Failure {
		t.Helper()
		_ = d.Beat(t.Context(), BeatCheck, true, at)
		l, err := Read(d.Path)
		if err != nil {
			t.Fatal(err)
		}
		return l.Unheard[BeatCheck]
	}
	if f := since(noon); f == nil || !f.Since.Equal(noon) || !strings.Contains(f.Error, "404") {
		t.Errorf("%+v", f)
	}
	if f := since(noon.AddDate(0, 0, 1)); f == nil || !f.Since.Equal(noon) || !strings.Contains(f.Error, "403") {
		t.Errorf("a day later: %+v", f)
	}
	if f := since(noon.AddDate(0, 0, 2)); f != nil {
		t.Errorf("it was reached: %+v", f)
	}
}

// The addresses are as secret as those of webhooks.
func TestHeartbeatConfig(t *testing.T) {
	c, err := Parse("notify.yaml", []byte("heartbeat:\n  check: https://hc-ping.com/abcdefgh\n  backup: https://hc-ping.com/ijklmnop\n  fail: /fail\n"))
	if err != nil || c.Heartbeat.Fail != "/fail" {
		t.Fatalf("%+v, %v", c, err)
	}
	secrets := strings.Join(c.Secrets(), " ")
	if !strings.Contains(secrets, "abcdefgh") || !strings.Contains(secrets, "ijklmnop") {
		t.Errorf("%q", secrets)
	}
	for _, text := range []string{"check: http://hc-ping.com/abcdefgh", "backup: abcdefgh", "fail: fail", "url: https://abcdefgh"} {
		if _, err := Parse("notify.yaml", []byte("heartbeat:\n  "+text+"\n")); err == nil || strings.Contains(err.Error(), "abcdefgh") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
