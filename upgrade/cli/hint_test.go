package cli

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"townsquare/upgrade/secret"
	"townsquare/upgrade/ui"
)

// aboutCommands are sentences that name a command and are no line to paste.
var aboutCommands = []string{
	"go on where it concerns us, as upgrade apply --unattended",
	"the lock was taken away by upgrade unlock --force",
	"# Written by upgrade; see: upgrade timers",
	"which upgrade rollback leads",
}

var (
	ourCommand  = regexp.MustCompile(`upgrade (?:apply|backup|cancel|check|follow|history|notice|notify|os|plan|recover|rehearse|repair|restore|rollback|status|timers|unlock)\b`)
	commandLine = regexp.MustCompile(ourCommand.String() + `[^…\n]*?( …| --help| --stack prod)`)
	verb        = regexp.MustCompile(`%(\[\d+\])?[a-z.0-9]*[a-zA-Z]`)
	placeholder = regexp.MustCompile(`\b(STACK|VERSION|BACKUP|NAME|HOST|FILE|DIR)\b|<[a-z]+>`)
)

// TestHintsInSource reads each hint in the source: its commands exist, with their flags, and can be completed with
// the flags that name the server; it has no placeholder.
func TestHintsInSource(t *testing.T) {
	a := &app{redactor: &secret.Redactor{}, printer: &ui.Printer{}}
	a.server = a.thisServer
	names := strings.Split(strings.Trim(strings.TrimPrefix(ourCommand.String(), "upgrade (?:"), `)\b`), "|")
	for _, cmd := range a.root().Commands() {
		if !cmd.Hidden && cmd.Name() != "help" && cmd.Name() != "completion" && !slices.Contains(names, cmd.Name()) {
			t.Errorf("no hint with the command %s can be completed", cmd.Name())
		}
	}
	lines := 0
	for _, h := range sourceHints(t, "..") {
		if h.words != "" {
			if err := parses(a.root(), h.words); err != nil {
				t.Errorf("%s: upgrade %s: %v", h.at, h.words, err)
			}
			lines++
			continue
		}
		rest := h.text
		for _, line := range commandLine.FindAllString(h.text, -1) {
			words := strings.TrimSuffix(strings.TrimPrefix(line, "upgrade "), " …")
			if err := parses(a.root(), words); err != nil {
				t.Errorf("%s: %q: %v", h.at, line, err)
			}
			rest = strings.Replace(rest, line, "", 1)
			lines++
		}
		if ourCommand.MatchString(rest) && !slices.ContainsFunc(aboutCommands, func(s string) bool { return strings.Contains(h.text, s) }) {
			t.Errorf("%s: a command without a place for the server's flags: %q", h.at, h.text)
		}
		if h.hint && (strings.Contains(rest, "…") && !strings.Contains(rest, "AAAA…") || placeholder.MatchString(rest)) {
			t.Errorf("%s: cannot be pasted: %q", h.at, h.text)
		}
	}
	if lines < 45 {
		t.Errorf("only %d command lines were found", lines)
	}
}

// shellWord is one word of a command line as a shell splits it, quotes included.
var shellWord = regexp.MustCompile(`"[^"]*"|\S+`)

// parses reports what is wrong with a command line without the program's name.
func parses(root *cobra.Command, line string) error {
	words := shellWord.FindAllString(strings.ReplaceAll(line, "'", ""), -1)
	cmd, rest, err := root.Find(words)
	if err != nil || cmd == root {
		return fmt.Errorf("no such command: %w", err)
	}
	if slices.Contains(rest, "--help") {
		return nil
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if !cmd.Runnable() {
		return fmt.Errorf("%s is not complete", cmd.CommandPath())
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// sourceHint is a text in the source.
type sourceHint struct {
	at    token.Position
	text  string
	words string // of a command that the printer completes
	hint  bool   // it is nothing but a hint
}

// sourceHints returns the texts in all packages below dir that are hints or name a command.
func sourceHints(t *testing.T, dir string) (all []sourceHint) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		hinting := false // in a function whose result is a hint
		add := func(e ast.Expr, hint bool) {
			if text := literal(e); hint || ourCommand.MatchString(text) {
				all = append(all, sourceHint{at: files.Position(e.Pos()), text: text, hint: hint})
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				hinting = strings.EqualFold(n.Name.Name, "hint")
			case *ast.KeyValueExpr:
				switch key, _ := n.Key.(*ast.Ident); {
				case key == nil:
				case slices.Contains([]string{"Use", "Short", "Long", "Example"}, key.Name):
					return false
				case key.Name == "Hint":
					add(n.Value, true)
					return false
				}
			case *ast.CallExpr:
				name, position := called(n), -1
				switch {
				case (name == "Command" || name == "Repeat") && slices.Contains([]string{"cli", "ui"}, filepath.Base(filepath.Dir(path))):
					position = 0
				case name == "add" && filepath.Base(path) == "attention.go":
					position = 2
				case name == "no" && filepath.Base(path) == "attention.go":
					position = 1
				case name == "Hint" && len(n.Args) == 1:
					add(n.Args[0], true)
				}
				if position >= 0 && position < len(n.Args) {
					if words := literal(n.Args[position]); strings.Trim(words, "x -") != "" {
						all = append(all, sourceHint{at: files.Position(n.Pos()), words: words})
					}
				}
			case *ast.BinaryExpr, *ast.BasicLit:
				add(n.(ast.Expr), hinting && literal(n.(ast.Expr)) != "")
				return false
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}

// literal returns the text of an expression, with x for what is not known before it runs.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return verb.ReplaceAllString(text, "x")
		}
		return ""
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return ""
		}
		return literal(e.X) + literal(e.Y)
	case *ast.CallExpr:
		if called(e) == "Sprintf" && len(e.Args) > 0 {
			return literal(e.Args[0])
		}
	}
	return "x"
}

// Every command of the documents exists, with its flags, and each page of operators has some.
func TestCommandsInDocuments(t *testing.T) {
	a := &app{redactor: &secret.Redactor{}, printer: &ui.Printer{}}
	a.server = a.thisServer
	for path, least := range map[string]int{"README.md": 30, "docs/changes.md": 2, "docs/digitalocean.md": 0, "docs/disaster-recovery.md": 10, "docs/json.md": 0} {
		text, err := os.ReadFile("../../" + path)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, m := range regexp.MustCompile("(?m)(?:`|^ *\\$? ?)upgrade ([^`\n]*)").FindAllStringSubmatch(string(text), -1) {
			line, _, _ := strings.Cut(m[1], " <")
			line, _, _ = strings.Cut(line, " #")
			if strings.Contains(line, "…") || !ourCommand.MatchString("upgrade "+line) {
				continue
			}
			found++
			if err := parses(a.root(), line); err != nil {
				t.Errorf("%s: upgrade %s: %v", path, line, err)
			}
		}
		if found < least {
			t.Errorf("%s: only %d commands were found", path, found)
		}
	}
}
