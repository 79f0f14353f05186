package mattermost

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// What does not fit is left alone: the directory among the files shows whether they are read.
func TestReadAhead(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "16384"), make([]byte, 10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readAhead(t.Context(), dir, 10); err != nil {
		t.Error(err)
	}
	over, end := context.WithCancel(t.Context())
	end()
	if err := readAhead(over, dir, 10); err == nil {
		t.Error("it goes on after the run was called off")
	}
	if err := os.Mkdir(filepath.Join(dir, "pgsql_tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := readAhead(t.Context(), dir, 9); err != nil {
		t.Error("it reads what does not fit:", err)
	}
	if err := readAhead(t.Context(), dir, 10); err == nil {
		t.Error("it does not read what fits")
	}
	if err := readAhead(t.Context(), filepath.Join(dir, "none"), 10); err != nil {
		t.Error(err)
	}
}
