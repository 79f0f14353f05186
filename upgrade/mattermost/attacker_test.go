//go:build machine

package mattermost

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The attacker is a process of the service's user. It exchanges names below the directories of that user
// as fast as it can, while root works there.
const (
	service    = "nobody"
	attackEnv  = "TOWNSQUARE_TEST_ATTACK"
	rounds     = 1000
	secretText = `{"id": "of-root", "version": "1", "secret": "of-root"}`
)

func TestMain(m *testing.M) {
	if pairs := os.Getenv(attackEnv); pairs != "" {
		attack(strings.Split(pairs, "\n"))
	}
	os.Exit(m.Run())
}

// attack exchanges the names of each pair for ever; it makes the second of "a b target", a link.
func attack(pairs []string) {
	for parent := os.Getppid(); os.Getppid() == parent; {
		for _, pair := range pairs {
			w := strings.Fields(pair)
			if len(w) == 3 {
				_ = os.Symlink(w[2], w[1])
			}
			_ = unix.Renameat2(unix.AT_FDCWD, w[0], unix.AT_FDCWD, w[1], unix.RENAME_EXCHANGE)
		}
		if len(pairs) < 10 { // else it takes long enough until it comes back to the same one
			time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
		}
	}
	os.Exit(0)
}

// prey is a directory with root's own files in etc, and the service's user's in home.
type prey struct {
	*testing.T
	base, etc, home string
	before          map[string]string
}

func newPrey(t *testing.T) *prey {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("only root can be attacked")
	}
	base := openTo(t, "/dev/shm") // where a sync takes no time
	p := &prey{T: t, base: base, etc: filepath.Join(base, "etc"), home: filepath.Join(base, "home")}
	must(t, os.MkdirAll(filepath.Join(p.etc, "plugins"), 0o755), os.Mkdir(filepath.Join(p.etc, "d"), 0o755))
	for _, name := range []string{"passwd", "shadow", "config.json", "plugin.json", "plugins/plugin.json", "d/shadow"} {
		must(t, os.WriteFile(filepath.Join(p.etc, name), []byte(secretText), 0o600))
	}
	must(t, os.Mkdir(p.home, 0o755))
	p.before = state(t, p.etc)
	return p
}

// openTo makes a directory that other users can enter, as they cannot a test's own TempDir.
func openTo(t *testing.T, in string) string {
	t.Helper()
	dir, err := os.MkdirTemp(in, "attack")
	must(t, err, os.Chmod(dir, 0o755))
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// give gives everything below the paths to the service's user.
func (p *prey) give(paths ...string) {
	p.Helper()
	uid, gid, err := ids(service)
	must(p.T, err)
	for _, path := range paths {
		must(p.T, filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, uid, gid))
		}))
	}
}

// attackedBy starts the attacker, which the test ends if it does not call stop.
func (p *prey) attackedBy(pairs ...string) (stop func()) {
	p.Helper()
	u, err := user.Lookup(service)
	must(p.T, err)
	uid, err := strconv.Atoi(u.Uid)
	must(p.T, err)
	program, err := os.ReadFile("/proc/self/exe")
	must(p.T, err)
	copied := filepath.Join(openTo(p.T, "/tmp"), "attacker")
	must(p.T, os.WriteFile(copied, program, 0o755))
	cmd := exec.Command(copied)
	cmd.Env = []string{attackEnv + "=" + strings.Join(pairs, "\n")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}, Pdeathsig: syscall.SIGKILL}
	must(p.T, cmd.Start())
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	p.Cleanup(stop)
	for first := strings.Fields(pairs[0])[0]; ; time.Sleep(time.Millisecond) { // until it is at it
		if info, err := os.Lstat(first); err != nil || info.Mode()&fs.ModeSymlink != 0 || len(strings.Fields(pairs[0])) == 3 {
			return stop
		}
	}
}

// state is content, owner and mode of everything below dir.
func state(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(data)
		}
		all[strings.TrimPrefix(path, dir)] = text
		return nil
	}))
	return all
}

// unhurt looks at root's files.
func (p *prey) unhurt() {
	p.Helper()
	if diff := cmp.Diff(p.before, state(p.T, p.etc)); diff != "" {
		p.Fatal("root's files are not as they were:\n", diff)
	}
}

// leaked fails the test if something below dir has the content of root's files.
func (p *prey) leaked(dir string) {
	p.Helper()
	for name, text := range state(p.T, dir) {
		if strings.Contains(text, "of-root") {
			p.Fatalf("%s%s has the content of a file of root's: %s", dir, name, text)
		}
	}
}

// swap is a pair for the attacker: the directory at path, and a link to target of the same user's.
func (p *prey) swap(path, target string) string {
	p.Helper()
	must(p.T, os.Symlink(target, path+".x"))
	p.give(path + ".x")
	return path + " " + path + ".x"
}

func TestAttackFurnish(t *testing.T) {
	p := newPrey(t)
	dir := filepath.Join(p.base, "versions", "new")
	plant(t, dir, "bin/mattermost", "client/emoji/passwd", "client/emoji/d/")
	p.give(filepath.Join(dir, "client"))
	p.attackedBy(p.swap(filepath.Join(dir, "client/emoji"), p.etc))
	done := 0
	for i := range 10 * rounds {
		places := []Place{{Name: "client/emoji/passwd", Target: fmt.Sprintf("%s/%d", p.home, i%2), Custom: true},
			{Name: "client/emoji/d", Target: fmt.Sprintf("%s/%d", p.home, i%2), Custom: true},
			{Name: "client/emoji/ld.so.preload", Target: fmt.Sprintf("%s/%d", p.home, i%2), Custom: true}}
		if err := Furnish(dir, service, places); err == nil {
			done++
		}
	}
	p.unhurt()
	if done == 0 {
		t.Error("nothing was furnished")
	}
}

// A release that was unpacked for an earlier run can have been exchanged at leisure.
func TestFurnishThroughALink(t *testing.T) {
	p := newPrey(t)
	dir := filepath.Join(p.base, "versions", "new")
	plant(t, dir, "client/emoji -> "+p.etc)
	p.give(filepath.Join(dir, "client"))
	err := Furnish(dir, service, []Place{{Name: "client/emoji/passwd", Target: filepath.Join(p.home, "passwd"), Custom: true}})
	p.unhurt()
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "client/emoji")) {
		t.Errorf("got %v", err)
	}
}

func TestAttackGiveClient(t *testing.T) {
	p := newPrey(t)
	dir := filepath.Join(p.base, "versions", "new")
	client := filepath.Join(dir, "client")
	p.attackedBy(client+"/d "+client+"/x "+p.etc, client+"/d/shadow "+client+"/d/x "+p.etc+"/shadow", client+" "+dir+"/x "+p.etc)
	names := []string{"client/d/shadow", "client/link -> " + p.etc + "/shadow"}
	for i := range 10 {
		names = append(names, fmt.Sprintf("client/a/%d", i))
	}
	uid, _, err := ids(service)
	must(t, err)
	for range rounds {
		for os.RemoveAll(dir) != nil { // the attacker still exchanges names below it
		}
		plant(t, dir, names...)
		if err := GiveClient(dir, service); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(client); err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != uid {
			t.Fatalf("client/ is not given: %v", err)
		}
	}
	p.unhurt()
}

// A file that has another name outside is not given.
func TestGiveClientKeepsOtherNames(t *testing.T) {
	p := newPrey(t)
	dir := filepath.Join(p.base, "versions", "new")
	plant(t, dir, "client/root.html")
	must(t, os.Link(filepath.Join(p.etc, "shadow"), filepath.Join(dir, "client/shadow")), GiveClient(dir, service))
	p.unhurt()
	if !Owns(service, filepath.Join(dir, "client/root.html")) || !Owns(service, filepath.Join(dir, "client")) {
		t.Error("the client's own files are not given")
	}
}

func TestAttackMove(t *testing.T) {
	p := newPrey(t)
	dir := filepath.Join(p.home, "mattermost")
	plant(t, dir, "client/plugins/a", "client/passwd")
	p.give(p.home)
	p.attackedBy(p.swap(filepath.Join(dir, "client"), p.etc))
	custom := filepath.Join(p.base, "custom")
	for i := range rounds {
		for _, name := range []string{"plugins", "passwd"} {
			from, to := filepath.Join(dir, "client", name), filepath.Join(custom, name)
			_ = Move(from, to)
			if i%10 == 0 {
				p.unhurt()
			}
			_ = MoveBack(from, to)
		}
	}
	p.unhurt()
}

func TestAttackKeptPlugins(t *testing.T) {
	p := newPrey(t)
	dir := filepath.Join(p.home, "plugins")
	fifo := filepath.Join(p.home, "fifo")
	plant(t, dir, "a/program", "plugin.json")
	must(t, syscall.Mkfifo(fifo, 0o600))
	p.give(p.home)
	p.attackedBy(p.swap(dir, p.etc), p.swap(filepath.Join(dir, "a"), p.etc), filepath.Join(dir, "a")+" "+fifo)
	for i := range rounds {
		staging := filepath.Join(p.home, fmt.Sprintf(".kept-%d", i))
		must(t, Guard(p.home, service), os.Mkdir(staging, 0o700))
		kept, replaced := filepath.Join(staging, "plugins"), filepath.Join(staging, "replaced", "plugins")
		if KeepTree(dir, kept) == nil {
			p.leaked(kept)
			_, _ = SameTree(dir, kept)
			_ = Exchange(dir, kept, replaced)
			_ = ExchangeBack(dir, kept, replaced, false)
		}
		must(t, os.RemoveAll(staging))
	}
	p.unhurt()
}

// Restored files take the place of the user's, in a directory that root has taken from it.
func TestAttackExchange(t *testing.T) {
	p := newPrey(t)
	at := filepath.Join(p.home, "deep", "data")
	plant(t, at, "file")
	p.give(p.home)
	p.attackedBy(p.swap(at, p.etc), p.swap(filepath.Dir(at), p.etc))
	exchanged := 0
	for i := range rounds {
		staging := filepath.Join(p.home, "deep", fmt.Sprintf(".restore-%d", i))
		if Guard(filepath.Dir(staging), service) != nil || os.Mkdir(staging, 0o700) != nil {
			continue
		}
		plant(t, staging, "data/restored")
		staged, kept := filepath.Join(staging, "data"), filepath.Join(staging, "before", "data")
		if Exchange(at, staged, kept) == nil {
			exchanged++
		}
		if i%10 == 0 {
			p.unhurt()
		}
		_ = ExchangeBack(at, staged, kept, false)
		must(t, os.RemoveAll(staging))
	}
	p.unhurt()
	if exchanged == 0 {
		t.Error("nothing was exchanged")
	}
}

func TestAttackConfig(t *testing.T) {
	p := newPrey(t)
	config := filepath.Join(p.home, "config")
	path, fifo := filepath.Join(config, "config.json"), filepath.Join(config, "fifo")
	plant(t, config, "config.json")
	must(t, syscall.Mkfifo(fifo, 0o600))
	p.give(p.home)
	stop := p.attackedBy(p.swap(path, filepath.Join(p.etc, "config.json")), p.swap(config, p.etc), path+" "+fifo)
	kept := filepath.Join(p.base, "kept", "run.json")
	for i := range rounds {
		if CopyConfig(service, path, kept) == nil {
			p.leaked(filepath.Dir(kept))
		}
		must(t, os.MkdirAll(filepath.Dir(kept), 0o700), os.WriteFile(kept, fmt.Appendf(nil, "copy %d", i), 0o600))
		_ = PutBackConfig(service, kept, path)
	}
	stop()
	p.unhurt()
	p.leaked(p.home)
}

func TestAttackListPlugins(t *testing.T) {
	p := newPrey(t)
	dir := filepath.Join(p.home, "plugins")
	plant(t, dir, "a/")
	path, fifo := filepath.Join(dir, "a", "plugin.json"), filepath.Join(dir, "a", "fifo")
	must(t, os.WriteFile(path, []byte(`{"id": "a", "version": "1"}`), 0o644), syscall.Mkfifo(fifo, 0o600))
	p.give(p.home)
	p.attackedBy(p.swap(path, filepath.Join(p.etc, "plugin.json")), path+" "+fifo, p.swap(filepath.Join(dir, "a"), filepath.Join(p.etc, "plugins")))
	c := configOf(t, "{}", nil)
	c.user = service
	for range rounds {
		list, err := c.ListPlugins(dir)
		must(t, err)
		for _, l := range list {
			if l.ID != "a" {
				t.Fatalf("root read %v for the user", list)
			}
		}
	}
}

func TestAttackSandbox(t *testing.T) {
	p := newPrey(t)
	version, plugins := filepath.Join(p.base, "version"), filepath.Join(p.home, "plugins")
	plant(t, version, "bin/mattermost", "client/root.html")
	var pairs []string
	for i := range 20 {
		dir := filepath.Join(plugins, strconv.Itoa(i))
		plant(t, dir, "shadow", "program")
		pairs = append(pairs, p.swap(dir, p.etc))
	}
	p.give(p.home)
	for _, pair := range pairs { // links below plugins are given with it
		p.give(strings.Fields(pair)[1])
	}
	must(t, os.Chmod(p.etc, 0o700))
	p.before = state(t, p.etc)
	p.attackedBy(pairs...)
	for range rounds / 10 {
		s := &Sandbox{Dir: filepath.Join(p.base, "rehearsal"), Version: version, Plugins: plugins, Unit: &Unit{User: service}, Config: []byte("{}")}
		_ = s.furnish(t.Context()) // cp may miss what it was about to copy
		p.leaked(s.Dir)
		must(t, os.RemoveAll(s.Dir))
	}
	p.unhurt()
}
