package host

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestStartIsAUnitOfItsOwn(t *testing.T) {
	var got Command
	s := Service{Run: func(_ context.Context, c Command) ([]byte, error) { got = c; return nil, nil }}
	argv := []string{Upgrader, "host", "run", "--who", "-x; $(id)"}
	if err := s.Start(t.Context(), "20261122T010000Z-apply", argv, "/x recover"); err != nil {
		t.Fatal(err)
	}
	line := strings.Join(got.Args, "\n")
	for _, part := range []string{"--unit=" + Unit, "--collect", "--service-type=notify", "WatchdogSec=20", "OnFailure=" + RecoveryUnit, "ExecStopPost=/x recover", "OOMScoreAdjust=-900",
		"After=network-online.target postgresql.service mattermost.service"} {
		if !strings.Contains(line, part) {
			t.Errorf("no %s in %q", part, got.Args)
		}
	}
	i := slices.Index(got.Args, "--")
	if got.Name != "systemd-run" || i < 0 || !slices.Equal(got.Args[i+1:], argv) {
		t.Errorf("command is %+v", got)
	}
}

func TestOneRunAtATime(t *testing.T) {
	s := Service{Run: func(context.Context, Command) ([]byte, error) {
		return nil, &ExitError{Name: "systemd-run", Code: 1,
			Stderr: "Failed to start transient service unit: Unit townsquare-upgrade.service was already loaded or has a fragment file."}
	}}
	if err := s.Start(t.Context(), "id", nil, ""); !errors.Is(err, ErrRunning) {
		t.Errorf("error is %v", err)
	}
}

func TestRunning(t *testing.T) {
	for _, c := range []struct {
		out, want string
		fails     bool
	}{
		{"Description=" + Unit + "\nActiveState=inactive\n", "", false},
		{"Description=Townsquare upgrade 20261122T010000Z-apply\nActiveState=active\n", "20261122T010000Z-apply", false},
		{"ActiveState=deactivating\nDescription=Townsquare upgrade x\n", "x", false},
		{"Description=Townsquare upgrade x\nActiveState=failed\n", "", false},
		{"Description=backup of the coffee machine\nActiveState=active\n", "", true},
	} {
		s := Service{Run: func(context.Context, Command) ([]byte, error) { return []byte(c.out), nil }}
		if got, err := s.Running(t.Context()); got != c.want || (err != nil) != c.fails {
			t.Errorf("%q: %q, %v", c.out, got, err)
		}
	}
}

// systemd247 is a systemctl that knows the options of the oldest systemd that is supported.
func systemd247(_ context.Context, c Command) ([]byte, error) {
	for _, arg := range c.Args {
		if name, _, _ := strings.Cut(arg, "="); name == "--kill-whom" {
			return nil, &ExitError{Name: "systemctl", Code: 1, Stderr: "systemctl: unrecognized option '" + arg + "'"}
		}
	}
	return nil, nil
}

func TestSignalsOfAnOldSystemd(t *testing.T) {
	s := Service{Run: systemd247}
	if err := errors.Join(s.Interrupt(t.Context()), s.End(t.Context())); err != nil {
		t.Error(err)
	}
	if _, err := exec.LookPath("systemctl"); err != nil {
		return // the option's name is checked below where one is installed
	}
	err := Service{Run: Run}.Interrupt(t.Context())
	var exit *ExitError
	if errors.As(err, &exit) && strings.Contains(exit.Stderr, "option") {
		t.Errorf("the systemctl here does not know the option: %v", err)
	}
}
