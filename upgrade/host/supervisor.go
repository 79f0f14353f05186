package host

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

// A process that systemd watches shows a sign of life every pulseEvery. One that has shown none for
// HungAfter, as it is stopped, stuck or starved, is ended, and what it began is put back.
const (
	pulseEvery = 4 * time.Second
	HungAfter  = 20 * time.Second
)

// Supervisor is systemd, as a process that it started speaks to it (sd_notify(3)). The zero value
// is for a process that nobody supervises.
type Supervisor struct{ socket string }

// FindSupervisor finds it in the environment, and takes it out of there: the programs that this
// one runs must not speak for it.
func FindSupervisor() Supervisor {
	s := Supervisor{socket: os.Getenv("NOTIFY_SOCKET")}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		_ = os.Unsetenv(name) // it fails for names with a NUL only
	}
	return s
}

// Ready says that the unit has started: what is ordered after it may begin.
func (s Supervisor) Ready() error { return s.tell("READY=1") }

// Pulse shows signs of life until ctx ends or stuck says that the work has stopped. They count for
// the unit's watchdog while it runs, and for its time limit while it starts or stops.
func (s Supervisor) Pulse(ctx context.Context, stuck func() bool) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for !stuck() {
		_ = s.tell(fmt.Sprintf("WATCHDOG=1\nEXTEND_TIMEOUT_USEC=%d", HungAfter.Microseconds())) // the next one may arrive
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s Supervisor) tell(what string) error {
	if s.socket == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", s.socket)
	if err != nil {
		return fmt.Errorf("speak to systemd: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(what)); err != nil {
		return fmt.Errorf("speak to systemd: %w", err)
	}
	return nil
}
