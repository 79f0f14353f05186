package phase

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/upgrade/host"
	"townsquare/upgrade/system"
)

// A plan promises that requests wait only where something makes them wait.
func TestVisitors(t *testing.T) {
	for name, c := range map[string]struct{ active, caddyfile, want string }{
		"this project's Caddy":  {"caddy.service loaded active running Caddy\n", "lb_try_duration 30s", "wait at Caddy"},
		"Caddy of another kind": {"caddy.service loaded active running Caddy\n", "reverse_proxy localhost:8065", "caddy answers visitors with an error (502)"},
		"no Caddyfile":          {"caddy.service loaded active running Caddy\n", "", "caddy answers visitors with an error (502)"},
		"nginx":                 {"nginx.service loaded active running nginx\n", "lb_try_duration 30s", "nginx answers visitors with an error (502)"},
		"nothing":               {"", "", "connections of visitors are refused"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "Caddyfile")
			if c.caddyfile != "" {
				if err := os.WriteFile(path, []byte(c.caddyfile), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := system.System{Run: func(context.Context, host.Command) ([]byte, error) { return []byte(c.active), nil }}
			p, err := findProxy(t.Context(), s, path)
			if err != nil {
				t.Fatal(err)
			}
			got := (&Operation{proxy: p}).visitors()
			if !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
