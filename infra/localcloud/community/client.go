// Package community is what people do with a Mattermost server: they sign up, form a team, talk,
// share files. The demo and the end-to-end tests fill a server with it before an upgrade and read
// all of it back afterwards, over the same public HTTPS address that a browser would use.
package community

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
)

// Client speaks Mattermost's REST API (version 4) as one person. Its certificate checks are those
// of HTTP: there is no way to turn them off.
type Client struct {
	URL  string       // of the server, such as https://chat.example.org
	HTTP *http.Client // nil means one with a deadline of 60 s a request
	User User         // who is signed in; empty before SignIn

	token string
}

// StatusError is an answer other than 2xx.
type StatusError struct {
	Method, Path string
	Status       int
	Message      string // the server's own words, at most 300 bytes
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: status %d: %s", e.Method, e.Path, e.Status, e.Message)
}

func (c *Client) http() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return &http.Client{Timeout: 60 * time.Second}
}

// SignIn opens a session; every later call is made in it.
func (c *Client) SignIn(ctx context.Context, name, password string) error {
	body, err := json.Marshal(map[string]string{"login_id": name, "password": password})
	if err != nil {
		return err
	}
	res, err := c.send(ctx, http.MethodPost, "/users/login", "application/json", body)
	if err != nil {
		return fmt.Errorf("sign in as %s: %w", name, err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&c.User); err != nil {
		return fmt.Errorf("sign in as %s: %w", name, err)
	}
	c.token = res.Header.Get("Token")
	if c.token == "" {
		return fmt.Errorf("sign in as %s: the answer has no token", name)
	}
	return nil
}

// Token is the session's, so that a test can see that a session outlives an upgrade.
func (c *Client) Token() string { return c.token }

// Resume goes on in a session opened earlier.
func (c *Client) Resume(user User, token string) { c.User, c.token = user, token }

// call sends in (nil: nothing) as JSON and decodes the answer into out (nil: dropped).
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	return c.decode(ctx, method, path, "application/json", body, out)
}

func (c *Client) decode(ctx context.Context, method, path, kind string, body []byte, out any) error {
	res, err := c.send(ctx, method, path, kind, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// upload sends one file in a form, beside plain fields.
func (c *Client) upload(ctx context.Context, path string, fields map[string]string, part, name string, content []byte, out any) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for k, v := range fields {
		if err := w.WriteField(k, v); err != nil {
			return err
		}
	}
	f, err := w.CreateFormFile(part, name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.decode(ctx, http.MethodPost, path, w.FormDataContentType(), form.Bytes(), out)
}

// download reads a whole file.
func (c *Client) download(ctx context.Context, path string) ([]byte, error) {
	res, err := c.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// send returns only answers with status 2xx; the caller closes the body.
func (c *Client) send(ctx context.Context, method, path, kind string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.URL, "/")+"/api/v4"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http().Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 300))
	if err != nil {
		return nil, err
	}
	return nil, &StatusError{Method: method, Path: path, Status: res.StatusCode, Message: strings.TrimSpace(string(text))}
}

// Version is the release that answers, such as "9.10.0". It is the second triple of the
// X-Version-Id header, the build's own number: patch releases share the first one.
func (c *Client) Version(ctx context.Context) (string, error) {
	res, err := c.send(ctx, http.MethodGet, "/system/ping", "", nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	parts := strings.Split(res.Header.Get("X-Version-Id"), ".")
	if len(parts) < 6 {
		return "", fmt.Errorf("answer's X-Version-Id is %q, which has no version", res.Header.Get("X-Version-Id"))
	}
	return strings.Join(parts[3:6], "."), nil
}

// Chain gives the certificate chain that the server showed, leaf first, as it was verified for the
// address's host name.
func (c *Client) Chain(ctx context.Context) ([]*x509.Certificate, error) {
	res, err := c.send(ctx, http.MethodGet, "/system/ping", "", nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.TLS == nil || len(res.TLS.VerifiedChains) == 0 {
		return nil, errors.New("the address is not served over TLS with a verified certificate")
	}
	return res.TLS.VerifiedChains[0], nil
}
