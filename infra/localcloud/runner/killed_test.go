//go:build machine

package runner_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"townsquare/infra"
	"townsquare/infra/localcloud/runner"
)

// An engine that is killed while the droplet boots leaves no machine that nobody knows of: the next
// run clears up, and makes the stack.
func TestKilledEngine(t *testing.T) {
	a := newAccount(t, "killedtest")
	var said bytes.Buffer
	up := exec.Command(program, "pulumi", "up", "--cloud", a.cloud.Name)
	up.Stdout, up.Stderr = &said, &said
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	// Only the droplet is on its way then: a record that the cloud has made, and the engine has not yet
	// written down, would be nobody's, as with the real provider.
	for deadline := time.Now().Add(time.Minute); len(a.machines()) == 0 || !a.quiet(500*time.Millisecond); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no machine was begun")
		}
	}
	for _, engine := range children(t, up.Process.Pid) {
		if err := syscall.Kill(engine, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := up.Wait(); err == nil {
		t.Fatalf("up ended well without its engine:\n%s", said.String())
	}
	a.up(infra.New, nil, runner.Changes{"create": some, "same": some})
	if machines := a.machines(); len(machines) != 1 || !machines["townsquare-dev"].Running() {
		t.Errorf("machines: %v", machines)
	}
	a.destroy(infra.New)
}

// quiet says that nothing has been made in the cloud for a while.
func (a *account) quiet(since time.Duration) bool {
	a.t.Helper()
	info, err := os.Stat(filepath.Join(a.cloud.Dir, "inventory.json"))
	if err != nil {
		a.t.Fatal(err)
	}
	return time.Since(info.ModTime()) >= since
}

// children are the processes that a process, in whichever of its threads, has started.
func children(t *testing.T, pid int) (found []int) {
	t.Helper()
	lists, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, child)
		}
	}
	return found
}
