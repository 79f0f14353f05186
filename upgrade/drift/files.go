package drift

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/durable"
	"townsquare/upgrade/state"
)

// compareDirectories looks at those that first boot makes, not at what is in them.
func (c *Comparison) compareDirectories(accounts accounts) error {
	for _, want := range c.look.Directories {
		info, err := os.Lstat(c.host.path(want.Path))
		d := Difference{Kind: KindDirectory, Name: want.Path}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			d.Found = "is missing"
		case err != nil:
			return err
		case !info.IsDir():
			d.Found, d.Left, d.Hint = "is no directory", "what it is for only you know", "ls -ld "+want.Path
			c.add(d)
			continue
		default:
			if d.Found = accounts.attributes(info, want.Owner, want.GroupOf(), want.ModeBits()); d.Found == "" {
				continue
			}
		}
		c.add(d)
		c.directories = append(c.directories, want)
	}
	return nil
}

// compareFiles looks at each file's content, owner and mode.
func (c *Comparison) compareFiles(ctx context.Context, accounts accounts) error {
	for _, want := range c.look.Files {
		found, lines, err := c.host.differs(ctx, want, accounts)
		if err != nil {
			return err
		}
		switch found {
		case "":
		case noFile:
			c.add(Difference{Kind: KindFile, Name: want.Path, Found: found, Left: "what it is for only you know", Hint: "ls -ld " + want.Path})
		default:
			c.add(Difference{Kind: KindFile, Name: want.Path, Found: found, Lines: lines})
			c.files = append(c.files, want)
		}
	}
	return nil
}

// noFile is a directory or worse in the place of a file.
const noFile = "is no file"

// differs says how a file is not what it should be; empty when it is.
func (h Host) differs(ctx context.Context, want state.File, accounts accounts) (found, lines string, err error) {
	path := h.path(want.Path)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is missing", "", nil
	case errors.Is(err, syscall.ENOTDIR):
		return "is missing", "", nil
	case err != nil:
		return "", "", err
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		return "is a link to " + to, "", err
	case !info.Mode().IsRegular():
		return noFile, "", nil
	}
	have, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	if bytes.Equal(have, []byte(want.Content)) {
		return accounts.attributes(info, want.Owner, want.Owner, want.ModeBits()), "", nil
	}
	lines, err = h.diff(ctx, string(have), want.Content)
	return "differs in " + changes(lines), lines, err
}

// attributes says who else owns it, or which other mode it has; empty when both are as they should be.
func (a accounts) attributes(info fs.FileInfo, owner, group string, mode fs.FileMode) string {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		uid, gid, missing := a.ids(owner, group)
		switch {
		case missing != "":
			return "should belong to " + missing + ", who is missing"
		case stat.Uid != uid:
			return fmt.Sprintf("belongs to %s, not to %s", a.name(stat.Uid), owner)
		case stat.Gid != gid:
			return fmt.Sprintf("is of the group %d, not of %s's", stat.Gid, group)
		}
	}
	if has := info.Mode() & (fs.ModePerm | fs.ModeSticky); has != mode {
		return fmt.Sprintf("has the mode %s, not %s", octal(has), octal(mode))
	}
	return ""
}

// octal is a mode as chmod takes it.
func octal(mode fs.FileMode) string {
	sticky := 0
	if mode&fs.ModeSticky != 0 {
		sticky = 1
	}
	return fmt.Sprintf("%d%03o", sticky, mode.Perm())
}

// diff is what must change for is to become should.
func (h Host) diff(ctx context.Context, is, should string) (string, error) {
	file, err := os.CreateTemp("", "townsquare-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(is)
	if err = errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	out, err := h.Run(ctx, host.Command{Name: "diff", Stdin: strings.NewReader(should),
		Args: []string{"--unified=1", "--label=on the server", "--label=as the stack says", file.Name(), "-"}})
	var exit *host.ExitError
	if errors.As(err, &exit) && exit.Code == 1 { // they differ
		err = nil
	}
	return string(out), err
}

// changes counts the lines of a diff that are not context.
func changes(diff string) string {
	n := 0
	for line := range strings.Lines(diff) {
		if (line[0] == '+' || line[0] == '-') && !strings.HasPrefix(line, "+++ ") && !strings.HasPrefix(line, "--- ") {
			n++
		}
	}
	if n == 1 {
		return "1 line"
	}
	return fmt.Sprintf("%d lines", n)
}

// Files are the paths that Write changes.
func (c *Comparison) Files() (paths []string) {
	for _, f := range c.files {
		paths = append(paths, f.Path)
	}
	return paths
}

// Keep copies files into dir, where Restore finds them.
func (h Host) Keep(dir string, paths ...string) (kept []state.Kept, err error) {
	for _, path := range paths {
		k := state.Kept{Path: path}
		from, to := h.path(path), filepath.Join(dir, path)
		info, err := os.Lstat(from)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			kept = append(kept, k)
			continue
		case err != nil:
			return kept, err
		}
		k.Copy = to
		if err := os.MkdirAll(h.path(filepath.Dir(to)), 0o700); err != nil {
			return kept, err
		}
		if err := copyFile(from, h.path(to), info); err != nil {
			return kept, fmt.Errorf("keep %s: %w", path, err)
		}
		kept = append(kept, k)
	}
	return kept, nil
}

// Write puts directories and files in place. Nobody reads them yet: see Prove and Tell.
func (c *Comparison) Write(context.Context) error {
	accounts, err := c.host.accounts()
	if err != nil {
		return err
	}
	if err := c.protect(accounts); err != nil {
		return err
	}
	for _, d := range c.directories {
		uid, gid, missing := accounts.ids(d.Owner, d.GroupOf())
		if missing != "" {
			return fmt.Errorf("%s is to belong to %s, who is missing", d.Path, missing)
		}
		path := c.host.path(d.Path)
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chown(path, int(uid), int(gid)), os.Chmod(path, d.ModeBits())); err != nil {
			return err
		}
	}
	for _, f := range c.files {
		uid, gid, missing := accounts.ids(f.Owner, f.Owner)
		if missing != "" {
			return fmt.Errorf("%s is to belong to %s, who is missing", f.Path, missing)
		}
		if err := put(c.host.path(f.Path), []byte(f.Content), f.ModeBits(), uid, gid); err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
	}
	return nil
}

// Restore puts back what Keep kept; what was not there goes. It may be called twice.
func (h Host) Restore(ctx context.Context, kept []state.Kept) error {
	var failed []error
	units := false
	for _, k := range kept {
		path := h.path(k.Path)
		units = units || strings.HasPrefix(k.Path, unitDir)
		if k.Copy == "" {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = append(failed, err)
			}
			continue
		}
		info, err := os.Lstat(h.path(k.Copy))
		if err == nil {
			err = copyFile(h.path(k.Copy), path, info)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("put back %s: %w", k.Path, err))
		}
	}
	if units {
		_, err := h.ask(ctx, "systemctl", "daemon-reload")
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// copyFile makes to what from is, owner and mode included; from may be a link.
func copyFile(from, to string, info fs.FileInfo) error {
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return renameio.Symlink(target, to)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("its owner cannot be told on this system")
	}
	return put(to, data, info.Mode().Perm(), stat.Uid, stat.Gid)
}

// put replaces a file, also one that is a link, and survives a power cut.
func put(path string, data []byte, mode fs.FileMode, uid, gid uint32) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(mode), renameio.IgnoreUmask())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Cleanup()) }() // nothing once it took its place
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Chown(int(uid), int(gid)); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}
