//go:build linux

package host

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// The peak is that of the time since the last question, not of the whole life.
func TestPeakMemoryBeginsAnew(t *testing.T) {
	func() {
		large := make([]byte, 96<<20)
		for i := 0; i < len(large); i += 4096 {
			large[i] = 1
		}
		if peak := PeakMemory(); peak < 96<<20 {
			t.Errorf("the peak is %d MB, and more was held", peak>>20)
		}
		runtime.KeepAlive(large)
	}()
	debug.FreeOSMemory()
	PeakMemory()
	if peak := PeakMemory(); peak > 90<<20 {
		t.Errorf("the peak is %d MB after all was given back", peak>>20)
	}
}
