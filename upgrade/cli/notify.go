package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/phase"
)

func (a *app) notify() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "notify test",
		Short: "Tell people what the server does",
		Long: `The server tells what it found and did in a Mattermost channel, to a webhook, or by e-mail, as the
stack's secret townsquare:notify says (or /etc/townsquare/notify.yaml on the server):

  mattermost: https://chat.example.org/hooks/KEY     an incoming webhook of a channel
  webhook: https://example.org/KEY                   gets JSON
  email: [ops@example.org]                           by the server's sendmail
  announce: 10m                                      how long before an unattended run to say so
  heartbeat:                                         a monitoring service that raises the alarm when no call comes
    check: https://hc-ping.com/KEY                   is called after each unattended check that ran to its end
    backup: https://hc-ping.com/KEY                  after each good backup
    fail: /fail                                      appended to either after a failure; default: no call then

What was said is in the journal on the server, too: journalctl -t townsquare`,
		Example: "  upgrade notify test --stack prod",
		Args:    noWords,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	test := &cobra.Command{Use: "test", Short: "Send a message now, every way that is set", Args: noArgs,
		Long: "Sends a message now, every way that is set.\n\nExit codes: 0 all took it, 1 one did not, 2 not understood.",
		RunE: func(cmd *cobra.Command, _ []string) error { return a.testNotify(cmd.Context(), &f) }}
	a.common(test, &f)
	cmd.AddCommand(test)
	return cmd
}

func (a *app) testNotify(ctx context.Context, f *targetFlags) error {
	s, err := a.open(ctx, f)
	if err != nil {
		return err
	}
	defer s.close()
	answer, err := a.tell(ctx, s, tellRequest{Test: true})
	switch {
	case err != nil:
		return err
	case answer.Failed != "":
		return errors.New("not everybody was reached: " + answer.Failed)
	}
	return a.printer.Told(answer, strings.Join(answer.Ways, ", "))
}

// tell lets the server say something.
func (a *app) tell(ctx context.Context, s *session, r tellRequest) (tellAnswer, error) {
	r.Delivery, r.Who = s.target.delivery, who()
	var answer tellAnswer
	err := s.ask(ctx, []string{"tell"}, r, &answer)
	return answer, err
}

// announce says that an unattended run begins soon and waits until then. It returns whether it waited:
// what was true before may not be any more.
func (a *app) announce(ctx context.Context, s *session, plan phase.Preview) (bool, error) {
	answer, err := a.tell(ctx, s, tellRequest{Announce: &plan})
	if err != nil || answer.Wait == 0 {
		return false, err
	}
	a.printer.Say("It is announced, and begins in %s.", printable.Duration(answer.Wait))
	select {
	case <-ctx.Done():
		return true, context.Cause(ctx)
	case <-time.After(answer.Wait):
		return true, nil
	}
}
