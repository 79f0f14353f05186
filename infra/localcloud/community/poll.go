package community

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// waiting is how many questions may wait for an answer at a time. More would only keep the proxy of a
// long outage busy, which has to knock for each of them.
const waiting = 50

// Poll asks the server's health, database included, at this interval until ctx ends, as an outside
// visitor would: a question that waits does not hold up the next one, until very many do. client's
// Transport is used with HTTP/1.1, where each waiting question has a connection of its own.
func Poll(ctx context.Context, url string, client *http.Client, every time.Duration) *Visits {
	client = &http.Client{Transport: oneEach(client), Timeout: 60 * time.Second}
	v := &Visits{Started: time.Now()}
	var wait sync.WaitGroup
	places := make(chan struct{}, waiting)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			select {
			case places <- struct{}{}:
				wait.Go(func() {
					v.ask(client, strings.TrimRight(url, "/")+"/api/v4/system/ping?get_server_status=true")
					<-places
				})
			default:
			}
		}
	}
	wait.Wait()
	v.Ended = time.Now()
	return v
}

// oneEach is the client's transport, with its dialer and its trust, over HTTP/1.1.
func oneEach(client *http.Client) *http.Transport {
	var t *http.Transport
	if client != nil {
		if own, ok := client.Transport.(*http.Transport); ok {
			t = own.Clone()
		}
	}
	if t == nil {
		t = &http.Transport{}
	}
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{}
	}
	t.TLSClientConfig.NextProtos = []string{"http/1.1"} // a transport that was used before offers HTTP/2 here
	t.MaxIdleConnsPerHost = 100
	return t
}

// Visits is what a poller saw.
type Visits struct {
	Started, Ended time.Time

	mu    sync.Mutex
	all   []visit
	wrong map[string]int // answers other than 200, and errors, by kind
}

type visit struct {
	asked, answered time.Time
	good            bool
}

func (v *Visits) ask(client *http.Client, url string) {
	one := visit{asked: time.Now()}
	wrong := ""
	// Not the poller's context: a question that waits when the poller ends is still answered.
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err == nil {
		var res *http.Response
		if res, err = client.Do(req); err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				wrong = fmt.Sprintf("status %d", res.StatusCode)
			}
		}
	}
	if err != nil {
		wrong = err.Error()
		if i := strings.LastIndex(wrong, ": "); i >= 0 {
			wrong = wrong[i+2:]
		}
	}
	one.answered, one.good = time.Now(), wrong == ""
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all = append(v.all, one)
	if wrong != "" {
		if v.wrong == nil {
			v.wrong = map[string]int{}
		}
		v.wrong[wrong]++
	}
}

// Summary is what a person wants to know of the visits.
type Summary struct {
	Asked   int            `json:"asked"`
	Failed  int            `json:"failed"`          // answered with an error, or not at all
	Wrong   map[string]int `json:"wrong,omitempty"` // the failures by kind
	Slowest time.Duration  `json:"slowest_ns"`      // the longest that one visitor waited for a good answer
	Gap     time.Duration  `json:"gap_ns"`          // the longest time in which nobody got a good answer: the downtime
	GapFrom time.Time      `json:"gap_from,omitzero"`
}

// Summary counts what was seen so far. The gap's resolution is the interval plus one answer's time.
func (v *Visits) Summary() Summary {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := Summary{Asked: len(v.all), Wrong: v.wrong}
	good := []time.Time{v.Started}
	for _, one := range v.all {
		if !one.good {
			s.Failed++
			continue
		}
		good = append(good, one.answered)
		s.Slowest = max(s.Slowest, one.answered.Sub(one.asked))
	}
	if !v.Ended.IsZero() {
		good = append(good, v.Ended)
	}
	slices.SortFunc(good, time.Time.Compare)
	for i := 1; i < len(good); i++ {
		if gap := good[i].Sub(good[i-1]); gap > s.Gap {
			s.Gap, s.GapFrom = gap, good[i-1]
		}
	}
	return s
}

// MarshalJSON writes the summary.
func (v *Visits) MarshalJSON() ([]byte, error) { return json.Marshal(v.Summary()) }
