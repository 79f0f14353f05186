package phase

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"townsquare/upgrade/host"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
)

const caddyfile = "/etc/caddy/Caddyfile"

// freely gives the lock to whoever asks.
func freely(context.Context, string, func(error)) (func() error, error) {
	return func() error { return nil }, nil
}

// drifted is a host whose Caddyfile was changed by hand.
func drifted(t *testing.T, answers map[string]string) (op *Operation, asked *[]string) {
	t.Helper()
	answers = maps.Clone(answers)
	if answers == nil {
		answers = map[string]string{}
	}
	answers["UnitFileState "+host.RecoveryUnit] = "Id=" + host.RecoveryUnit + "\nUnitFileState=enabled\n"
	op, asked = systemOp(t, answers)
	op.ID, op.Name = "20261122T030000Z-repair", "repair"
	op.Record = &state.State{Active: "9.10.0"}
	op.Desired = &state.Desired{Files: []state.File{{Path: caddyfile, Owner: "root", Mode: "0644", Content: "as the stack says\n"}}}
	for name, text := range map[string]string{
		caddyfile:     "by hand\n",
		"/etc/passwd": fmt.Sprintf("root:x:%d:%d::/root:/bin/bash\nmattermost:x:990:990::/:/usr/sbin/nologin\n", os.Getuid(), os.Getgid()),
	} {
		path := filepath.Join(op.System.Root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644), os.Chmod(path, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	op.Lock = freely
	return op, asked
}

func caddySays(t *testing.T, op *Operation) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(op.System.Root, caddyfile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPutBack(t *testing.T) {
	op, asked := drifted(t, map[string]string{"list-units": "caddy.service loaded active running\n", "--unified": "-by hand\n+as the stack says\n"})
	r, err := Run(t.Context(), PutBack(), op)
	if err != nil || len(r.Drift) > 0 || !slices.Equal(r.Repaired, []string{caddyfile + " differs in 2 lines"}) {
		t.Fatalf("%v: %+v", err, r)
	}
	if got := caddySays(t, op); got != "as the stack says\n" {
		t.Errorf("it says %q", got)
	}
	proved := slices.IndexFunc(*asked, func(s string) bool { return strings.HasPrefix(s, "caddy validate") })
	told := slices.Index(*asked, "systemctl reload caddy.service")
	if proved < 0 || told < proved {
		t.Errorf("proved at %d, told at %d: %q", proved, told, *asked)
	}
	*asked = nil
	op.Record.History = nil
	if r, err = Run(t.Context(), PutBack(), op); err != nil || !r.UpToDate || len(op.Record.History) > 0 {
		t.Errorf("again: %v, %+v", err, r)
	}
	if len(*asked) > 0 && slices.ContainsFunc(*asked, func(s string) bool { return strings.Contains(s, "reload") }) {
		t.Errorf("again it asked %q", *asked)
	}
}

// Whatever fails after a file was written, the file is as it was: a right file that nobody has read
// would hide that it does not count.
func TestPutBackGoesBack(t *testing.T) {
	for name, program := range map[string]string{"not understood": "caddy validate", "not read": "reload caddy"} {
		t.Run(name, func(t *testing.T) {
			op, _ := drifted(t, map[string]string{"list-units": "caddy.service loaded active running\n", program: "fails: no"})
			r, err := Run(t.Context(), PutBack(), op)
			if err == nil || r.Exit != ExitError || r.Outcome != OutcomeFailed || op.Record.Run != nil {
				t.Errorf("%v: %+v", err, r)
			}
			if got := caddySays(t, op); got != "by hand\n" {
				t.Errorf("it says %q", got)
			}
		})
	}
	// After a power cut the record is all there is.
	op, _ := drifted(t, nil)
	op.Record.Run = &state.Run{ID: op.ID, Operation: "repair", Unit: "mattermost.service"}
	if err := (Compare{}).Run(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	if err := (RepairFiles{}).Run(t.Context(), op); err != nil || caddySays(t, op) == "by hand\n" {
		t.Fatal(err)
	}
	after, _ := systemOp(t, nil)
	after.Name, after.System, after.Record, after.Lock = "repair", op.System, op.Record, freely
	after.Record.Run.BootID = "another"
	if err := Recover(t.Context(), PutBack(), after); err != nil || after.Record.Run != nil || caddySays(t, after) != "by hand\n" {
		t.Errorf("recovered: %v, %q", err, caddySays(t, after))
	}
}

func TestNobodySaidHowItShouldBe(t *testing.T) {
	op, _ := drifted(t, nil)
	op.Desired = nil
	var list problem.List
	if _, err := os.Stat(state.DesiredFile); err == nil {
		t.Fatalf("%s is on this computer", state.DesiredFile)
	}
	if _, err := Run(t.Context(), PutBack(), op); !errors.As(err, &list) || Code(err) != ExitRefused {
		t.Errorf("%v", err)
	}
}

// On a server that no stack made, this program's own units are repaired all the same.
func TestRepairWithoutAStack(t *testing.T) {
	op, asked := drifted(t, nil)
	op.Desired = nil
	off := true
	run := op.System.Run
	op.System.Run = func(ctx context.Context, c host.Command) ([]byte, error) {
		if slices.Contains(c.Args, "enable") {
			off = false
		}
		out, err := run(ctx, c)
		if off {
			out = []byte(strings.Replace(string(out), "=enabled", "=disabled", 1))
		}
		return out, err
	}
	r, err := Run(t.Context(), PutBack(), op)
	if err != nil || !slices.Equal(r.Repaired, []string{host.RecoveryUnit + " is not enabled at boot"}) {
		t.Fatalf("%v: %+v", err, r)
	}
	if !slices.Contains(*asked, "systemctl enable --quiet "+host.RecoveryUnit) {
		t.Errorf("asked %q", *asked)
	}
}
