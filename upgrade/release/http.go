package release

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// attempts is how often one request is tried before the error is the person's.
const attempts = 4

var (
	// errNotHTTPS refuses an address, first or redirected to, that is not https.
	errNotHTTPS  = errors.New("only https is allowed")
	errRedirects = errors.New("more than 5 redirects")
)

// client gives the HTTP client with our rules on redirects; its transport may be the caller's.
func (c *Client) client() *http.Client {
	var client http.Client
	if c.HTTP != nil {
		client = *c.HTTP
	} else {
		client.Transport = &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
			TLSHandshakeTimeout:   15 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			ForceAttemptHTTP2:     true,
			DisableCompression:    true, // sizes, ranges and limits are those of what is stored
		}
	}
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if req.URL.Scheme != "https" {
			return fmt.Errorf("redirected to %s://%s: %w", req.URL.Scheme, req.URL.Host, errNotHTTPS)
		}
		if len(via) >= 5 {
			return errRedirects
		}
		return nil
	}
	return &client
}

// request makes a GET of an https address.
func (c *Client) request(ctx context.Context, address string) (*http.Request, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, errors.Unwrap(err))
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("address %q: %w", u.Redacted(), errNotHTTPS)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", cmp.Or(c.Agent, "townsquare-upgrade"))
	return req, nil
}

// statusError reads what a refusal says about when to ask again.
func statusError(resp *http.Response, address string) *StatusError {
	e := &StatusError{URL: address, Code: resp.StatusCode}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.After = time.Duration(seconds) * time.Second
	}
	return e
}

// transient says whether the same request may succeed a little later. Anything about trust — a
// certificate, a redirect to http — is not tried again.
func transient(err error) bool {
	var status *StatusError
	var certificate *tls.CertificateVerificationError
	var size *SizeError
	switch {
	case errors.As(err, &status):
		return status.Code == 408 || status.Code == 429 || status.Code >= 500
	case errors.Is(err, errNotHTTPS), errors.Is(err, errRedirects), errors.As(err, &certificate), errors.As(err, &size):
		return false
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	}
	var stalled *StalledError
	var network net.Error
	return errors.As(err, &stalled) || errors.As(err, &network) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// retries is the pauses between attempts: Pause, doubled each time, with a little chance in them.
func (c *Client) retries() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = cmp.Or(c.Pause, time.Second)
	b.Multiplier, b.MaxInterval = 2, 30*time.Second
	return b
}

// pause waits before the next attempt: as long as the server asked, but never longer than a minute.
func (c *Client) pause(ctx context.Context, b *backoff.ExponentialBackOff, err error) error {
	wait := b.NextBackOff()
	if status := new(StatusError); errors.As(err, &status) && status.After > wait {
		wait = min(status.After, time.Minute)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// watch gives a context that ends when no byte came for c.Stall, and the function that says that
// one did. The cause of the context's end is then a *StalledError.
func (c *Client) watch(ctx context.Context) (context.Context, func(), context.CancelFunc) {
	limit := cmp.Or(c.Stall, time.Minute)
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(&StalledError{After: limit}) })
	return ctx, func() { timer.Reset(limit) }, func() { timer.Stop(); cancel(nil) }
}

// cause puts the reason for a context's end in place of the bare "context canceled" that net/http gives.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// alive calls beat for every read that brings something.
type alive struct {
	io.Reader
	beat func()
}

func (a alive) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if n > 0 {
		a.beat()
	}
	return n, err
}
