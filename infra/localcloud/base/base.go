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

	"townsquare/infra/localcloud/build"
)

// Release is the Debian release of the machines.
const Release = "trixie"

// ProxyURL is the Debian proxy as machines see it.
const ProxyURL = "http://10.91.0.1:3142"

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

// entry is where the cache keeps the image. It is complete, or not there.
func (r recipe) entry() build.Entry {
	return build.Entry{
		Kind: "base", Key: r.key(), What: "Debian " + r.Release, Why: "what the machines start from", Usual: 100 * time.Second,
		Make: func(ctx context.Context, dir string, step *build.Step) (string, error) {
			return "", r.run(ctx, filepath.Join(dir, "rootfs"), step)
		},
	}
}

// Find returns the image, a root file system to be used read-only. The error is
// os.ErrNotExist if it has not been built.
func Find() (rootfs string, err error) {
	r, err := newRecipe()
	if err != nil {
		return "", err
	}
	rootfs = filepath.Join(build.NewCache(nil).Path(r.entry()), "rootfs")
	_, err = os.Stat(rootfs)
	return rootfs, err
}

// Build returns the image, made now if need be, which takes a few minutes.
func Build(ctx context.Context, cache *build.Cache) (rootfs string, err error) {
	if err := CheckHost(); err != nil {
		return "", err
	}
	r, err := newRecipe()
	if err != nil {
		return "", err
	}
	dir, err := cache.Get(ctx, r.entry())
	return filepath.Join(dir, "rootfs"), err
}

func (r recipe) run(ctx context.Context, dir string, step *build.Step) error {
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
	tail := follow(output, step)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, tail)
	}
	return nil
}

// follow shows mmdebstrap's own milestones and keeps the last lines of the rest
// for an error.
func follow(r io.Reader, step *build.Step) string {
	var last []string
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		if message, ok := strings.CutPrefix(line, "I: "); ok && !strings.HasPrefix(message, "running --") {
			step.Status("%s", message)
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
