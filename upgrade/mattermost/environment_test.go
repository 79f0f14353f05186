package mattermost

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadEnvFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "env")
	text := "# comment\n; another\n\nA=1\nB=\"two words\"\nC='it'\\''s'\nD=x\\\ny\nE=a=b\n  F = g \nG=postgres://u:p%40@h/d?x=1&y=2\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	if err := readEnvFile(path, false, got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": "1", "B": "two words", "C": "it's", "D": "xy", "E": "a=b", "F": "g", "G": "postgres://u:p%40@h/d?x=1&y=2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := readEnvFile(path+".none", true, got); err != nil {
		t.Errorf("optional and missing: %v", err)
	}
	if err := readEnvFile(path+".none", false, got); err == nil {
		t.Error("missing: no error")
	}
	if err := os.WriteFile(path, []byte("A=1\nnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readEnvFile(path, false, got); err == nil {
		t.Error("a line without = is taken")
	}
}

func TestSplitQuoted(t *testing.T) {
	for in, want := range map[string][]string{
		"":                         nil,
		"A=1 B=2":                  {"A=1", "B=2"},
		`A=1 "B=two words" C=3`:    {"A=1", "B=two words", "C=3"},
		`"A=say \"hi\"" B='x y' `:  {`A=say "hi"`, "B=x y"},
		`  A=1   B=back\ slashed `: {"A=1", "B=back slashed"},
	} {
		if diff := cmp.Diff(want, splitQuoted(in)); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}
