//go:build machine

// Package safety proves on a real machine that nothing is lost: what is killed, hangs or turns out
// bad is put back, and what people wrote stays. Of its longest tables every other case runs, see stage.Due.
package safety

import (
	"os"
	"testing"

	"townsquare/infra/localcloud/stage"
)

var square = stage.New("safety")

func TestMain(m *testing.M) { os.Exit(square.Main(m)) }

// fresh is the server before the upgrade. What these tests are about is on the host: asking Pulumi of
// it each time would cost two seconds, and tests of the stack's commands do.
func fresh(t *testing.T) *stage.Server {
	t.Helper()
	s := square.Fresh(t)
	s.Directly()
	return s
}

// upgraded is fresh, after the upgrade.
func upgraded(t *testing.T) *stage.Server {
	t.Helper()
	s := square.Upgraded(t)
	s.Directly()
	return s
}
