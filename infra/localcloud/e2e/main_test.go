//go:build machine

package e2e

import (
	"os"
	"testing"

	"townsquare/infra/localcloud/stage"
)

// square is the tests' own local cloud; a demo beside it is not touched.
var square = stage.New("test")

func TestMain(m *testing.M) { os.Exit(square.Main(m)) }
