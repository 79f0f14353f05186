package infra

import (
	"regexp"
	"slices"
	"strings"
)

// Problem is one thing wrong with the stack's configuration. It repeats a value only if that
// value is no secret.
type Problem struct {
	Key     string // as it is typed, such as "townsquare:size"
	Value   string // what is set now; empty if nothing is, or if it is a secret
	Wrong   string // what is wrong with it
	Allowed string // what would be accepted
	Type    string // the command that puts it right
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Key + ": ")
	if p.Value != "" {
		b.WriteString(quoted(p.Value) + " ")
	}
	b.WriteString(p.Wrong)
	b.WriteString("\n    allowed: " + p.Allowed)
	b.WriteString("\n    type:    " + p.Type)
	return b.String()
}

// Problems is everything wrong with it, so that a person mends the configuration once.
type Problems []Problem

func (l Problems) Error() string {
	lines := make([]string, 0, len(l)+1)
	lines = append(lines, "the stack's configuration cannot be used:")
	for _, p := range l {
		lines = append(lines, "  "+p.String())
	}
	return strings.Join(lines, "\n")
}

var (
	configCommand = regexp.MustCompile(`pulumi config (?:set|rm) [^;#&]*[^;#& ]`)
	keyScript     = regexp.MustCompile(`(scripts/new-[a-z-]+\.sh) STACK`)
)

// inStack returns a text whose commands name the stack: another one may be selected.
func inStack(text, stack string) string {
	return keyScript.ReplaceAllString(configCommand.ReplaceAllString(text, "$0 --stack "+stack), "$1 "+stack)
}

// in returns the problems with commands that name the stack.
func (l Problems) in(stack string) Problems {
	named := slices.Clone(l)
	for i := range named {
		named[i].Type = inStack(named[i].Type, stack)
	}
	return named
}

// quoted cuts a long value, which would hide the message, and marks its ends. It keeps a private
// key that was pasted by mistake out of the message.
func quoted(s string) string {
	if strings.Contains(s, "PRIVATE KEY") {
		s = "(a private key)"
	}
	const limit = 80
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit]) + "…"
	}
	return `"` + strings.ReplaceAll(s, "\n", `\n`) + `"`
}
