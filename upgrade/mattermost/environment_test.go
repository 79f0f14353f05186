package mattermost

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadEnvFiles: the values are those that systemd 257 gives a service.
func TestReadEnvFiles(t *testing.T) {
	dir := t.TempDir()
	text := "# comment\n; another\n\nA=1\nB=\"two words\"\nC='it'\\''s'\nD=x\\\ny\nE=a=b\n  F = g \nG=postgres://u:p%40@h/d?x=1&y=2\n" +
		"MM_SQLSETTINGS_DATASOURCE=host=/run/postgresql user=mm password='it is' dbname=mm\n" +
		`H={"a":"b"}` + "\n" + `I="say \"hi\" \n \$x"` + "\nJ='one' 'two'\nnonsense\nexport K=1\nL = \"  padded  \"  \nM=\\ x \\ \nN=\n2O=1\nP=last"
	for name, data := range map[string]string{"env": text, "extra.d/b.env": "A=2\nQ=b\n", "extra.d/a.env": "Q=a\nR=a\n", "extra.d/.hidden.env": "A=3\n", "extra.d/c.txt": "A=4\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "env")
	got := map[string]string{}
	if err := readEnvFiles(path, false, got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": "1", "B": "two words", "C": "it''s'", "D": "xy", "E": "a=b", "F": "g", "G": "postgres://u:p%40@h/d?x=1&y=2",
		"MM_SQLSETTINGS_DATASOURCE": "host=/run/postgresql user=mm password='it is' dbname=mm",
		"H":                         `{"a":"b"}`, "I": `say "hi" \n $x`, "J": "onetwo", "L": "  padded  ", "M": " x  ", "N": "", "P": "last"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := readEnvFiles(filepath.Join(dir, "extra.d", "[!.]*.env"), false, got); err != nil {
		t.Error(err)
	}
	if got["A"] != "2" || got["Q"] != "b" || got["R"] != "a" {
		t.Errorf("of a pattern's files: A=%q Q=%q R=%q", got["A"], got["Q"], got["R"])
	}
	for _, missing := range []string{path + ".none", filepath.Join(dir, "*.none")} {
		if err := readEnvFiles(missing, true, got); err != nil {
			t.Errorf("%s, optional and missing: %v", missing, err)
		}
		if err := readEnvFiles(missing, false, got); err == nil {
			t.Errorf("%s, missing: no error", missing)
		}
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
