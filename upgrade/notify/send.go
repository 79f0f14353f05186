package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The ways to tell people, as a ledger names them.
const (
	toMattermost = "mattermost"
	toWebhook    = "webhook"
	toEmail      = "email"
)

// Ways are the ways by which people are told.
func (c Config) Ways() []string {
	var all []string
	for way, set := range map[string]bool{toMattermost: c.Mattermost != "", toWebhook: c.Webhook != "", toEmail: len(c.Email) > 0} {
		if set {
			all = append(all, way)
		}
	}
	slices.Sort(all)
	return all
}

// Sender sends messages. What it has from outside can be another thing in a test.
type Sender struct {
	Config Config
	HTTP   *http.Client                                   // nil: one of our own
	Mail   func(ctx context.Context, letter string) error // runs sendmail(8)
	Pauses []time.Duration                                // between tries; nil: 2 s, 10 s, 30 s
}

// timeout bounds one try; a server that is starting holds requests for about as long.
const timeout = 30 * time.Second

// send takes one message one way. The error never shows the address.
func (s *Sender) send(ctx context.Context, way string, m Message) error {
	switch way {
	case toMattermost:
		body, err := m.post()
		if err != nil {
			return err
		}
		return s.again(ctx, func() error { return s.deliver(ctx, s.Config.Mattermost, body) })
	case toWebhook:
		body, err := json.Marshal(m)
		if err != nil {
			return err
		}
		return s.again(ctx, func() error { return s.deliver(ctx, s.Config.Webhook, body) })
	case toEmail:
		return s.Mail(ctx, m.letter(s.Config.Email))
	}
	return fmt.Errorf("no such way: %q", way)
}

// refused says that another try would end the same way.
type refused struct{ error }

// again tries until it works, is refused, or has failed often enough.
func (s *Sender) again(ctx context.Context, try func() error) error {
	pauses := s.Pauses
	if pauses == nil {
		pauses = []time.Duration{2 * time.Second, 10 * time.Second, 30 * time.Second}
	}
	for _, pause := range pauses {
		err := try()
		if err == nil || errors.As(err, new(refused)) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
	return try()
}

// deliver posts JSON once.
func (s *Sender) deliver(ctx context.Context, address string, body []byte) error {
	return s.request(ctx, http.MethodPost, address, body)
}

// request asks once; a body is JSON. The error never shows the address.
func (s *Sender) request(ctx context.Context, method, address string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return refused{errors.New("the address cannot be used")}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "townsquare-upgrade")
	client := s.HTTP
	if client == nil {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	}
	limited := *client
	limited.CheckRedirect = sameHost
	resp, err := limited.Do(req)
	if err != nil {
		var shown *url.Error // it shows the address
		if errors.As(err, &shown) {
			err = shown.Err
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch {
	case resp.StatusCode < 300:
		return nil
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests:
		return errors.New(resp.Status)
	}
	return refused{errors.New(resp.Status)}
}

// sameHost follows a redirect only where it was going anyway: the message, and the key in its
// address, are for nobody else. (As a POST it survives 307 and 308 only.)
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > 3 || !strings.EqualFold(req.URL.Host, first.Host) || req.URL.Scheme != first.Scheme {
		return refused{errors.New("it redirects to another place")}
	}
	if req.Method != via[0].Method {
		return refused{errors.New("it redirects without taking the message")}
	}
	return nil
}
