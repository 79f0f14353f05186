package stage

import (
	"os"
	"testing"
	"unsafe"
)

func TestTextOfACall(t *testing.T) {
	said := []byte("said")
	at := uint64(uintptr(unsafe.Pointer(&said[0])))
	own := call{memory: os.Getpid()}
	for length, want := range map[uint64]string{4: "said", 2: "sa", 0: ""} {
		if got := string(own.text(at, length)); got != want {
			t.Errorf("of %d bytes: %q", length, got)
		}
	}
}
