package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
)

const backupCodes = `
Exit codes: 0 done; 1 an error, Mattermost was not touched; 2 not understood; 3 refused: something
has to be put right first; 11 another run is in progress on the server; 130 interrupted.`

// backup is the parent of all that is done with backups.
func (a *app) backup() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Make, prove and bring back backups",
		Long: `Keeps backups of Mattermost in an encrypted restic repository: on a disk, over SFTP, or in an
S3-compatible store. A backup has the database, uploaded files, configuration, plugins, what you added
under the install directory, and the version of everything. Nobody is stopped for it.

A stack with townsquare:backups set to true has a repository of its own. Any other server names one
in upgrade.yaml, which goes to the server with --config:

  backup:
    repository: sftp:backup@nas.example.org:/srv/chat     # or /mnt/disk/chat, or s3:https://host/bucket/path
    host_key: ssh-ed25519 AAAA…                           # of an SFTP server
    keep: {last: 5, daily: 7, weekly: 5, monthly: 12}
    stale_after: 36h

and has, beside that file, with mode 0600: backup.password (of your choice; keep a copy elsewhere),
backup.key (SFTP: the private key), backup.credentials (S3: [default], aws_access_key_id = …,
aws_secret_access_key = …).`,
		Example: `  upgrade backup create --stack prod
  upgrade backup list --stack prod
  upgrade backup verify --stack prod
  upgrade restore latest --stack prod`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	cmd.AddCommand(
		a.backupRun("create", "backup", "Make a backup now", `Makes a backup now, and removes older ones by the rules of backup.keep; those that are removed are
listed. The backup that was verified last stays, and so does the one from before the last upgrade, to
which upgrade rollback leads. What is stored already is not stored again. Mattermost serves meanwhile.`),
		a.backupList(),
		a.backupRun("verify", "verify", "Prove that the newest backup can be restored", `Restores the newest backup into a scratch database and a scratch directory, compares posts, users and
files with what the backup says of itself, looks for the file of every attachment, and checks the
repository. Only then it says "restorable". The scratch is removed in any case; Mattermost serves
meanwhile. It needs space for a copy of database and files: on the system's disk, or else the files' own.`),
		a.backupRun("prune", "prune", "Remove backups that are too old", `Removes the backups that backup.keep does not keep, and what is left of those that were cut short;
those that are removed are listed. The backup that was verified last stays, and so does the one from
before the last upgrade. create removes the same ones, but none while the newest backup lacks files
that an earlier one has; prune removes them even then.`),
		a.restore("restore BACKUP"),
	)
	return cmd
}

type backupOptions struct {
	targetFlags
	unattended bool
}

// backupRun is a command that is one run on the server, without questions.
func (a *app) backupRun(use, operation, short, long string) *cobra.Command {
	var o backupOptions
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long:  long + "\n" + backupCodes,
		Example: fmt.Sprintf("  upgrade backup %[1]s --stack prod\n  upgrade backup %[1]s --host ops@chat.example.org --host-key \"ssh-ed25519 AAAA…\" --config chat/upgrade.yaml\n"+
			"  sudo upgrade backup %[1]s --local --unattended", use),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if found := o.check(); len(found) > 0 {
				return &usageError{problems: found}
			}
			s, err := a.open(cmd.Context(), &o.targetFlags)
			if err != nil {
				return err
			}
			defer s.close()
			r := request{Operation: operation, Who: who(), Options: phase.Options{Unattended: o.unattended}}
			report, err := a.performPatiently(cmd.Context(), s, r)
			if err != nil {
				return err
			}
			if err := a.printer.BackupReport(report); err != nil {
				return err
			}
			return exitWith(report.Exit)
		},
	}
	cmd.Flags().BoolVar(&o.unattended, "unattended", false, "for scheduled runs; there are no questions either way")
	a.common(cmd, &o.targetFlags)
	return cmd
}

// performPatiently is perform without a question; an unattended run waits for whoever is at work.
func (a *app) performPatiently(ctx context.Context, s *session, r request) (phase.Report, error) {
	for began := time.Now(); ; {
		report, err := a.perform(ctx, s, r, nil)
		again, ended := patiently(ctx, r.Unattended, began, err, report.Exit)
		if !again {
			return report, err
		}
		if ended != nil {
			return report, ended
		}
	}
}

// perform looks, asks (unless ask is nil), and does the run; what someone else does meanwhile is
// followed first, and what was left unfinished put back.
func (a *app) perform(ctx context.Context, s *session, r request, ask func(phase.Preview) error) (phase.Report, error) {
	for {
		plan, err := s.examine(ctx, "plan", r)
		switch {
		case err != nil:
			return phase.Report{}, err
		case plan.Running != "":
			a.printer.Say("A run is in progress on the server; following it.")
			report, err := s.follow(ctx, plan.Running)
			if err != nil || phase.OperationOf(plan.Running) == r.Operation {
				return report, err
			}
			continue
		case plan.Left != "":
			if report, again, err := a.mend(ctx, s, plan.Left, plan.Stuck); !again {
				return report, err
			}
			continue
		case plan.Error != "":
			return a.still(plan, r.Operation), nil
		}
		if ask != nil {
			if err := ask(plan); err != nil {
				return phase.Report{}, err
			}
		}
		report, _, err := s.run(ctx, r)
		if errors.Is(err, errUnknown) || err == nil && phase.OperationOf(report.ID) != r.Operation {
			continue
		}
		return report, err
	}
}

type restoreOptions struct {
	targetFlags
	backup  string
	replace bool
	yes     bool
	watch   time.Duration
}

// restore is two commands: `upgrade restore` and `upgrade backup restore`.
func (a *app) restore(use string) *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   use,
		Short: "Bring Mattermost back from a backup",
		Long: `Brings the whole service back: the version that the backup was made of, its database, files,
configuration, plugins, and what you added under the install directory. BACKUP is an id from
upgrade backup list, or latest: the newest of this server.

On a server that has nothing, such as one just rebuilt by pulumi up, that is all. A server that has
something is left alone without --replace; with it, everything is restored while the current version
serves, and the downtime is only the exchange. The restored version is then watched, and the restore is
undone if it does not start or stay well, unless users have written to it by then. What was written
since the backup is counted before you are asked. It is not in the restored database: the database and
the files that were replaced stay on the server until the next upgrade or restore is finalized.

Exit codes: 0 done; 1 an error, nothing was changed; 2 not understood; 3 refused: something has to be
put right first; 4 failed and rolled back; 5 failed and not rolled back; 11 another run is
in progress on the server; 130 interrupted.`,
		Example: `  upgrade restore latest --stack prod
  upgrade restore 1a2b3c4d --stack prod --replace`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return noArgs(cmd, args[1:])
			}
			if len(args) == 1 {
				o.backup = args[0]
			}
			return a.runRestore(cmd.Context(), &o)
		},
	}
	cmd.Flags().BoolVar(&o.replace, "replace", false, "in the place of what is there")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	cmd.Flags().DurationVar(&o.watch, "watch", 0, "how long to watch the restored version before it is kept (default 60s)")
	a.common(cmd, &o.targetFlags)
	return cmd
}

func (o *restoreOptions) check(a *app) problem.List {
	found := append(o.targetFlags.check(), watchProblems(o.watch)...)
	if o.backup != "latest" && !isBackupID(o.backup) {
		text := "missing"
		if o.backup != "" {
			text = fmt.Sprintf("%q", o.backup)
		}
		found = append(found, problem.Problem{Where: "BACKUP", Found: text, Allowed: "latest, or an id of eight hexadecimal digits",
			Hint: "see them: upgrade backup list …"})
	}
	if !o.yes && !isTerminal(a.stdin) {
		found = append(found, problem.Problem{Where: "--yes", Found: "missing, and there is no terminal to ask on", Hint: "--yes"})
	}
	return found
}

func isBackupID(s string) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return len(s) >= 4 && len(s) <= 64
}

func (a *app) runRestore(ctx context.Context, o *restoreOptions) error {
	if found := o.check(a); len(found) > 0 {
		return &usageError{problems: found}
	}
	s, err := a.open(ctx, &o.targetFlags)
	if err != nil {
		return err
	}
	defer s.close()
	r := request{Operation: "restore", Who: who(), Options: phase.Options{Snapshot: o.backup, Replace: o.replace, Watch: o.watch}}
	report, err := a.perform(ctx, s, r, func(plan phase.Preview) error {
		a.printer.Restoring(plan)
		if o.yes {
			a.printer.Warnings(plan.Warnings)
			return nil
		}
		return a.confirm(ctx, plan, false)
	})
	if err != nil {
		return err
	}
	if err := a.printer.BackupReport(report); err != nil {
		return err
	}
	return exitWith(report.Exit)
}
