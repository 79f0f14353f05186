package cli

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"townsquare/upgrade/secret"
	"townsquare/upgrade/ui"
)

// Every `upgrade …` of a fenced block exists as it stands there: its command and its flags.
func TestCommandsOfTheDocuments(t *testing.T) {
	empty := func(string) string { return "" }
	a := &app{env: empty, printer: ui.New(io.Discard, io.Discard, empty, &secret.Redactor{})}
	a.server = a.thisServer
	for _, path := range []string{"../../README.md", "../../docs/disaster-recovery.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		typed := 0
		for _, block := range regexp.MustCompile("(?ms)^ *```[a-z]*\n(.*?)^ *```").FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(block[1]) {
				line, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "$ "), " #")
				words, ours := strings.CutPrefix(strings.TrimSpace(line), "upgrade ")
				if !ours || strings.HasPrefix(words, "-") {
					continue
				}
				typed++
				args := regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`).FindAllString(words, -1)
				cmd, rest, err := a.root().Find(args)
				if err != nil {
					t.Errorf("%s: %s: %v", path, line, err)
					continue
				}
				if err := cmd.ParseFlags(rest); err != nil {
					t.Errorf("%s: %s: %v", path, line, err)
				}
				if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
					t.Errorf("%s: %s: %s has no command %s", path, line, cmd.CommandPath(), cmd.Flags().Arg(0))
				}
			}
		}
		if typed == 0 {
			t.Errorf("%s has no command of upgrade", path)
		}
	}
}
