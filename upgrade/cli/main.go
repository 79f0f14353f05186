// Package cli has the commands of upgrade: flags in, exit code out; one file a command.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/secret"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

// Main runs the command that the process was started with and returns its exit code.
func Main() int {
	ctx, stop := interruptible(context.Background())
	defer stop()
	a := &app{
		program: word(os.Args[0]), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv,
		redactor: &secret.Redactor{},
	}
	a.reach, a.server = reachHost, a.thisServer
	return a.main(ctx, os.Args[1:])
}

// interruptible is a context that the first SIGINT or SIGTERM ends, with phase.ErrInterrupted as
// its cause; the second one ends the process.
func interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-signals; ok {
			cancel(phase.ErrInterrupted)
			signal.Stop(signals)
		}
	}()
	return ctx, func() { signal.Stop(signals); close(signals); cancel(nil) }
}

// deafen ignores SIGINT and SIGTERM from here on, beyond the first, until the function it returns
// is called: a second one must not end a process that is putting things back.
func deafen() func() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	return func() { signal.Stop(signals) }
}

// app is what every command needs from the process.
type app struct {
	program        string // as it was called
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
	redactor       *secret.Redactor
	printer        *ui.Printer

	reach  func(ctx context.Context, p *ui.Printer, t target, limit time.Duration) (way, error)
	server func() *server // the host's side
}

func (a *app) main(ctx context.Context, args []string) int {
	a.printer = ui.New(a.stdout, a.stderr, a.env, a.redactor)
	defer a.printer.Close()
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	a.printer.JSON = a.printer.JSON || slices.Contains(args, "--json") // also where the flags were not understood
	return a.exit(cmd, err)
}

// exit is the one place where an error becomes words and an exit code.
func (a *app) exit(cmd *cobra.Command, err error) int {
	var (
		usage *usageError
		code  *exitError
	)
	switch {
	case err == nil:
		return phase.ExitDone
	case errors.As(err, &code): // all was said already
		return code.code
	case errors.As(err, &usage):
		a.printer.Usage(usage.problems, cmd.CommandPath()+" --help")
		return phase.ExitUsage
	}
	exit := codeOf(err)
	a.printer.Fail(err, exit)
	return exit
}

// codeOf is the exit code for an error, also for one of the host's side.
func codeOf(err error) int {
	var remote *remoteError
	if errors.As(err, &remote) && (remote.code == phase.ExitLocked || remote.code == phase.ExitRefused) {
		return remote.code
	}
	return phase.Code(err)
}

// exitError carries an exit code past a command that has said everything itself.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func exitWith(code int) error {
	if code == phase.ExitDone {
		return nil
	}
	return &exitError{code}
}

// usageError is everything that is wrong with what was typed.
type usageError struct{ problems problem.List }

func (e *usageError) Error() string { return e.problems.Error() }

func usage(p ...problem.Problem) error { return &usageError{problems: p} }

const long = `Installs Mattermost on a server and keeps it current.

It looks for a newer release, checks that the server can take it, makes a backup, and switches the
version in seconds. A version that does not work is rolled back. All of that runs on the server itself,
so a lost connection or a closed laptop does no harm.

The server is named by one of:
  --stack prod                                   a server made by pulumi up
  --host ops@chat.example.org --host-key "ssh-ed25519 AAAA…"    any other server
  --local                                        this machine

check, plan, apply, notice and os apply work on several stacks, too: --stack a --stack b, or
--all-stacks.`

const exitCodes = `
Exit codes:
  0    done, or nothing to do
  1    an error; Mattermost was not touched
  2    the command was not understood
  3    refused: something has to be put right first
  4    failed and rolled back
  5    failed and not rolled back; what to type is printed
  10   an update is available (check and notice)
  11   locked: another run is in progress on the server
  12   the vendor's pages do not list that release yet (notice only)
  13   nothing failed, and the server needs attention, which is named (check, notice and status)
  130  interrupted`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "upgrade",
		Short: "Install Mattermost on a server and keep it current",
		Long:  long + "\n" + exitCodes,

		Version: ourVersion().String(),
		Example: `  upgrade check --stack prod      is there something new?
  upgrade plan --stack prod       what would happen?
  upgrade apply --stack prod      do it`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.SetVersionTemplate("upgrade {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(a.check(), a.plan(), a.rehearse(), a.apply(), a.os(), a.backup(), a.restore("restore BACKUP"), a.notice(), a.rollback(), a.repair(),
		a.status(), a.watching(), a.history(), a.timers(), a.notify(), a.unlock(), a.cancel(), a.recovery(), a.host())
	return root
}

func unknownCommand(cmd *cobra.Command, word string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	p := problem.Problem{Where: fmt.Sprintf("%q", word), Found: "no such command", Allowed: strings.Join(names, ", ")}
	if near := state.Nearest(word, names); near != "" {
		p.Hint = "did you mean: " + cmd.CommandPath() + " " + near
	}
	return usage(p)
}

func flagError(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 { // of a command that is not one
		return unknownCommand(cmd, words[0])
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		allowed := map[string]string{"bool": "true or false", "duration": "a duration such as 60s", "int": "a whole number"}
		return usage(problem.Problem{Where: "--" + invalid.GetFlag().Name, Found: fmt.Sprintf("%q", invalid.GetValue()),
			Allowed: cmp.Or(allowed[invalid.GetFlag().Value.Type()], "another value")})
	}
	p := problem.Problem{Where: cmd.CommandPath(), Found: err.Error()}
	if name, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		var names []string
		cmd.Flags().VisitAll(flagNames(&names))
		if near := state.Nearest(name, names); near != "" {
			p.Hint = "did you mean --" + near + "?"
		}
	}
	return usage(p)
}

// noArgs refuses words that are left over: most often a flag's value after a space too many.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usage(problem.Problem{Where: cmd.CommandPath(), Found: fmt.Sprintf("does not expect %q", args[0]), Allowed: "flags only"})
}
