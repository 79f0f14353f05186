//go:build machine

package runner_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
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
	// Whoever starts machines stands still, so that the droplet stays on its way.
	daemon := a.cloud.DaemonProcess()
	if daemon == 0 { // that would be this process's own group
		t.Fatal("the cloud has no daemon")
	}
	signal(t, daemon, syscall.SIGSTOP)
	defer syscall.Kill(daemon, syscall.SIGCONT)
	var said bytes.Buffer
	up := exec.Command(program, "pulumi", "up", "--cloud", a.cloud.Name)
	up.Stdout, up.Stderr = &said, &said
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	// And only the droplet is, after a while: a record that the cloud has made, and the engine has not yet
	// written down, would be nobody's, as with the real provider.
	const droplet = "digitalocean:index/droplet:Droplet"
	for deadline := time.Now().Add(10 * time.Minute); len(a.machines()) != 1 || a.pending() != droplet || !a.quiet(5*time.Second); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = up.Process.Kill()
			t.Fatalf("on its way is %q:\n%s", a.pending(), said.String())
		}
	}
	for _, engine := range children(t, up.Process.Pid) {
		signal(t, engine, syscall.SIGKILL)
	}
	if err := up.Wait(); err == nil {
		t.Fatalf("up ended well without its engine:\n%s", said.String())
	}
	if left := a.pending(); left != droplet {
		t.Fatalf("on its way was %q", left)
	}
	signal(t, daemon, syscall.SIGCONT)
	a.up(infra.New, nil, runner.Changes{"create": some, "same": some})
	if machines := a.machines(); len(machines) != 1 || !machines["townsquare-dev"].Running() {
		t.Errorf("machines: %v", machines)
	}
	a.destroy(infra.New)
}

func signal(t *testing.T, pid int, what syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, what); err != nil {
		t.Fatal(err)
	}
}

// checkpoint is the engine's own record of the stack.
func (a *account) checkpoint() string {
	return filepath.Join(a.cloud.Dir, "pulumi/backend/.pulumi/stacks/townsquare/dev.json")
}

// pending is what the engine has begun and not ended, by type.
func (a *account) pending() string {
	a.t.Helper()
	var file struct {
		Checkpoint struct {
			Latest struct {
				Pending []struct{ Resource struct{ Type string } } `json:"pending_operations"`
			}
		}
	}
	data, err := os.ReadFile(a.checkpoint())
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	var types []string
	for _, one := range file.Checkpoint.Latest.Pending {
		types = append(types, one.Resource.Type)
	}
	return strings.Join(types, " ")
}

// quiet says that the engine has begun and ended nothing for a while.
func (a *account) quiet(since time.Duration) bool {
	a.t.Helper()
	info, err := os.Stat(a.checkpoint())
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
