package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// Database writes the database's part of a backup to w: SQL as pg_dump prints it. Only when it
// returns nil was all of it written; what was written before an error must not be used.
func (r *Repository) Database(ctx context.Context, s Snapshot, w io.Writer) error {
	c := r.command("dump", s.Manifest.Database, "/"+databaseFile)
	c.Stdout = w
	if _, err := r.o.Run(ctx, c); err != nil {
		return fmt.Errorf("read the database of backup %s: %w", s.ID, r.explain(err))
	}
	return nil
}

// Files restores paths of a backup below target, with owners, modes and times: /srv/data becomes
// target/srv/data. Every byte is checked against its hash.
func (r *Repository) Files(ctx context.Context, s Snapshot, target string, paths []string) error {
	args := []string{"restore", s.Manifest.Files, "--target", target}
	for _, p := range paths {
		args = append(args, "--include", literal(p))
	}
	if _, err := r.restic(ctx, args...); err != nil {
		return fmt.Errorf("restore the files of backup %s: %w", s.ID, r.explain(err))
	}
	return nil
}

// Weigh returns the places of a backup, each with what is in it. Where the manifest is of before December
// 2026 and does not have that, restic lists every file.
func (r *Repository) Weigh(ctx context.Context, s Snapshot) ([]Place, error) {
	places := slices.Clone(s.Manifest.Places)
	if s.Manifest.FileCount == 0 || slices.ContainsFunc(places, func(p Place) bool { return p.Files > 0 }) {
		return places, nil
	}
	c := r.command("ls", "--json", "--no-lock", s.Manifest.Files)
	c.Stdout = &lineReader{each: func(line []byte) {
		var node struct {
			Type, Path string
			Size       int64
		}
		if json.Unmarshal(line, &node) != nil || node.Type != "file" {
			return
		}
		for i, p := range places {
			if node.Path == p.Path || strings.HasPrefix(node.Path, p.Path+"/") {
				places[i].Files, places[i].Bytes = p.Files+1, p.Bytes+node.Size
			}
		}
	}}
	if _, err := r.o.Run(ctx, c); err != nil {
		return nil, fmt.Errorf("look into backup %s: %w", s.ID, r.explain(err))
	}
	return places, nil
}

// Has counts how many of paths, below the file store, are files in a backup.
func (r *Repository) Has(ctx context.Context, s Snapshot, paths []string) (int, error) {
	m := s.Manifest
	if m.StorePath == "" {
		return 0, nil
	}
	wanted := make(map[string]bool, len(paths))
	for _, p := range paths {
		wanted[filepath.Join(m.StorePath, p)] = true
	}
	n := 0
	c := r.command("ls", "--json", "--no-lock", "--recursive", m.Files, m.StorePath)
	c.Stdout = &lineReader{each: func(line []byte) {
		var node struct{ Type, Path string }
		if json.Unmarshal(line, &node) == nil && node.Type == "file" && wanted[node.Path] {
			n++
		}
	}}
	if _, err := r.o.Run(ctx, c); err != nil {
		return 0, fmt.Errorf("look into backup %s: %w", s.ID, r.explain(err))
	}
	return n, nil
}

// Check looks whether the repository is whole, and reads this percentage of its data, another part
// each time.
func (r *Repository) Check(ctx context.Context, percent int) error {
	if _, err := r.restic(ctx, "check", fmt.Sprintf("--read-data-subset=%d%%", percent)); err != nil {
		return fmt.Errorf("check the repository: %w", r.explain(err))
	}
	return nil
}

// literal is a pattern of restic's that means the path itself.
func literal(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
