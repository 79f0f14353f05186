package mattermost

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Prefetch reads the files of the application's database, so that a copy which is made soon finds them
// in memory. It does nothing where they are more than most bytes, or not on this host.
func (a *Admin) Prefetch(ctx context.Context, most uint64) error {
	if !a.Local() {
		return nil
	}
	data := a.DataDirectory(ctx)
	if data == "" {
		return nil
	}
	conn, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	var oid uint32
	err = conn.QueryRow(ctx, "select oid from pg_database where datname = $1", a.target).Scan(&oid)
	conn.Close(ctx)
	if err != nil {
		return fmt.Errorf("look for the database's files: %w", err)
	}
	return readAhead(ctx, filepath.Join(data, "base", strconv.FormatUint(uint64(oid), 10)), most)
}

// readAhead reads the files of a directory, if they are no more than most bytes.
func readAhead(ctx context.Context, dir string, most uint64) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	var size uint64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			size += uint64(info.Size())
		}
	}
	if size > most {
		return nil
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil { // a table can be dropped at any moment
			if err := ignoreMissing(err); err != nil {
				return err
			}
			continue
		}
		_, err = io.Copy(io.Discard, f)
		f.Close()
		if err != nil {
			return fmt.Errorf("read the database's files: %w", err)
		}
	}
	return nil
}
