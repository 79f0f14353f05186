package ui

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"townsquare/upgrade/phase"
	"townsquare/upgrade/state"
)

// Backup is one line of a list of backups.
type Backup struct {
	ID          string    `json:"id"`
	Time        time.Time `json:"time"`
	Site        string    `json:"site"`
	Mattermost  string    `json:"mattermost"`
	Posts       int64     `json:"posts"`
	Users       int64     `json:"users"`
	Attachments int64     `json:"attachments"`
	Files       int64     `json:"files"`
	Bytes       int64     `json:"bytes"`
	Added       int64     `json:"added"`
	Verified    time.Time `json:"verified,omitzero"` // when it was restored for a proof from this server
}

// Backups writes which there are, the newest first.
func (p *Printer) Backups(list []Backup) error {
	err := p.Result(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintln(w, "There is no backup yet.")
			return
		}
		table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tWHEN\tSITE\tVERSION\tSIZE\tNEW\tPOSTS\tUSERS\tATTACHMENTS\tVERIFIED")
		for _, b := range list {
			verified := "-"
			if !b.Verified.IsZero() {
				verified = b.Verified.Local().Format("2006-01-02 15:04")
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", b.ID, b.Time.Local().Format("2006-01-02 15:04"), b.Site, b.Mattermost,
				size(b.Bytes), size(b.Added), b.Posts, b.Users, b.Attachments, verified)
		}
		_ = table.Flush()
	})
	if len(list) == 0 {
		p.Hint("make one: " + p.Command("backup create"))
	} else if list[0].Verified.IsZero() {
		p.Hint("prove that the newest can be restored: " + p.Command("backup verify"))
	}
	return err
}

func size(n int64) string {
	switch {
	case n < 1e6:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	default:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	}
}

// BackupReport ends what was done with backups: the result on stdout, what to type next on stderr.
func (p *Printer) BackupReport(r phase.Report) error {
	if r.ID == "" {
		p.Warnings(r.Warnings)
	}
	err := p.Result(r, func(w io.Writer) {
		fmt.Fprintln(w)
		fmt.Fprintln(w, p.backupHeadline(r))
		p.phases(w, r)
		p.problems(w, r.Problems)
	})
	if r.Hint != "" {
		p.Hint(r.Hint)
	}
	switch {
	case r.Outcome == phase.OutcomeNotRolledBack:
		p.Hint("try again to put everything back: " + p.Command("recover"))
	case r.Outcome == phase.OutcomeDone && r.Operation == "backup":
		p.Hint("prove that it can be restored: " + p.Command("backup verify"))
	case r.Outcome == phase.OutcomeDone && r.Operation == "restore":
		p.Hint("see how it is: " + p.Command("status"))
	}
	return err
}

func (p *Printer) backupHeadline(r phase.Report) string {
	b := r.Backup
	if b == nil {
		b = &phase.BackupReport{}
	}
	what := map[string]string{"backup": "The backup", "verify": "The proof", "prune": "Removing older backups", "restore": "The restore"}[r.Operation]
	reason := strings.TrimSuffix(firstLine(r.Error), " (rolled back)")
	switch r.Outcome {
	case phase.OutcomeDone:
		return p.paint(green, backupDone(r.Operation, b))
	case phase.OutcomeRefused:
		return p.paint(yellow, what+" cannot be done yet. "+nothingElse(r.Recovered))
	case phase.OutcomeInterrupted:
		return p.paint(yellow, what+" was stopped on request. Everything is as it was.")
	case phase.OutcomeRolledBack:
		return p.paint(red, fmt.Sprintf("%s did not work: %s\nEverything is as it was before.", what, reason))
	case phase.OutcomeNotRolledBack:
		return p.paint(red, fmt.Sprintf("%s did not work, and the rollback failed.\n%s", what, paragraph(r.Error)))
	}
	if r.Operation == "verify" {
		return p.paint(red, "NOT restorable. "+reason)
	}
	return p.paint(red, what+" did not work: "+reason)
}

func backupDone(operation string, b *phase.BackupReport) string {
	has := fmt.Sprintf("%d posts, %d users, %d attachments", b.Posts, b.Users, b.Attachments)
	switch operation {
	case "backup":
		text := fmt.Sprintf("Backup %s is made: %s; %s in all, %s of it new.", b.ID, has, size(b.Bytes), size(b.Added))
		if b.Lost > 0 {
			text += fmt.Sprintf("\n%d attachments have no file on the server any more.", b.Lost)
		}
		for _, l := range b.Outside {
			if l.Attachments > 0 {
				text += fmt.Sprintf("\n%d attachments are not in it: %s leads out of the file store, to %s.", l.Attachments, l.Path, l.Target)
			}
		}
		return text + removed(b)
	case "verify":
		return fmt.Sprintf("Backup %s of %s is restorable: %s, every one compared.", b.ID, b.Time.Local().Format("2006-01-02 15:04"), has)
	case "prune":
		return fmt.Sprintf("%d backups removed, %d kept.", b.Removed, b.Kept) + removed(b)
	}
	return fmt.Sprintf("Mattermost %s is back as of %s: %s.", b.Mattermost, b.Time.Local().Format("2006-01-02 15:04"), has)
}

// removed names the backups that the keep rules removed, each of which was listed with its time before.
func removed(b *phase.BackupReport) string {
	if len(b.RemovedIDs) == 0 {
		return ""
	}
	return "\nRemoved by the rules of backup.keep: " + strings.Join(b.RemovedIDs, ", ") + "."
}

// backupRow says how the backups of a server are; empty when it has none to have.
func backupRow(repository string, b *state.Backup) string {
	switch {
	case repository == "":
		return ""
	case b == nil:
		return "none made from here yet"
	}
	text := fmt.Sprintf("%s, %s", b.ID, b.Time.Local().Format("2006-01-02 15:04"))
	verified := b.VerifiedAt.Local().Format("2006-01-02 15:04")
	switch {
	case b.VerifiedAt.IsZero():
		return text + "; none verified yet"
	case b.VerifiedID != b.ID:
		return text + ", not verified; newest verified: " + b.VerifiedID + ", on " + verified
	}
	return text + "; verified " + verified
}
