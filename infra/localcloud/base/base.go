// Package base makes the Debian that every machine of a local cloud starts
// from: what DigitalOcean's debian-13-x64 has, taken from where this computer
// gets Debian.
package base

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Release is the Debian release of the machines.
const Release = "trixie"

// ProxyURL is the Debian proxy as machines see it.
const ProxyURL = "http://10.91.0.1:3142"

// CacheDir is where slow things are kept: $TOWNSQUARE_CACHE, else
// /var/cache/townsquare.
func CacheDir() string {
	if dir := os.Getenv("TOWNSQUARE_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/townsquare"
}

// Image is a root file system to be used read-only.
type Image struct {
	Key string
	Dir string
}

// recipe is all that decides what an image contains. Its JSON is the cache
// key, so whatever changes the result must be in here.
type recipe struct {
	Format      int
	Release     string
	Mirror      Mirror
	Installed   []string
	Downloaded  []string
	Backports   []string
	Customize   string
	DownloadFmt string
}

func (r recipe) key() string {
	data, _ := json.Marshal(r) // strings and maps of strings: cannot fail
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

func newRecipe() (recipe, error) {
	mirror, err := HostMirror("/")
	if err != nil {
		return recipe{}, err
	}
	return recipe{
		Format: 1, Release: Release, Mirror: mirror,
		Installed: installed, Downloaded: downloaded, Backports: downloadedBackports,
		Customize: customize, DownloadFmt: download,
	}, nil
}

// Find returns the image if it has been built.
func Find() (Image, error) {
	r, err := newRecipe()
	if err != nil {
		return Image{}, err
	}
	image := Image{Key: r.key(), Dir: filepath.Join(CacheDir(), "base", r.key(), "rootfs")}
	_, err = os.Stat(image.Dir)
	return image, err
}

// Build returns the image, made now if need be, which takes a few minutes and
// is told to progress. Two processes may ask at once: one builds, the other
// waits.
func Build(ctx context.Context, progress io.Writer) (Image, error) {
	if err := CheckHost(); err != nil {
		return Image{}, err
	}
	image, err := Find()
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return image, err
	}
	r, err := newRecipe()
	if err != nil {
		return Image{}, err
	}
	parent := filepath.Join(CacheDir(), "base")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return Image{}, err
	}
	unlock, err := lock(filepath.Join(parent, "lock"))
	if err != nil {
		return Image{}, fmt.Errorf("lock the cache of base images: %w", err)
	}
	defer unlock()
	if image, err := Find(); err == nil {
		return image, nil // built by whoever held the lock
	}
	temp, err := os.MkdirTemp(parent, ".building-")
	if err != nil {
		return Image{}, err
	}
	defer os.RemoveAll(temp)
	if err := os.Chmod(temp, 0o755); err != nil {
		return Image{}, err
	}
	began := time.Now()
	fmt.Fprintf(progress, "base: building Debian %s for the machines (once; a few minutes)\n", r.Release)
	if err := r.run(ctx, filepath.Join(temp, "rootfs"), progress); err != nil {
		return Image{}, fmt.Errorf("build base image: %w", err)
	}
	if err := os.Rename(temp, filepath.Dir(image.Dir)); err != nil {
		return Image{}, err
	}
	fmt.Fprintf(progress, "base: done in %s\n", time.Since(began).Round(time.Second))
	return image, nil
}

func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		file.Close()
		return nil, err
	}
	return func() { file.Close() }, nil
}

func (r recipe) run(ctx context.Context, dir string, progress io.Writer) error {
	script, err := os.CreateTemp("", "townsquare-base-")
	if err != nil {
		return err
	}
	defer os.Remove(script.Name())
	_, err = io.WriteString(script, r.script())
	if err := errors.Join(err, script.Chmod(0o700), script.Close()); err != nil {
		return err
	}
	args := []string{
		"--mode=root", "--variant=important", "--format=directory",
		"--include=" + strings.Join(r.Installed, ","),
		// What was downloaded for cloud-init must stay where apt finds it.
		"--skip=cleanup/apt",
		"--customize-hook=" + script.Name() + ` "$1"`,
	}
	for key, value := range r.aptOptions() {
		args = append(args, fmt.Sprintf("--aptopt=%s %q", key, value))
	}
	args = append(append(args, r.Release, dir), r.sources()...)
	cmd := exec.CommandContext(ctx, "mmdebstrap", args...)
	// A group of its own, so that a cancelled build leaves no dpkg behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TMPDIR=/tmp", "DEBIAN_FRONTEND=noninteractive")
	output, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	tail := follow(output, progress)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, tail)
	}
	return nil
}

// follow passes mmdebstrap's own milestones on and keeps the last lines of the
// rest for an error.
func follow(r io.Reader, progress io.Writer) string {
	var last []string
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		if message, ok := strings.CutPrefix(line, "I: "); ok && !strings.HasPrefix(message, "running --") {
			fmt.Fprintf(progress, "base: %s\n", message)
		}
		if last = append(last, line); len(last) > 25 {
			last = last[1:]
		}
	}
	return strings.Join(last, "\n")
}

func (r recipe) sources() []string {
	main := "deb [signed-by=" + keyring + "] "
	return []string{
		main + r.Mirror.Archive + " " + r.Release + " main",
		main + r.Mirror.Archive + " " + r.Release + "-updates main",
		main + r.Mirror.Security + " " + r.Release + "-security main",
	}
}

func (r recipe) aptOptions() map[string]string {
	options := map[string]string{}
	for k, v := range r.Mirror.Options {
		options[k] = v
	}
	if r.Mirror.Proxy != "" {
		options["Acquire::http::Proxy"] = r.Mirror.Proxy
	}
	return options
}
