package system

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"townsquare/upgrade/host"
)

// doorTimeout is when the door opens by itself, should nobody be left to open it.
const doorTimeout = 30 * time.Second

const doorTable = "inet townsquare_door"

// CloseDoor makes new visitors wait in front of the proxy while it restarts: the first packet of a
// connection is dropped, and every client's system sends it again after a second. A refused one
// would be an error page; one that reached a proxy before its certificates are loaded, as well.
// Connections that exist go on until the proxy has answered them. The rules are in the kernel only
// and forget the ports after 30 s.
func (s System) CloseDoor(ctx context.Context) error {
	rules := strings.Join([]string{
		"table " + doorTable, "delete table " + doorTable,
		"table " + doorTable + " {",
		fmt.Sprintf("  set ports { type inet_service; flags timeout; elements = { 80 timeout %ds, 443 timeout %[1]ds } }", int(doorTimeout.Seconds())),
		"  chain input { type filter hook input priority -10; policy accept;",
		`    iifname != "lo" tcp dport @ports tcp flags & (fin|syn|rst|ack) == syn drop`,
		"  }",
		"}", ""}, "\n")
	if err := s.nft(ctx, rules); err != nil {
		return fmt.Errorf("close the door: %w", err)
	}
	return nil
}

// OpenDoor lets them in; opening an open door changes nothing.
func (s System) OpenDoor(ctx context.Context) error {
	if err := s.nft(ctx, "table "+doorTable+"\ndelete table "+doorTable+"\n"); err != nil {
		return fmt.Errorf("open the door: %w", err)
	}
	return nil
}

func (s System) nft(ctx context.Context, rules string) error {
	_, err := s.Run(ctx, host.Command{Name: "nft", Args: []string{"--file", "-"}, Stdin: strings.NewReader(rules)})
	return err
}

// AwaitProxy waits until the proxy answers for the site, with a certificate that holds. It is asked
// on this host itself, which the door does not concern.
func AwaitProxy(ctx context.Context, site string, limit time.Duration) error {
	u, err := url.Parse(site)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[u.Scheme == "https"]
	}
	local := net.JoinHostPort("127.0.0.1", port)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, local)
		},
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for deadline := time.Now().Add(limit); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(site, "/")+"/api/v4/system/ping", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 500 {
				return nil
			}
			err = fmt.Errorf("it answers %s", resp.Status)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("ask the proxy for %s: %w", site, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
