package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Heartbeat has the addresses of a monitoring service that are called after good work. The service raises the
// alarm when no call comes: a server that is off, or whose timers are, reports nothing itself. A call needs
// the address and no password, so the addresses are secrets.
type Heartbeat struct {
	Check  string `yaml:"check,omitempty" json:"check,omitempty"`   // after each unattended check that ran to its end
	Backup string `yaml:"backup,omitempty" json:"backup,omitempty"` // after each backup that was made
	Fail   string `yaml:"fail,omitempty" json:"fail,omitempty"`     // appended to either after a failure, such as "/fail"; empty: it is not called then
}

// What a heartbeat is of.
const (
	BeatCheck  = "check"
	BeatBackup = "backup"
)

// Of lists what the monitoring service hears of.
func (h Heartbeat) Of() (list []string) {
	for _, of := range []string{BeatCheck, BeatBackup} {
		if h.address(of, true) != "" {
			list = append(list, of)
		}
	}
	return list
}

var failSuffix = regexp.MustCompile(`^(/[A-Za-z0-9._-]+){1,4}$`)

// address is the one to call; empty: none.
func (h Heartbeat) address(of string, good bool) string {
	address := map[string]string{BeatCheck: h.Check, BeatBackup: h.Backup}[of]
	if address == "" || good {
		return address
	}
	u, err := url.Parse(address)
	if h.Fail == "" || err != nil {
		return ""
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+h.Fail, ""
	return u.String()
}

// Beat calls the monitoring service about the work named by of, with a GET as all such services take it. The
// error never shows the address. It is in the ledger until a call arrives, and is no failure of the work.
func (d *Desk) Beat(ctx context.Context, of string, good bool, now time.Time) error {
	address := d.Config.Heartbeat.address(of, good)
	if address == "" {
		return nil
	}
	failed := d.again(ctx, func() error { return d.request(ctx, http.MethodGet, address, nil) })
	free, err := d.alone()
	if err != nil {
		return errors.Join(failed, err)
	}
	defer free()
	l, err := Read(d.Path)
	if err != nil {
		return errors.Join(failed, err)
	}
	before := l.Unheard[of]
	if failed == nil {
		if before == nil {
			return nil
		}
		delete(l.Unheard, of)
		return d.write(l)
	}
	if before != nil {
		now = before.Since
	}
	if l.Unheard == nil {
		l.Unheard = map[string]*Failure{}
	}
	l.Unheard[of] = &Failure{Since: now, Error: failed.Error()}
	fmt.Fprintf(d.Log, "the heartbeat of the %s has not reached the monitoring service: %v\n", of, failed)
	return errors.Join(failed, d.write(l))
}
