package infra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// fakeDroplet is DigitalOcean's API with one droplet, as the transport of a client.
type fakeDroplet struct {
	status  string
	actions []string      // that were accepted
	takes   time.Duration // an action; the droplet is locked meanwhile
	until   time.Time     // when the action in progress ends
	becomes string        // the status then
	stuck   bool          // an action changes nothing
	answers []any         // to the next requests instead: an error, or the code of an answer
}

func (d *fakeDroplet) RoundTrip(r *http.Request) (*http.Response, error) {
	if got := r.Method + " " + r.URL.Host + " " + r.Header.Get("Authorization"); !strings.HasSuffix(got, " api.example Bearer secret") {
		return nil, fmt.Errorf("unexpected request: %s", got)
	}
	answer := func(code int, body string) (*http.Response, error) {
		return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
	}
	if len(d.answers) > 0 {
		next := d.answers[0]
		d.answers = d.answers[1:]
		switch next := next.(type) {
		case error:
			return nil, next
		case int:
			return answer(next, `{"id": "x", "message": "words of the API"}`)
		}
	}
	locked := time.Now().Before(d.until)
	if !locked && d.becomes != "" {
		d.status, d.becomes = d.becomes, ""
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /v2/droplets/4711":
		return answer(200, fmt.Sprintf(`{"droplet": {"id": 4711, "status": %q, "locked": %t}}`, d.status, locked))
	case "POST /v2/droplets/4711/actions":
		if locked {
			return answer(422, `{"message": "Droplet already has a pending event."}`)
		}
		var asked struct{ Type string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			return nil, err
		}
		d.actions = append(d.actions, asked.Type)
		d.until = time.Now().Add(d.takes)
		if !d.stuck {
			d.becomes = map[string]string{"shutdown": "off", "power_on": "active"}[asked.Type]
		}
		return answer(201, `{"action": {"id": 1, "status": "in-progress"}}`)
	}
	return answer(404, `{"id": "not_found", "message": "The resource you were accessing could not be found."}`)
}

// testResizer talks to d and keeps what is said.
func testResizer(d *fakeDroplet, said *[]string) resizer {
	say := func(text string) { *said = append(*said, text) }
	return resizer{api: api{"http://api.example", "secret", &http.Client{Transport: d}}, stack: "prod", local: true, warn: say, info: say}
}

var (
	oldSize   = inputs("size", "s-4vcpu-8gb")
	newSize   = inputs("size", "s-8vcpu-16gb")
	disk160GB = resource.PropertyMap{"disk": resource.NewProperty(160.0)}
)

func TestShutdownBeforeResize(t *testing.T) {
	reset := errors.New("connection reset by peer")
	for _, c := range []struct {
		name    string
		droplet fakeDroplet
		actions []string
		errors  []string // parts of the error; none: the server is off
		takes   time.Duration
	}{
		{"on", fakeDroplet{status: "active", takes: 20 * time.Second}, []string{"shutdown"}, nil, 20 * time.Second},
		{"off already", fakeDroplet{status: "off"}, nil, nil, 0},
		{"another action in progress", fakeDroplet{status: "active", until: time.Now().Add(100 * 365 * 24 * time.Hour)}, nil,
			[]string{"nothing was changed: another action on the droplet is in progress", "pulumi up --refresh --stack prod"}, 10 * time.Minute},
		{"network comes back", fakeDroplet{status: "active", answers: []any{reset, 429, 503}}, []string{"shutdown"}, nil, 8 * time.Second},
		{"lost request", fakeDroplet{status: "active", takes: 5 * time.Second, answers: []any{nil, reset}}, []string{"shutdown"}, nil, 7 * time.Second},
		{"no network", fakeDroplet{status: "active", answers: slow(reset, 100)}, nil,
			[]string{"nothing was changed: ask http://api.example: connection reset by peer"}, 2 * time.Minute},
		{"wrong token", fakeDroplet{status: "active", answers: []any{401}}, nil,
			[]string{"nothing was changed: DigitalOcean answers 401: words of the API"}, 0},
		{"deleted in the control panel", fakeDroplet{answers: []any{404}}, nil,
			[]string{"nothing was changed: DigitalOcean answers 404: words of the API", "pulumi up --refresh --stack prod"}, 0},
		{"token that only reads", fakeDroplet{status: "active", answers: []any{nil, 403}}, nil,
			[]string{"nothing was changed: DigitalOcean answers 403: words of the API"}, 0},
		{"does not shut down", fakeDroplet{status: "active", stuck: true}, []string{"shutdown"}, []string{
			"is not off after 10 minutes: the droplet is still active", "its power was not cut", "pulumi up --stack prod",
			"doctl compute droplet-action power-on 4711 && pulumi config set townsquare:size s-4vcpu-8gb --stack prod",
		}, 10 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, said := time.Now(), []string(nil)
				err := testResizer(&c.droplet, &said).before("4711", oldSize, newSize, disk160GB)
				if (err == nil) != (c.errors == nil) {
					t.Errorf("error: %v", err)
				}
				for _, want := range c.errors {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("the error does not say %q:\n%v", want, err)
					}
				}
				if diff := cmp.Diff(c.actions, c.droplet.actions); diff != "" {
					t.Errorf("actions (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took < c.takes || took > c.takes+5*time.Second {
					t.Errorf("took %v, want %v", took, c.takes)
				}
				if err == nil && c.droplet.status != "off" {
					t.Errorf("the provider begins while the droplet is %s", c.droplet.status)
				}
			})
		})
	}
}

// slow are so many answers of one kind.
func slow(answer any, count int) (answers []any) {
	for range count {
		answers = append(answers, answer)
	}
	return answers
}

// After a failed resize the server is on, whatever the provider left.
func TestPowerOnAfterFailedResize(t *testing.T) {
	for _, c := range []struct {
		name    string
		droplet fakeDroplet
		actions []string
		said    string
	}{
		{"off", fakeDroplet{status: "off", takes: 5 * time.Second}, []string{"power_on"}, "the server is on again"},
		{"on", fakeDroplet{status: "active"}, nil, "the server is on again"},
		{"power_on is refused once", fakeDroplet{status: "off", answers: []any{nil, 500}}, []string{"power_on"}, "pulumi up --refresh --stack prod"},
		{"stays off", fakeDroplet{status: "off", stuck: true}, []string{"power_on"}, "doctl compute droplet-action power-on 4711"},
		{"no network", fakeDroplet{status: "off", answers: slow(context.DeadlineExceeded, 1000)}, nil, "the server may be off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said []string
				testResizer(&c.droplet, &said).failed("4711", oldSize, newSize)
				if diff := cmp.Diff(c.actions, c.droplet.actions); diff != "" {
					t.Errorf("actions (-want +got):\n%s", diff)
				}
				if got := strings.Join(said, "\n"); !strings.Contains(got, c.said) {
					t.Errorf("it says:\n%s\nwant %q", got, c.said)
				}
			})
		})
	}
}

// A plan says what a resize means and changes nothing; another change than the size's is not judged.
func TestPlannedResize(t *testing.T) {
	var said []string
	d := &fakeDroplet{status: "active"}
	r := testResizer(d, &said)
	r.plan = true
	if err := r.before("4711", oldSize, newSize, disk160GB); err != nil || len(said) != 1 || len(d.actions) != 0 {
		t.Fatalf("%v, %q, %q", err, said, d.actions)
	}
	for _, want := range []string{"from s-4vcpu-8gb to s-8vcpu-16gb", "down for several minutes", "upgrade repair --stack prod"} {
		if !strings.Contains(said[0], want) {
			t.Errorf("the plan does not say %q:\n%s", want, said[0])
		}
	}
	said = nil
	err := r.before("4711", oldSize, oldSize, disk160GB)
	r.failed("4711", oldSize, oldSize)
	if err != nil || said != nil {
		t.Errorf("no resize: %v, %q", err, said)
	}
}

func TestDiskNeverShrinks(t *testing.T) {
	state := func(gb float64) resource.PropertyMap { return resource.PropertyMap{"disk": resource.NewProperty(gb)} }
	for _, c := range []struct {
		from, to string
		state    resource.PropertyMap
		refused  string
	}{
		{"s-4vcpu-8gb", "g-4vcpu-16gb", state(160), "has a disk of 50 GB, and the server's own has 160 GB: a disk cannot shrink"},
		{"s-4vcpu-8gb", "g-4vcpu-16gb", nil, "has a disk of 50 GB, and the server's own has 160 GB: a disk cannot shrink"},
		{"g-4vcpu-16gb", "s-4vcpu-8gb", state(50), ""},
		{"s-4vcpu-8gb", "s-8vcpu-16gb", state(160), ""},
		{"s-8vcpu-16gb", "s-4vcpu-8gb", state(160), ""}, // built smaller: a larger size did not grow the disk
		{"s-8vcpu-16gb", "s-4vcpu-8gb", state(320), "has a disk of 160 GB, and the server's own has 320 GB: a disk cannot shrink"},
	} {
		got := ""
		for _, p := range refuseSmallerDisk(c.from, c.to, c.state) {
			got += p.Wrong
			if !strings.Contains(p.Allowed, "at least") || p.Type != "pulumi config set townsquare:size "+c.from {
				t.Errorf("%s to %s: %s", c.from, c.to, p)
			}
		}
		if diff := cmp.Diff(c.refused, got); diff != "" {
			t.Errorf("%s to %s (-want +got):\n%s", c.from, c.to, diff)
		}
	}
}

// Address and token are the provider's own.
func TestAPISettings(t *testing.T) {
	for _, c := range []struct {
		name        string
		config, env map[string]string
		want        [2]string
	}{
		{"config", map[string]string{"digitalocean:token": "a", "digitalocean:apiEndpoint": "http://x/"}, map[string]string{"DIGITALOCEAN_TOKEN": "b"}, [2]string{"a", "http://x"}},
		{"environment", nil, map[string]string{"DIGITALOCEAN_ACCESS_TOKEN": "b", "DIGITALOCEAN_API_URL": "http://y"}, [2]string{"b", "http://y"}},
		{"default", nil, map[string]string{"DIGITALOCEAN_TOKEN": "b"}, [2]string{"b", "https://api.digitalocean.com"}},
	} {
		a := newAPI(func(key string) (string, bool) { v, ok := c.config[key]; return v, ok }, func(name string) string { return c.env[name] })
		if got := [2]string{a.token, a.endpoint}; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
