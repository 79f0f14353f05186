package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/host"
	"townsquare/upgrade/notify"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

// notifyLedger is where the host remembers what it said.
const notifyLedger = state.Dir + "/notify.json"

// tellRequest is what the host is to say.
type tellRequest struct {
	request
	Found    *phase.Preview `json:"found,omitempty"`    // by a check
	Announce *phase.Preview `json:"announce,omitempty"` // what begins soon
	Test     bool           `json:"test,omitempty"`
}

// tellAnswer says how that went.
type tellAnswer struct {
	Ways   []string      `json:"ways"` // by which people are told
	Wait   time.Duration `json:"wait_ns,omitempty"`
	Failed string        `json:"failed,omitempty"`
}

func (h *server) tellCommand() *cobra.Command {
	var run string
	cmd := &cobra.Command{
		Use:  "tell",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if run != "" {
				return h.tellRun(cmd.Context(), run)
			}
			answer, err := h.tell(cmd.Context())
			if err != nil {
				return err
			}
			return h.answer(answer)
		},
	}
	cmd.Flags().StringVar(&run, "run", "", "")
	return cmd
}

func (h *server) notifyConfig() (notify.Config, error) {
	data, err := os.ReadFile(h.path(state.NotifyFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return notify.Config{}, err
	}
	return notify.Parse(state.NotifyFile, data)
}

// tell says what the operator's side found out.
func (h *server) tell(ctx context.Context) (tellAnswer, error) {
	var r tellRequest
	if err := h.read(&r); err != nil {
		return tellAnswer{}, err
	}
	h.app.redactor.Add(r.Delivery.Secrets()...)
	if _, err := h.deliver(r.request); err != nil {
		return tellAnswer{}, err
	}
	to, err := h.notifyConfig()
	if err != nil {
		return tellAnswer{}, err
	}
	answer := tellAnswer{Ways: to.Ways()}
	waits, err := state.LoadPending(h.path(state.PendingFile))
	if err != nil {
		return answer, err
	}
	if r.Found != nil {
		_ = h.beat(ctx, to, notify.BeatCheck, r.Found.Error == "")
	}
	var message *notify.Message
	switch {
	case r.Test:
		message = &notify.Message{Event: "test", Title: "This is a test of Townsquare's notifications", Text: "If you read this, they arrive."}
	case r.Announce != nil && to.Announce > 0:
		message, answer.Wait = announcement(*r.Announce, to.Announce), to.Announce
	case r.Found != nil:
		message = foundMessage(*r.Found, waits, to, time.Now().UTC())
	}
	if message == nil {
		return answer, nil
	}
	reached, err := h.say(ctx, to, *message)
	var failed []string
	if ledger, e := notify.Read(h.path(notifyLedger)); !reached && e == nil && ledger.Failed != nil {
		failed = append(failed, ledger.Failed.Error)
	}
	if r.Test {
		for _, of := range to.Heartbeat.Of() {
			answer.Ways = append(answer.Ways, "heartbeat of the "+of)
			if err := h.beat(ctx, to, of, true, time.Second); err != nil {
				failed = append(failed, "the "+of+"'s heartbeat: "+err.Error())
			}
		}
	}
	answer.Failed = strings.Join(failed, "; ")
	return answer, err
}

// tellRun says how a run ended, from its log. It is started by the run when all is over, as a unit of
// its own: the run must not wait for a channel that may be on the server it has just started.
func (h *server) tellRun(ctx context.Context, run string) error {
	report, err := h.reportOf(run)
	if err != nil {
		return err
	}
	to, err := h.notifyConfig()
	if err != nil {
		return err
	}
	if report.Operation == "backup" {
		_ = h.beat(ctx, to, notify.BeatBackup, report.Outcome == phase.OutcomeDone && report.Exit == phase.ExitDone)
	}
	message := runMessage(report)
	if message == nil {
		return nil
	}
	_, err = h.say(ctx, to, *message)
	return err
}

// reportOf is the last result in a run's log: what was put back after a crash comes after the first.
func (h *server) reportOf(run string) (phase.Report, error) {
	path, err := phase.JournalPath(h.path(phase.JournalDir), run)
	if err != nil {
		return phase.Report{}, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return phase.Report{}, err
	}
	var last *phase.Report
	for line := range bytes.Lines(data) {
		e, err := phase.Decode(line)
		if err != nil {
			continue
		}
		if r, ok := phase.ReportOf(e); ok {
			last = &r
		}
	}
	if last == nil {
		return phase.Report{}, fmt.Errorf("%s: %w", run, phase.ErrSilent)
	}
	return *last, nil
}

// say puts the message on the desk and into the journal.
func (h *server) say(ctx context.Context, to notify.Config, m notify.Message) (bool, error) {
	h.knowSecrets()
	write := func(text string) string { return h.app.redactor.String(h.complete(text)) }
	m.Host, m.Time, m.Title, m.Text = h.name(), time.Now().UTC(), write(m.Title), write(m.Text)
	for i := range m.Facts {
		m.Facts[i].Value = write(m.Facts[i].Value)
	}
	var log bytes.Buffer
	desk := notify.Desk{Path: h.path(notifyLedger), Log: &log, Sender: notify.Sender{Config: to, Mail: h.mail}}
	if m.Event == "test" { // somebody waits for the answer
		desk.Pauses = []time.Duration{time.Second}
	}
	reached, err := desk.Tell(ctx, m)
	return reached, errors.Join(err, h.journal(ctx, log.String()))
}

// beat calls the monitoring service. That it cannot be reached is in the journal and the ledger, and fails nothing.
func (h *server) beat(ctx context.Context, to notify.Config, of string, good bool, pauses ...time.Duration) error {
	h.knowSecrets()
	var log bytes.Buffer
	desk := notify.Desk{Path: h.path(notifyLedger), Log: &log, Sender: notify.Sender{Config: to, Pauses: pauses}}
	failed := desk.Beat(ctx, of, good, time.Now().UTC())
	if log.Len() > 0 {
		if err := h.journal(ctx, log.String()); err != nil {
			fmt.Fprintf(os.Stderr, "write to the journal: %v\n", err)
		}
	}
	return failed
}

// journal writes text to the server's journal.
func (h *server) journal(ctx context.Context, text string) error {
	_, err := h.service.Run(ctx, host.Command{Name: "systemd-cat", Args: []string{"--identifier=townsquare", "--priority=notice"},
		Stdin: strings.NewReader(h.app.redactor.String(text))})
	return err
}

// mail hands a letter to the host's MTA, whichever it is.
func (h *server) mail(ctx context.Context, letter string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err := h.service.Run(ctx, host.Command{Name: "/usr/sbin/sendmail", Args: []string{"-i", "-t"}, Stdin: strings.NewReader(letter)})
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("this server has no sendmail: install an MTA, such as msmtp-mta")
	}
	return err
}

// complete names the server in command lines as its operators do; where that is not known, they are for the
// server itself.
func (h *server) complete(text string) string {
	if c, err := state.LoadConfig(h.path(state.ConfigFile)); err == nil && stackShape.MatchString(c.Stack) {
		return ui.Complete(text, "", "--stack "+c.Stack)
	}
	return ui.Complete(text, "sudo "+host.Upgrader, "--local")
}

// name is what people call the server.
func (h *server) name() string {
	if c, err := state.LoadConfig(h.path(state.ConfigFile)); err == nil && c.URL != "" {
		if u, err := url.Parse(c.URL); err == nil {
			return u.Hostname()
		}
	}
	name, _ := os.Hostname()
	return cmp.Or(name, "a server")
}

// startTelling lets people know how a run ended.
func (h *server) startTelling(ctx context.Context, run string) {
	unit := strings.ToLower("townsquare-tell-" + run)
	_, err := h.service.Run(ctx, host.Command{Name: "systemd-run", Args: []string{"--unit=" + unit, "--collect", "--quiet", "--no-block",
		"--property=After=mattermost.service", "--property=RuntimeMaxSec=10min", "--", h.self, "host", "tell", "--run", run}})
	if err != nil {
		fmt.Fprintf(os.Stderr, "tell how the run ended: %v\n", err)
	}
}

// behind says for how long something waits, and whether that is too long.
func behind(waits map[schedule.Kind]state.Pending, to notify.Config, now time.Time) (since time.Time, late bool) {
	for kind, p := range waits {
		if slices.Contains([]schedule.Kind{schedule.Drift, schedule.Larger, schedule.Held, schedule.Unsupported, schedule.Repository}, kind) { // no run is late
			continue
		}
		from, limit := p.Since, cmp.Or(to.Late, notify.DefaultLate)
		if fix := p.Fix(); now.Sub(from) <= limit && !fix.IsZero() {
			from, limit = fix, cmp.Or(to.SecurityLate, notify.DefaultSecurityLate)
		}
		if now.Sub(from) > limit && (!late || from.Before(since)) {
			since, late = from, true
		}
	}
	return since, late
}
