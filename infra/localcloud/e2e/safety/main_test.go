//go:build machine

// Package safety proves on a real machine that nothing is lost: what is killed, hangs or turns out
// bad is put back, and what people wrote stays.
package safety

import (
	"os"
	"testing"

	"townsquare/infra/localcloud/stage"
)

var square = stage.New("safety")

func TestMain(m *testing.M) { os.Exit(square.Main(m)) }
