//go:build machine

// Package handmade takes over servers that were set up by hand: by the vendor's guide, and with what
// administrators change on them over the years. Of the longest tables of cases every other one runs, by
// the date; with ALL=1 in the environment all do.
package handmade

import (
	"os"
	"testing"

	"townsquare/infra/localcloud/stage"
)

var square = stage.New("handmade")

func TestMain(m *testing.M) { os.Exit(square.Main(m)) }
