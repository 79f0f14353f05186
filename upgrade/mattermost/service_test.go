package mattermost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/host"
)

// unit fakes systemd: state says what `systemctl show` prints after a start that long ago.
type unit struct {
	state    func(since time.Duration) string
	started  time.Time
	commands []string
}

func (u *unit) run(_ context.Context, c host.Command) ([]byte, error) {
	if c.Name == "journalctl" {
		return []byte(`{"level":"info","msg":"hello"}` + "\npanic: no such table\ngoodbye\n"), nil
	}
	verb := c.Args[0]
	if verb == "show" {
		return []byte(u.state(time.Since(u.started))), nil
	}
	u.commands = append(u.commands, strings.Join(c.Args, " "))
	if verb == "start" {
		u.started = time.Now()
	}
	if verb == "reset-failed" {
		return nil, &host.ExitError{Name: "systemctl", Code: 1, Stderr: "Failed to reset failed state: Unit mm.service not loaded.\n"}
	}
	return nil, nil
}

func show(active, sub, result string, pid, restarts, code int) string {
	return fmt.Sprintf("ActiveState=%s\nSubState=%s\nResult=%s\nMainPID=%d\nNRestarts=%d\nExecMainStatus=%d\n", active, sub, result, pid, restarts, code)
}

func TestWaitReady(t *testing.T) {
	starting := show("activating", "start", "success", 7, 0, 0)
	running := show("active", "running", "success", 7, 0, 0)
	for name, c := range map[string]struct {
		state func(time.Duration) string
		p     Patience
		want  error
		took  time.Duration // at most
	}{
		"ready": {func(d time.Duration) string {
			if d < 2*time.Second {
				return starting
			}
			return running
		}, Patience{Limit: 30 * time.Second}, nil, 3 * time.Second},
		"exits at once": {func(time.Duration) string { return show("activating", "auto-restart", "exit-code", 0, 0, 1) },
			Patience{Limit: time.Hour}, ErrExited, time.Second},
		"exits later": {func(d time.Duration) string {
			if d < 5*time.Second {
				return starting
			}
			return show("activating", "start", "success", 8, 1, 0)
		}, Patience{Limit: time.Hour}, ErrExited, 6 * time.Second},
		"failed": {func(time.Duration) string { return show("failed", "failed", "signal", 0, 0, 11) }, Patience{Limit: time.Hour}, ErrExited, time.Second},
		"hangs":  {func(time.Duration) string { return starting }, Patience{Limit: 30 * time.Second}, ErrNotReady, 31 * time.Second},
		"idle": {func(time.Duration) string { return starting },
			Patience{Limit: time.Hour, Idle: 20 * time.Second, Busy: func(context.Context) bool { return false }}, ErrNotReady, 21 * time.Second},
		"never started": {func(time.Duration) string { return show("inactive", "dead", "success", 0, 0, 0) },
			Patience{Limit: time.Hour}, ErrNotStarted, 6 * time.Second},
		"its mount is missing": {func(time.Duration) string { return show("failed", "failed", "resources", 0, 0, 0) },
			Patience{Limit: time.Hour}, ErrNotStarted, time.Second},
		"its disk is full": {func(time.Duration) string { return show("activating", "auto-restart", "resources", 0, 0, 0) },
			Patience{Limit: time.Hour}, ErrNotStarted, time.Second},
		"unpacks plugins": {func(d time.Duration) string {
			if d < 2*time.Minute {
				return starting + fmt.Sprintf("CPUUsageNSec=%d\n", d/2)
			}
			return running
		}, Patience{Limit: time.Hour, Idle: 20 * time.Second}, nil, 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := &unit{state: c.state}
				s := Service{Unit: "mm.service", Run: u.run}
				if err := s.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, err := s.WaitReady(t.Context(), c.p)
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if c.want != nil && !errors.Is(c.want, ErrNotStarted) && !strings.HasSuffix(err.Error(), "; its log says: panic: no such table") {
					t.Errorf("%v: not the server's last words", err)
				}
				if took := time.Since(began); took > c.took {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

// Systemd tells when the service is ready; what it said of the version before is not the new one's.
func TestLaunch(t *testing.T) {
	for name, c := range map[string]struct {
		after string // what systemd shows once it is done with the start
		want  error
	}{
		"ready": {show("active", "running", "success", 7, 0, 0), nil},
		"exits": {show("activating", "auto-restart", "exit-code", 0, 0, 1), ErrExited},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const slow = 1010 * time.Millisecond
				began := time.Now()
				s := Service{Unit: "mm.service", Run: func(_ context.Context, command host.Command) ([]byte, error) {
					switch {
					case command.Name == "journalctl":
						return nil, nil
					case command.Args[0] == "start":
						time.Sleep(slow)
						return nil, nil
					case time.Since(began) < 300*time.Millisecond:
						return []byte(show("failed", "failed", "timeout", 0, 3, 9)), nil
					case time.Since(began) < slow:
						return []byte(show("activating", "start", "success", 7, 0, 0)), nil
					}
					return []byte(c.after), nil
				}}
				_, err := s.WaitReady(t.Context(), Patience{Limit: time.Minute, Done: s.Launch(t.Context())})
				if !errors.Is(err, c.want) || err == nil != (c.want == nil) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if took := time.Since(began); took != slow {
					t.Errorf("took %s, and systemd was done after %s", took, slow)
				}
			})
		})
	}
}

// A migration that works for longer than the idle limit is waited for, as long as it works.
func TestWaitReadyWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unit{started: time.Now(), state: func(d time.Duration) string {
			if d < 5*time.Minute {
				return show("activating", "start", "success", 7, 0, 0)
			}
			return show("active", "running", "success", 7, 0, 0)
		}}
		busy := func(context.Context) bool { return true }
		st, err := Service{Unit: "mm.service", Run: u.run}.WaitReady(t.Context(), Patience{Limit: 10 * time.Minute, Idle: 20 * time.Second, Busy: busy})
		if err != nil || st.PID != 7 {
			t.Errorf("got %+v, %v", st, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("called off"))
		u.started = time.Now()
		if _, err := (Service{Unit: "mm.service", Run: u.run}).WaitReady(ctx, Patience{Limit: time.Hour}); err == nil || err.Error() != "called off" {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestKill(t *testing.T) {
	u := &unit{}
	if err := (Service{Unit: "mm.service", Run: u.run}).Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"kill --signal=KILL mm.service", "stop mm.service", "reset-failed mm.service"}
	if diff := cmp.Diff(want, u.commands); diff != "" {
		t.Error(diff)
	}
}

func TestCrashed(t *testing.T) {
	for _, c := range []struct {
		s    Status
		want bool
	}{
		{Status{Active: "active", Sub: "running", PID: 7}, false},
		{Status{Active: "active", Sub: "running", PID: 8, Restarts: 1}, true},
		{Status{Active: "activating", Sub: "auto-restart"}, true},
		{Status{Active: "activating", Sub: "start", PID: 7}, false},
		{Status{Active: "failed", Sub: "failed"}, true},
		{Status{Active: "inactive", Sub: "dead"}, true},
	} {
		if got := c.s.Crashed(0); got != c.want {
			t.Errorf("%+v: %v", c.s, got)
		}
	}
}

func TestGate(t *testing.T) {
	var fed []string
	g := Gate{Port: 8065, Run: func(_ context.Context, c host.Command) ([]byte, error) {
		buf := new(strings.Builder)
		if _, err := fmt.Fprint(buf, c.Name, " ", strings.Join(c.Args, " "), "\n"); err != nil {
			return nil, err
		}
		b := make([]byte, 4096)
		n, _ := c.Stdin.Read(b)
		buf.Write(b[:n])
		fed = append(fed, buf.String())
		return nil, nil
	}}
	if err := errors.Join(g.Close(t.Context()), g.Open(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"delete table inet townsquare_gate", "tcp dport 8065", "meta mark != 0x746f776e reject with tcp reset", `iifname != "lo"`} {
		if !strings.Contains(fed[0], want) {
			t.Errorf("close does not say %q:\n%s", want, fed[0])
		}
	}
	if fed[1] != "nft --file -\ntable inet townsquare_gate\ndelete table inet townsquare_gate\n" {
		t.Errorf("open says %q", fed[1])
	}
}
