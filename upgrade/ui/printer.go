// Package ui has all words to a person, and the JSON for machines. The result goes to stdout,
// talk to stderr; bars, clocks and colours are for terminals only.
package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/secret"
)

// Printer writes for one person or one machine. Every byte passes the redactor.
type Printer struct {
	JSON   bool   // the result is one JSON object on stdout
	Target string // the flags that name the host, as typed, for hints such as "upgrade apply --stack prod"
	Asked  string // the command, as typed, such as "upgrade plan"
	Given  string // the flags of the operation, as typed, for hints that repeat it, such as "--to 9.10.0"

	Markdown string // file to append the result to as Markdown; empty for none
	Outputs  string // file to append the result to as key=value lines; empty for none

	out, err *secret.Writer
	screen   *screen // nil off a terminal
	color    bool
	unicode  bool
	lines    lineState
	redactor *secret.Redactor
}

// New makes a printer for the two streams. env looks up the environment: NO_COLOR and TERM=dumb
// turn colours off (no-color.org), CI turns the moving parts off.
func New(stdout, stderr io.Writer, env func(string) string, r *secret.Redactor) *Printer {
	p := &Printer{out: r.Writer(stdout), err: r.Writer(stderr), redactor: r}
	file, ok := stderr.(*os.File)
	terminal := ok && term.IsTerminal(int(file.Fd())) && env("TERM") != "dumb"
	p.color = terminal && env("NO_COLOR") == ""
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(env(name)); v != "" {
			p.unicode = terminal && (strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8"))
			break
		}
	}
	if terminal && env("CI") == "" {
		p.screen = newScreen(p.err, func() int {
			width, _, err := term.GetSize(int(file.Fd()))
			if err != nil || width < 20 {
				return 80
			}
			return width
		})
	}
	return p
}

// Close ends what moves and writes what is held back.
func (p *Printer) Close() {
	p.screen.clear()
	_ = p.out.Flush()
	_ = p.err.Flush()
}

// Say tells a person something, on stderr.
func (p *Printer) Say(format string, args ...any) {
	p.line(paragraph(fmt.Sprintf(format, args...)))
}

// Ask writes a question, whose answer follows on the same line.
func (p *Printer) Ask(format string, args ...any) {
	p.screen.clear()
	fmt.Fprint(p.err, printable.Line(fmt.Sprintf(format, args...)))
	_ = p.err.Flush()
}

// Hint tells what to type next, on stderr, apart from results and errors.
func (p *Printer) Hint(text string) {
	if text != "" {
		p.line(p.paint(dim, "  "+p.sign("→", "->")+" ") + printable.Line(p.Complete(text)))
	}
}

// line writes one line to stderr, above whatever moves.
func (p *Printer) line(text string) {
	p.screen.above(func() { fmt.Fprintln(p.err, text) })
}

// Result writes the result: v as JSON, or the text that human writes.
func (p *Printer) Result(v any, human func(w io.Writer)) error {
	p.screen.clear()
	if !p.JSON {
		human(p.out)
		return p.out.Flush()
	}
	encoder := json.NewEncoder(p.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	return p.out.Flush()
}

// Command is a command line for the same host, to be typed as it stands.
func (p *Printer) Command(words string) string {
	return strings.TrimSpace("upgrade " + words + " " + p.Target)
}

// Repeat is Command for the operation that was asked for, with the flags that it was given.
func (p *Printer) Repeat(words string) string {
	return p.Command(strings.TrimSpace(words + " " + p.Given))
}

// Complete returns a hint that can be pasted: what is written without knowing how the server was
// named has " …" where the flags that name it belong, and flags alone are for the command that was
// typed: a plan must not lead to an apply.
func (p *Printer) Complete(hint string) string {
	if strings.HasPrefix(hint, "--") && p.Asked != "" {
		hint = p.Asked + " " + hint + " …"
	}
	flags := ""
	if p.Target != "" {
		flags = " " + p.Target
	}
	return strings.ReplaceAll(hint, " …", flags)
}

// CompleteAll is Complete for the hints of a list.
func (p *Printer) CompleteAll(list problem.List) problem.List {
	list = slices.Clone(list)
	for i := range list {
		list[i].Hint = p.Complete(list[i].Hint)
	}
	return list
}

// paragraph is text of several lines, of which all but the first are marked: no line of a server's
// text is taken for one of ours, or for a command of GitHub's runner, which may be indented.
func paragraph(text string) string {
	return strings.ReplaceAll(printable.Lines(text), "\n", "\n  | ")
}

type style string

const (
	dim    style = "2"
	bold   style = "1"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

func (p *Printer) paint(s style, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func (p *Printer) sign(sign, plain string) string {
	if p.unicode {
		return sign
	}
	return plain
}
