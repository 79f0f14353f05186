package mattermost

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Databases whose names begin alike have copies of different names, each no longer than PostgreSQL keeps.
func TestNamesOfCopiesDiffer(t *testing.T) {
	at := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	long := strings.Repeat("a", 45)
	for _, f := range []func(string, time.Time) string{CheckpointName, FailedName, ScratchName, RestoredName} {
		one, two := f(long+"1", at), f(long+"2", at)
		if one == two {
			t.Errorf("both have %s", one)
		}
		if len(one) > maxName || ours(long+"2", one) || !ours(long+"1", one) {
			t.Errorf("%s has %d bytes, or is of the other", one, len(one))
		}
		if odd := f(strings.Repeat("ü", 25), at); !utf8.ValidString(odd) || !ours(strings.Repeat("ü", 25), odd) {
			t.Errorf("%q", odd)
		}
		if short := f("chat", at); !strings.HasPrefix(short, "chat_") || !strings.HasSuffix(short, "_20261201030000") {
			t.Error(short)
		}
	}
}

// A record from before names copies without the hash: they can be used and dropped, but no list of ours
// has them, as they may be another database's.
func TestNamesFromBefore(t *testing.T) {
	long := strings.Repeat("a", 45)
	const before = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_checkpoint_20261201030000"
	if !ours(long, before) || made(long, before, CheckpointName) {
		t.Errorf("%v, %v", ours(long, before), made(long, before, CheckpointName))
	}
}
