package host

import (
	"fmt"
	"time"
)

// Holder is who holds the lock of a host.
type Holder struct {
	Who   string    `json:"who"` // such as "ada@laptop"
	Why   string    `json:"why"` // such as "apply to 9.10.0"
	Run   string    `json:"run"` // id of its run
	Since time.Time `json:"since"`
	Beat  time.Time `json:"beat"` // last sign of life

	PID     int    `json:"pid"`
	Started uint64 `json:"started"` // of that process, in clock ticks since boot: a reused pid has another
	BootID  string `json:"boot_id"`
}

// LockedError says who else is at work on this host.
type LockedError struct{ Holder Holder }

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s is at work on this host (%s, since %s)",
		e.Holder.Who, e.Holder.Why, e.Holder.Since.Format("15:04:05 MST"))
}
