package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"townsquare/upgrade/backup"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

func (a *app) backupList() *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Which backups are there?",
		Long: `Lists the backups in the repository, the newest first: when each was made, of which version, what
is in it, and whether it was proven by upgrade backup verify. Changes nothing.
` + backupCodes,
		Example: "  upgrade backup list --stack prod",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if found := f.check(); len(found) > 0 {
				return &usageError{problems: found}
			}
			s, err := a.open(cmd.Context(), &f)
			if err != nil {
				return err
			}
			defer s.close()
			a.printer.Busy("looking into the repository")
			defer a.printer.Idle()
			var list []ui.Backup
			if err := s.ask(cmd.Context(), []string{"backups"}, request{Delivery: s.target.delivery, Who: who()}, &list); err != nil {
				return err
			}
			return a.printer.Backups(list)
		},
	}
	a.common(cmd, &f)
	return cmd
}

func (h *server) backupsCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "backups",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := h.take()
			if err != nil {
				return err
			}
			list, err := h.backups(cmd.Context(), r)
			if err != nil {
				return err
			}
			return h.answer(list)
		},
	}
}

// backups lists what is in the repository. It takes no lock: restic's own keep readers and writers
// apart.
func (h *server) backups(ctx context.Context, r request) ([]ui.Backup, error) {
	if _, err := h.deliver(r); err != nil {
		return nil, err
	}
	h.knowSecrets()
	config, err := state.LoadConfig(h.path(state.ConfigFile))
	if err != nil {
		return nil, err
	}
	record, err := state.Load(h.path(state.Path))
	if err != nil {
		return nil, err
	}
	repo, err := backup.Open(ctx, phase.BackupOptions(config))
	if errors.Is(err, backup.ErrNone) {
		return nil, fmt.Errorf("%w: set townsquare:backups to true, or backup.repository in upgrade.yaml", err)
	}
	if err != nil {
		return nil, err
	}
	all, err := repo.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	list := []ui.Backup{}
	for _, s := range all {
		m := s.Manifest
		b := ui.Backup{ID: s.ID, Time: s.Time, Site: m.Site, Mattermost: m.Mattermost, Posts: m.Posts, Users: m.Users, Attachments: m.Attachments,
			Files: m.FileCount, Bytes: m.Bytes + m.FileBytes, Added: m.Added}
		if record.Backup != nil && record.Backup.VerifiedID == s.ID {
			b.Verified = record.Backup.VerifiedAt
		}
		list = append(list, b)
	}
	return list, nil
}
