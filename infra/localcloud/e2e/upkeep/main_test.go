//go:build machine

// Package upkeep proves on real machines what keeps a server current while nobody looks: the
// operating system's updates with their restarts and reboots, timers, windows, and what people are
// told of it.
package upkeep

import (
	"os"
	"testing"

	"townsquare/infra/localcloud/stage"
)

var square = stage.New("upkeep")

func TestMain(m *testing.M) { os.Exit(square.Main(m)) }
