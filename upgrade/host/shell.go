package host

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// mark comes before what a command writes: what is there before it was written by the login shell's
// own files, such as a greeting in ~/.bashrc.
const mark = "townsquare: the answer begins"

// loginLine is a command line for any login shell (sh, fish, csh and their like) that has sh run script.
// The script keeps its stdin.
func loginLine(script string) string {
	script = "echo '" + mark + "'; echo '" + mark + "' >&2; " + script
	var b strings.Builder
	for _, c := range []byte(script) {
		// Within single quotes csh still reads ! and newlines, and fish backslashes; printf makes them anew.
		if c < ' ' || c > '~' || strings.IndexByte("'\"\\$`!", c) >= 0 {
			fmt.Fprintf(&b, `\0%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return `exec sh -c 'eval "$(printf %b "` + b.String() + `")"'`
}

// afterMark passes on what comes after the mark, and keeps what came before it.
type afterMark struct {
	to     io.Writer
	seen   bool
	before []byte
}

// keepBefore is more than any greeting.
const keepBefore = 64 << 10

func (a *afterMark) Write(p []byte) (int, error) {
	if a.seen {
		return a.to.Write(p)
	}
	a.before = append(a.before, p...)
	before, rest, found := bytes.Cut(a.before, []byte(mark+"\n"))
	if !found {
		a.before = a.before[max(0, len(a.before)-keepBefore):]
		return len(p), nil
	}
	a.before, a.seen = before, true
	if len(rest) > 0 {
		if _, err := a.to.Write(rest); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// ShellError is returned when a login shell did not run what it was given.
type ShellError struct {
	Login string // the ssh command that shows it
	Said  string // in its place
}

func (e *ShellError) Error() string {
	said := "it ended and wrote nothing"
	if e.Said != "" {
		said = fmt.Sprintf("it wrote %q", e.Said)
	}
	return "the login shell on the server does not run commands: " + said
}

func (e *ShellError) Hint() string {
	return "this must print ok: " + e.Login + " echo ok    # if it does not, look at the user's login shell and at the files that it reads, such as ~/.bashrc"
}

// AsRoot is a command line for sh that runs argv as root: as it is when we are root already, by sudo,
// which must not ask, otherwise.
func AsRoot(argv ...string) string {
	line := Quote(argv...)
	return `if [ "$(id -u)" = 0 ]; then exec ` + line + `; else exec sudo -n -- ` + line + `; fi`
}

// Quote makes a command line for sh of argv.
func Quote(argv ...string) string {
	var b strings.Builder
	for i, arg := range argv {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("'" + strings.ReplaceAll(arg, "'", `'\''`) + "'")
	}
	return b.String()
}
