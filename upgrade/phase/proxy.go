package phase

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"townsquare/upgrade/system"
)

// proxies are what may stand in front of Mattermost.
var proxies = []string{"caddy.service", "nginx.service", "apache2.service", "haproxy.service"}

// caddyConfig is where Debian's Caddy reads its configuration.
const caddyConfig = "/etc/caddy/Caddyfile"

// proxy is what visitors meet first.
type proxy struct {
	units []string // of proxies, those that run
	holds bool     // Caddy, configured to keep requests while Mattermost does not answer
}

// findProxy looks which proxies run. One on another server is not seen.
func findProxy(ctx context.Context, s system.System, config string) (proxy, error) {
	active, err := s.Active(ctx, "*.service")
	if err != nil {
		return proxy{}, err
	}
	var p proxy
	for _, unit := range proxies {
		if slices.Contains(active, unit) {
			p.units = append(p.units, unit)
		}
	}
	if !slices.Contains(p.units, "caddy.service") {
		return p, nil
	}
	text, err := os.ReadFile(config)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	// https://caddyserver.com/docs/caddyfile/directives/reverse_proxy#load-balancing
	p.holds = strings.Contains(string(text), "lb_try_duration")
	return p, err
}

// visitors returns what they meet while Mattermost does not answer.
func (op *Operation) visitors() string {
	switch p := op.proxy; {
	case p.holds:
		return "requests wait at Caddy, for up to 30 s each"
	case len(p.units) > 0:
		return strings.TrimSuffix(p.units[0], ".service") + " answers visitors with an error (502): only this project's Caddyfile has requests wait"
	}
	return "connections of visitors are refused: no proxy on this server has them wait"
}
