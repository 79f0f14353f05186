package build

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func testCache(t *testing.T) *Cache {
	t.Helper()
	return &Cache{Dir: t.TempDir(), Progress: NewProgress(io.Discard)}
}

func TestGetMakesOnceForAllWhoAsk(t *testing.T) {
	c := testCache(t)
	var made atomic.Int32
	e := Entry{Kind: "tools", Name: "thing", Key: Key("a"), Heavy: true,
		Make: func(_ context.Context, dir string, _ *Step) (string, error) {
			made.Add(1)
			time.Sleep(50 * time.Millisecond)
			return "", os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o644)
		}}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			dir, err := c.Get(t.Context(), e)
			if err != nil {
				t.Error(err)
				return
			}
			if text, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(text) != "content" {
				t.Errorf("got %q, %v", text, err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times, want once", made.Load())
	}
}

func TestFailedMakeLeavesNothing(t *testing.T) {
	c := testCache(t)
	broken := errors.New("broken")
	e := Entry{Kind: "tools", Name: "thing", Key: "k", What: "the thing",
		Make: func(_ context.Context, dir string, _ *Step) (string, error) {
			return "", errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o644), broken)
		}}
	_, err := c.Get(t.Context(), e)
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "build the thing: ") {
		t.Errorf("error %v", err)
	}
	if c.Has(e) {
		t.Error("a failed entry is there")
	}
	left, err := filepath.Glob(filepath.Join(c.Dir, "tools", ".making-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A process that died while making an entry leaves its temporary directory; the next one clears it away.
func TestGetClearsUpAfterACrash(t *testing.T) {
	c := testCache(t)
	stale := filepath.Join(c.Dir, "tools", ".making-thing-k-1234")
	if err := os.MkdirAll(stale, 0o755); err != nil {
		t.Fatal(err)
	}
	e := Entry{Kind: "tools", Name: "thing", Key: "k",
		Make: func(context.Context, string, *Step) (string, error) { return "", nil }}
	if _, err := c.Get(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("the old temporary directory is still there: %v", err)
	}
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, "mattermost 9.10.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var holder string
	_, err = lock(ctx, path, "pulumi", func(h string) { holder = h })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the context's", err)
	}
	if !strings.HasPrefix(holder, "mattermost 9.10.0 (process ") {
		t.Errorf("holder %q", holder)
	}
}

func TestUnlockLetsTheNextOneIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 2 {
		unlock, err := lock(t.Context(), path, "a", func(string) { t.Error("waited") })
		if err != nil {
			t.Fatal(err)
		}
		unlock()
	}
}

func TestKeyKeepsPartsApart(t *testing.T) {
	if Key("ab", "c") == Key("a", "bc") || Key("a") == Key("a", "") {
		t.Error("different parts give the same key")
	}
	if len(Key("a")) != 16 {
		t.Errorf("key %q", Key("a"))
	}
}

func TestNewCacheFollowsTheEnvironment(t *testing.T) {
	t.Setenv("TOWNSQUARE_CACHE", "/elsewhere")
	if c := NewCache(nil); c.Dir != "/elsewhere" {
		t.Errorf("dir %s", c.Dir)
	}
	t.Setenv("TOWNSQUARE_CACHE", "")
	if c := NewCache(nil); c.Dir != DefaultDir {
		t.Errorf("dir %s", c.Dir)
	}
}
