package mattermost

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// play makes a process as the kernel shows it.
func (f Proc) play(t *testing.T, pid, parent int, exe, cgroup string, args ...string) {
	t.Helper()
	dir := f.path(pid, "")
	if err := os.MkdirAll(filepath.Join(dir, "fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	stat := fmt.Sprintf("%d (a) b) S %d%s 100 0", pid, parent, strings.Repeat(" 0", 17))
	for name, data := range map[string]string{"cgroup": cgroup + "\n", "cmdline": strings.Join(args, "\x00") + "\x00", "environ": "A=1\x00", "stat": stat, "../uptime": "61.00 1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"exe": exe, "cwd": "/", "root": "/"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOthers: whatever else runs, or would start, the program of the install directory is named.
func TestOthers(t *testing.T) {
	dir, proc := t.TempDir(), Proc(t.TempDir())
	link := filepath.Join(t.TempDir(), "mattermost")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	exe, mm := dir+"/bin/mattermost", link+"/bin/mattermost"
	proc.play(t, 10, 1, exe, "0::/system.slice/mattermost.service", mm)
	proc.play(t, 11, 10, exe, "0::/system.slice/mattermost.service", mm) // just forked, and about to be a plugin
	proc.play(t, 12, 10, dir+"/plugins/board/server", "0::/system.slice/mattermost.service", "board")
	proc.play(t, 20, 1, exe, "1:name=systemd:/system.slice/second.service", mm)
	proc.play(t, 30, 1, exe+" (deleted)", "0::/user.slice/user-0.slice/session-3.scope", "./mattermost", "server")
	proc.play(t, 40, 1, exe, "0::/system.slice/townsquare-rehearsal.service", mm)
	proc.play(t, 50, 1, exe, "0::/user.slice/user-0.slice/session-4.scope", mm, "-c", "x.json", "version")
	proc.play(t, 60, 1, "/elsewhere/bin/mattermost", "0::/system.slice/third.service", "mattermost")
	units := strings.Join([]string{
		shown("mattermost.service", "active", mm), shown("second.service", "active", mm), shown("second.service", "active", mm),
		shown("old.service", "inactive", dir+"/bin/mattermost server"), shown("mm@test.service", "inactive", mm),
		shown("script.service", "active", link+"/run.sh"), shown("export.service", "inactive", link+"/export.sh", "Type=oneshot"),
		shown("mmctl.service", "inactive", link+"/bin/mmctl"), shown("third.service", "active", "/elsewhere/bin/mattermost"),
		shown("townsquare-rehearsal.service", "active", mm), shown("ssh.service", "active", "/usr/sbin/sshd -D"),
	}, "\n")
	c := Claim{Unit: &Unit{Name: "mattermost.service"}, Dir: dir, Proc: proc,
		Run: answers(t, "list-unit-files", "old.service disabled\nmm@.service disabled\n", "*.service old.service", units)}
	found, err := c.Others(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range found {
		got = append(got, p.Where+" "+p.Found)
	}
	want := []string{"mm@test.service it is stopped, and would start " + mm, "old.service it is stopped, and would start " + mm,
		"script.service it is running and starts " + mm, "second.service it is running and starts " + mm, "process 30 of session-3.scope it runs " + mm}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	const hint = "sudo systemctl disable old.service && sudo mv /etc/systemd/system/old.service /etc/systemd/system/old.service.off && sudo systemctl daemon-reload"
	if found[1].Hint != hint {
		t.Errorf("hint is %s", found[1].Hint)
	}
}
