package cli

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// module is this program's Go module.
const module = "townsquare"

// noBuildError says that there is no build of this program for the host.
type noBuildError struct{ arch string }

func (e *noBuildError) Error() string {
	return fmt.Sprintf("there is no build of upgrade for linux/%s to put on the server", e.arch)
}

// Hint says what to type.
func (e *noBuildError) Hint() string {
	return fmt.Sprintf("in the source tree: GOOS=linux GOARCH=%s CGO_ENABLED=0 go build -o %s ./upgrade", e.arch, beside(e.arch))
}

// hostBuild finds the linux build of this program for arch: this very file where it is one, a file
// beside it named upgrade-linux-<arch>, or one built on the spot inside the source tree. A file
// that needs the C library of the machine it was built on is the last choice: the host's may be older.
func hostBuild(ctx context.Context, arch string, say func(string, ...any)) (string, error) {
	const self = "/proc/self/exe"
	ours := runtime.GOOS == "linux" && runtime.GOARCH == arch
	if ours && isStatic(self) {
		return self, nil
	}
	if path := beside(arch); exists(path) {
		return path, nil
	}
	path, err := crossBuild(ctx, arch, say)
	switch {
	case err == nil:
		return path, nil
	case ours:
		return self, nil
	case errors.Is(err, errNoSource):
		return "", &noBuildError{arch: arch}
	}
	return "", err
}

func beside(arch string) string {
	self, err := os.Executable()
	if err != nil {
		self = "upgrade"
	}
	return filepath.Join(filepath.Dir(self), "upgrade-linux-"+arch)
}

func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// isStatic tells whether the program needs no loader and so no C library.
func isStatic(path string) bool {
	file, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

var errNoSource = errors.New("not inside the source tree, or Go is not installed")

// crossBuild builds this program from the source tree around the working directory. Go's own cache
// makes a second time quick.
func crossBuild(ctx context.Context, arch string, say func(string, ...any)) (string, error) {
	root, err := sourceTree()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	out := filepath.Join(cache, module, "upgrade-linux-"+arch)
	say("Building upgrade for the server (linux/%s) …", arch)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./upgrade")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build upgrade for linux/%s: %w: %s", arch, err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

func sourceTree() (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", errNoSource
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module "+module+"\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errNoSource
		}
		dir = up
	}
}
