package ui

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"townsquare/upgrade/internal/golden"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/problem"
)

func TestWaysAndRehearsed(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	var out, errs bytes.Buffer
	p := printer(&out, &errs)
	plan := phase.Preview{From: "11.0.2", To: "10.11.4", Ways: []phase.Way{
		{Name: phase.WayDowngrade, Keeps: true, What: "11.0.2 takes its changes of the database back (db downgrade)", Drops: map[string]int{"channelbookmarks": 2},
			Warnings: []string{"the vendor does not recommend it"}, Problems: problem.List{{Found: "passwords were stored anew", Hint: "see https://example.org"}}},
		{Name: phase.WayCheckpoint, What: "the copy of the database from before the upgrade takes its place", Since: began, Loses: map[string]int{"posts": 12, "fileinfo": 1}},
	}}
	good := phase.Report{Trial: &phase.Rehearsal{Source: "the database as it is now", Bytes: 948 << 20, After: 970 << 20, Migrations: 20, Migrating: 4 * time.Second,
		Copying: 1050 * time.Millisecond, Starting: 4800 * time.Millisecond, Downtime: 6 * time.Second, Dropped: []string{"A.B", "A.C", "A.D", "A.E", "A.F", "A.G", "A.H"},
		Errors: []string{"Failed to index"}, Asked: 90, Slowest: 80 * time.Millisecond}}
	good.ID, good.Operation, good.From, good.To, good.Outcome = "20261122T013000Z-rehearse", "rehearse", "7.7.0", "9.10.0", phase.OutcomeDone
	online := good
	trial := *good.Trial
	trial.Online, trial.Downtime = true, 900*time.Millisecond
	online.Trial = &trial
	bad := good
	bad.Outcome, bad.Exit = phase.OutcomeRefused, phase.ExitRefused
	bad.Trial = &phase.Rehearsal{Source: "backup 1a2b3c4d of 2026-11-22 01:00:00", Migrations: 20, Plugins: []string{"org.townsquare.fountain"}}
	bad.Problems = problem.List{{Where: "Mattermost 9.10.0", Found: "the server exited with status 1 (exit-code)", Allowed: "a version that works on a copy of this server"}}
	p.Ways(plan)
	if err := errors.Join(p.WaysOnly(plan), p.Rehearsed(good), p.Rehearsed(online), p.Rehearsed(bad)); err != nil {
		t.Fatal(err)
	}
	p.Close()
	golden.Check(t, "ways.golden", "--- stdout\n"+out.String()+"--- stderr\n"+errs.String())
}
