package mattermost

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Health is where this host asks the server how it is.
type Health struct {
	URL        string // such as http://127.0.0.1:8065, with the site's path if it has one
	ServerName string // of the certificate, when the server speaks TLS itself
	// Dial reaches a server in a network of its own; nil means this host's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Answer is what a healthy server says about itself.
type Answer struct {
	Build string // number of the release, such as "9.10.0"
}

// ErrDependency says that the server answers, and that what it depends on does not: no version's
// fault.
var ErrDependency = errors.New("the server misses something it needs")

// ErrFiles is an ErrDependency of which users feel little: people can write, and not upload.
var ErrFiles = fmt.Errorf("%w: its file store", ErrDependency)

// versionID is X-Version-Id: version, build number, hash of the configuration, licensed. Only the
// build number tells patch releases apart: the version is that of the source code.
var versionID = regexp.MustCompile(`^\d+\.\d+\.\d+\.(.+)\.[0-9a-f]+\.(?:true|false)$`)

// Public asks at the public address, as a user's program would: by name, through the proxy, with
// the certificate verified.
func Public(ctx context.Context, url string) (Answer, error) {
	return ping(ctx, strings.TrimSuffix(url, "/"), &http.Transport{})
}

// Ping asks the server, with its database and its file store; an error means it must not be given
// users. With an ErrFiles comes the answer as well. Without get_server_status the answer is 200 even when the database is down, and HEAD is
// always 404.
func (h Health) Ping(ctx context.Context) (Answer, error) {
	dial := h.Dial
	if dial == nil {
		dial = (&net.Dialer{Control: throughGate}).DialContext
	}
	// The server is asked on this very host, by its address: nobody stands between.
	return ping(ctx, h.URL, &http.Transport{
		TLSClientConfig: &tls.Config{ServerName: h.ServerName, InsecureSkipVerify: true}, // #nosec G402
		DialContext:     dial,
	})
}

// throughGate gives a connection the mark that the gate lets pass. Who may not give it, as in a
// test without root, finds no gate either.
func throughGate(_, _ string, conn syscall.RawConn) error {
	return conn.Control(func(fd uintptr) { _ = setMark(fd, gateMark) })
}

func ping(ctx context.Context, url string, transport *http.Transport) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v4/system/ping?get_server_status=true", nil)
	if err != nil {
		return Answer{}, err
	}
	transport.DisableKeepAlives = true
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("ping: %w", err)
	}
	defer resp.Body.Close()
	var status struct {
		Database string `json:"database_status"`
		Files    string `json:"filestore_status"`
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return Answer{}, fmt.Errorf("ping: %w", err)
	}
	m := versionID.FindStringSubmatch(resp.Header.Get("X-Version-Id"))
	// What is no JSON says nothing of either.
	if json.Unmarshal(body, &status) == nil && resp.StatusCode == http.StatusInternalServerError {
		if status.Database != "" && status.Database != "OK" {
			return Answer{}, fmt.Errorf("%w: its database is %s", ErrDependency, status.Database)
		}
		if status.Files != "" && status.Files != "OK" {
			var a Answer
			if m != nil {
				a.Build = m[1]
			}
			return a, fmt.Errorf("%w is %s", ErrFiles, status.Files)
		}
	}
	if resp.StatusCode != http.StatusOK {
		return Answer{}, fmt.Errorf("ping: the server answers %s", resp.Status)
	}
	if m == nil {
		return Answer{}, fmt.Errorf("ping: X-Version-Id is %q: not a Mattermost server", resp.Header.Get("X-Version-Id"))
	}
	return Answer{Build: m[1]}, nil
}
