// Package ui has all words to a person, and the JSON for machines. The result goes to stdout,
// talk to stderr; bars, clocks and colours are for terminals only.
package ui

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/secret"
)

// JSONFormat is the number of the form of all JSON objects; additions do not change it.
const JSONFormat = 1

// Printer writes for one person or one machine. Every byte passes the redactor.
type Printer struct {
	JSON    bool     // the result is one JSON object on stdout
	Target  string   // the flags that name the host, as typed, for hints such as "upgrade apply --stack prod"
	Program string   // how this program was called, where that is not "upgrade"
	Asked   string   // the command, as typed, such as "upgrade plan"
	Typed   []string // its own flags, as typed, each with its value: "--to 9.10.0"
	Given   string   // the flags of the operation, as typed, for hints that repeat it, such as "--to 9.10.0"
	Relay   bool     // hints go on to the operator's side, which completes them

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
	if !p.Relay {
		text = Complete(text, p.Program, p.Target)
	}
	p.screen.above(func() { fmt.Fprintln(p.err, text) })
}

// Result writes the result: v as JSON, or the text that human writes.
func (p *Printer) Result(v any, human func(w io.Writer)) error {
	p.screen.clear()
	var text bytes.Buffer
	if !p.JSON {
		human(&text)
		if _, err := io.WriteString(p.out, Complete(text.String(), p.Program, p.Target)); err != nil {
			return err
		}
		return p.out.Flush()
	}
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	if _, err := p.out.Write(outside(completeJSON(text.Bytes(), p.Program, p.Target))); err != nil {
		return err
	}
	return p.out.Flush()
}

// nanoseconds is a duration in a JSON document as Go has it, on a line of its own.
var nanoseconds = regexp.MustCompile(`(?m)^( *)"(\w+)_ns": (-?[0-9]+)(,?)$`)

// outside returns a JSON document in the form that docs/json.md describes: with the format's number, durations in
// seconds beside those in nanoseconds, and an empty list rather than null.
func outside(document []byte) []byte {
	if string(document) == "null\n" {
		return []byte("[]\n")
	}
	document = nanoseconds.ReplaceAllFunc(document, func(line []byte) []byte {
		m := nanoseconds.FindSubmatch(line)
		ns, _ := strconv.ParseInt(string(m[3]), 10, 64)
		return fmt.Appendf(nil, "%s\"%s_seconds\": %s,\n%s", m[1], m[2], strconv.FormatFloat(float64(ns)/1e9, 'f', -1, 64), line)
	})
	if rest, object := bytes.CutPrefix(document, []byte("{\n")); object {
		document = fmt.Appendf(nil, "{\n  \"format\": %d,\n%s", JSONFormat, rest)
	}
	return document
}

// completeJSON is Complete for the strings of a JSON document.
func completeJSON(document []byte, program, target string) []byte {
	inside := func(s string) string {
		text, _ := json.Marshal(s) // of a string, which cannot fail
		return string(text[1 : len(text)-1])
	}
	return []byte(Complete(string(document), inside(program), inside(target)))
}

// Command is a command line for the same host, to be typed as it stands.
func (p *Printer) Command(words string) string {
	return strings.TrimSpace(cmp.Or(p.Program, "upgrade") + " " + words + " " + p.Target)
}

// Repeat is Command for the operation that was asked for, with the flags that it was given.
func (p *Printer) Repeat(words string) string {
	return p.Command(strings.TrimSpace(words + " " + p.Given))
}

// Complete returns a hint that can be pasted. Flags alone are added to the command that was typed: a plan must
// not lead to an apply.
func (p *Printer) Complete(hint string) string {
	if p.Relay {
		return hint
	}
	if strings.HasPrefix(hint, "--") && p.Asked != "" {
		line := p.Asked
		for _, flag := range p.Typed {
			if name, _, _ := strings.Cut(flag, " "); !slices.Contains(strings.Fields(hint), name) {
				line += " " + flag
			}
		}
		hint = line + " " + hint + " …"
	}
	return Complete(hint, p.Program, p.Target)
}

// commandLine is a command of this program whose server is not named yet: " …" is where the flags belong.
var commandLine = regexp.MustCompile(`upgrade ((?:apply|backup|cancel|check|follow|history|notice|notify|os|plan|recover|rehearse|repair|restore|rollback|status|timers|unlock)\b[^…\n]*?) …`)

// Complete names the program and the server in each command line in text: most are written without knowing how
// the server was named.
func Complete(text, program, target string) string {
	line := strings.TrimSpace(cmp.Or(program, "upgrade") + " ${1} " + strings.ReplaceAll(target, "$", "$$"))
	return commandLine.ReplaceAllString(text, line)
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
