package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"townsquare/upgrade/internal/durable"
	"townsquare/upgrade/state"
)

// TimerStatus is what systemd knows of one timer.
type TimerStatus struct {
	Name    string    `json:"name"`    // of the timer
	Service string    `json:"service"` // that it starts
	Title   string    `json:"title"`
	Wanted  bool      `json:"wanted"`  // it should be on
	Load    string    `json:"load"`    // systemd's LoadState: loaded, not-found, masked
	Enabled bool      `json:"enabled"` // at boot
	Active  bool      `json:"active"`
	Next    time.Time `json:"next,omitzero"`
	Last    time.Time `json:"last,omitzero"` // the start of the last run that took place; zero: never
	Running bool      `json:"running,omitempty"`
	Failed  bool      `json:"failed,omitempty"` // the last run
}

// Off returns why a timer that should be on will start nothing, or not after a boot; empty when it is on.
func (t TimerStatus) Off() string {
	switch {
	case !t.Wanted:
		return ""
	case t.Load == "not-found":
		return "is missing"
	case t.Load == "masked":
		return "is masked"
	case !t.Enabled && !t.Active:
		return "is switched off"
	case !t.Active:
		return "is stopped"
	case !t.Enabled:
		return "is not enabled at boot"
	case t.Next.IsZero() && !t.Running:
		return "has no next run"
	}
	return ""
}

// Timers asks systemd about the timers that are installed, and about those of want, which should be on.
func (s Service) Timers(ctx context.Context, root string, want []Timer) ([]TimerStatus, error) {
	var all []TimerStatus
	var units []string
	for _, name := range timerNames {
		t := TimerStatus{Name: name, Service: serviceOf(name)}
		if i := slices.IndexFunc(want, func(t Timer) bool { return t.Name == name }); i >= 0 {
			t.Wanted, t.Title = true, want[i].Title
		} else if _, err := os.Stat(filepath.Join(root, unitDir, name+".timer")); err != nil {
			continue
		}
		all, units = append(all, t), append(units, name+".timer", t.Service)
	}
	if len(units) == 0 {
		return nil, nil
	}
	facts, err := s.show(ctx, "LoadState,UnitFileState,Description,ActiveState,Result,NextElapseUSecRealtime,ExecMainStartTimestamp", units...)
	if err != nil {
		return nil, fmt.Errorf("look at the timers: %w", err)
	}
	for i := range all {
		t := &all[i]
		timer, service := facts[t.Name+".timer"], facts[t.Service]
		if t.Title == "" {
			t.Title = strings.TrimPrefix(service["Description"], "Townsquare: ")
		}
		t.Load, t.Enabled, t.Active = timer["LoadState"], timer["UnitFileState"] == "enabled", timer["ActiveState"] == "active"
		t.Next = systemdTime(timer["NextElapseUSecRealtime"])
		t.Running = service["ActiveState"] == "activating" || service["ActiveState"] == "deactivating"
		last, err := lastRun(root, t.Service)
		if err != nil {
			return nil, err
		}
		if began := systemdTime(service["ExecMainStartTimestamp"]); !began.IsZero() {
			last = ran{At: began, Result: service["Result"]}
		}
		t.Last, t.Failed = last.At, !last.At.IsZero() && !t.Running && last.Result != "success"
	}
	return all, nil
}

// show asks systemd about units: their properties, by their names.
func (s Service) show(ctx context.Context, properties string, units ...string) (map[string]map[string]string, error) {
	args := append([]string{"show", "--property=Id," + properties}, units...)
	out, err := s.Run(ctx, Command{Name: "systemctl", Args: args, Env: []string{"TZ=UTC"}})
	if err != nil {
		return nil, err
	}
	facts := map[string]map[string]string{}
	for block := range strings.SplitSeq(string(out), "\n\n") {
		unit := map[string]string{}
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			unit[key] = value
		}
		facts[unit["Id"]] = unit
	}
	return facts, nil
}

// ran is the last run of a service that a timer starts, in a file of its own in runsDir.
type ran struct {
	At     time.Time `json:"at"`
	Result string    `json:"result"` // as systemd names it: success, exit-code, timeout, …
}

const runsDir = state.Dir + "/timers"

// lastRun reads the last run that was noted. A file that is missing or was cut short has none.
func lastRun(root, service string) (ran, error) {
	data, err := os.ReadFile(filepath.Join(root, runsDir, service+".json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ran{}, err
	}
	var last ran
	if err == nil && json.Unmarshal(data, &last) != nil {
		return ran{}, nil
	}
	return last, nil
}

// NoteRun notes that a service which a timer starts has ended, and how. The service calls it itself, as
// ExecStopPost=.
func (s Service) NoteRun(ctx context.Context, root, service, result string) error {
	if !slices.ContainsFunc(timerNames, func(name string) bool { return serviceOf(name) == service }) {
		return fmt.Errorf("%q is not a service that a timer starts", service)
	}
	facts, err := s.show(ctx, "ExecMainStartTimestamp", service)
	if err != nil {
		return err
	}
	began := systemdTime(facts[service]["ExecMainStartTimestamp"])
	if began.IsZero() {
		return nil
	}
	data, err := json.Marshal(ran{At: began, Result: result})
	if err != nil {
		return err
	}
	path := filepath.Join(root, runsDir, service+".json")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := renameio.WriteFile(path, append(data, '\n'), 0o600, renameio.IgnoreUmask()); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	return errors.Join(durable.SyncDir(dir), durable.SyncDir(filepath.Dir(dir))) // it was made just now, the first time
}

// systemdTime reads a time as systemctl shows it; anything else is no time. (--timestamp=unix does not
// reach the properties of timers.)
func systemdTime(text string) time.Time {
	t, err := time.Parse("Mon 2006-01-02 15:04:05 MST", text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
