//go:build machine

package e2e

import (
	"context"
	"os"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// server is one server of these tests, with what they remember of it.
type server struct {
	*stage.Server
	kept string // what the host says of the keepsakes
	seen *arguments
	set  []string // settings that have changed since: --set KEY=VALUE
}

// localcloud types `localcloud ARGUMENTS`.
func localcloud(t *testing.T, arguments ...string) stage.Result {
	t.Helper()
	return square.Localcloud(t.Context(), arguments...)
}

// provision makes the dev stack by the real engine, with settings as in --set KEY=VALUE on top, and
// destroys it when the test ends.
func provision(t *testing.T, settings ...string) *server {
	t.Helper()
	// An earlier test may have left a newer patch, and the archive lists only the newest of a minor.
	localcloud(t, "mirror", "publish", "--only", before, after, "--esr", "9.10").Must(t)
	seen := &arguments{seen: map[string]bool{}}
	go seen.collect(t.Context())
	up := localcloud(t, append([]string{"pulumi", "up", "--stack", "dev"}, settings...)...)
	t.Cleanup(func() {
		if os.Getenv(stage.KeepVariable) == "" {
			destroy(t)
		}
	})
	up.Must(t)
	t.Logf("pulumi up took %v", up.Took)
	var o stage.Outputs
	localcloud(t, "pulumi", "outputs", "--stack", "dev", "--json").Must(t).Into(t, &o)
	s, err := square.Server(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &server{Server: s, seen: seen}
}

// destroy leaves nothing of the stack; twice is fine.
func destroy(t *testing.T) {
	t.Helper()
	if r := square.Localcloud(context.Background(), "pulumi", "destroy", "--stack", "dev"); r.Code != 0 {
		t.Error(r)
	}
}
