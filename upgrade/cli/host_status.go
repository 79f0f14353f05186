package cli

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/drift"
	"townsquare/upgrade/host"
	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

func (h *server) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "status",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := h.take()
			if err != nil {
				return err
			}
			status, err := h.status(cmd.Context(), r)
			if err != nil {
				return err
			}
			return h.answer(status)
		},
	}
}

// status looks at the host and changes nothing. What cannot be found out is a problem in it. It is
// compared, if that is asked, with what the request brings, or else with what the host was last told.
func (h *server) status(ctx context.Context, r request) (ui.Status, error) {
	var s ui.Status
	record, err := state.Load(h.path(state.Path))
	if err != nil {
		return s, err
	}
	s.Previous, s.Bad, s.History = record.Previous, record.Bad, record.History
	if run := record.Run; run != nil {
		said, err := h.said(run.ID)
		if err != nil {
			return s, err
		}
		s.Unfinished, s.Again, s.Stuck = run.ID, run.Again, said && !run.Again
	}
	if s.Running, err = h.running(ctx); err != nil {
		return s, err
	}
	if holder, held, err := host.ReadLock(h.path(host.LockPath)); err != nil {
		return s, err
	} else if held {
		s.Lock = &holder
	}
	config, err := state.LoadConfig(h.path(state.ConfigFile))
	if err == nil {
		s.Repository, s.Backup = config.Backup.Repository, record.Backup
		s.Warnings = append(s.Warnings, config.Ignored...)
		s.Track, s.Window, s.Elsewhere = config.Track, config.Window, config.Elsewhere
		if s.URL, err = h.site(config.URL); err != nil {
			return s, err
		}
		if h.system != nil && quiet(s.Running) {
			if s.System, err = h.system(ctx, record, config); err != nil {
				s.Warnings = append(s.Warnings, err.Error())
			}
		}
	}
	h.knowSecrets()
	own := drift.OwnOf(h.root, record, config)
	if err := h.upkeep(ctx, &s, own); err != nil {
		return s, err
	}
	h.installed(ctx, &s)
	if r.Compare && h.drift != nil && quiet(s.Running) && (s.Unfinished == "" || s.Running == s.Unfinished) {
		own.URL = cmp.Or(r.Delivery.SiteURL, own.URL)
		c, err := h.drift(ctx, r.Delivery.Desired, drift.Options{Own: own})
		if err != nil {
			s.Warnings = append(s.Warnings, err.Error())
		} else if c != nil {
			s.Compared, s.Drift = true, c.Differences
		}
	}
	settled(s.Pending, record, config.Skip, config.Elsewhere)
	if run := record.Run; run != nil { // it decides about that version anew
		delete(s.Bad, run.To)
		delete(s.Elsewhere, run.To)
	}
	s.Attention = attention(&s, record, config.Backup, time.Now().UTC())
	return s, nil
}

// quiet reports whether no run is in progress, or one that leaves Mattermost and the system as they are.
func quiet(run string) bool {
	return run == "" || slices.Contains(quietOperations, phase.OperationOf(run))
}

// installed finds what is installed and how it is.
func (h *server) installed(ctx context.Context, s *ui.Status) {
	found, err := mattermost.Discover(ctx, mattermost.Discovery{})
	var list problem.List
	switch {
	case errors.As(err, &list):
		s.Problems = list
	case err != nil:
		s.Problems = problem.List{{Where: "the server", Found: err.Error()}}
	}
	if found == nil {
		return
	}
	if found.Config != nil {
		for _, key := range secretSettings {
			h.app.redactor.Add(found.Config.String(key))
		}
	}
	s.Installed = found.Installed()
	if !s.Installed {
		// The first apply brings what a fresh host lacks, such as the way to the database.
		s.Problems = nil
		return
	}
	s.Version, s.Edition, s.Path = found.Version.String(), string(found.Edition), found.Dir
	if s.URL == "" {
		s.URL = found.SiteURL
	}
	unit, err := found.Service().Status(ctx)
	if err != nil {
		s.Problems = append(s.Problems, problem.Problem{Where: found.Unit.Name, Found: err.Error()})
	}
	s.Service, s.Up = unit.Active, unit.Age.Round(time.Second)
	claim := found.Claim()
	evidence, err := claim.Check(ctx)
	if err != nil {
		s.Problems = append(s.Problems, problem.Problem{Where: found.Unit.Name, Found: err.Error()})
	}
	others, err := claim.Others(ctx, found.Link)
	if err != nil {
		s.Problems = append(s.Problems, problem.Problem{Where: found.Link, Found: err.Error()})
	}
	s.Problems = slices.Concat(s.Problems, evidence.Wrong, evidence.Unseen, others)
	if answer, err := found.Health.Ping(ctx); err != nil {
		s.Problems = append(s.Problems, problem.Problem{Where: "Mattermost", Found: err.Error(),
			Hint: "sudo journalctl -u " + found.Unit.Name + " -n 50"})
	} else {
		s.Healthy = true
		if answer.Build != "" && answer.Build != s.Version {
			s.Problems = append(s.Problems, problem.Problem{Where: "Mattermost",
				Found: "version " + answer.Build + " answers, but " + s.Version + " is installed",
				Hint:  "sudo systemctl restart " + found.Unit.Name})
		}
	}
}
