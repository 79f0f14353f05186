//go:build machine

package faults

import (
	"strings"
	"time"

	"townsquare/infra/localcloud/stage"
)

// kase is one row of the matrix.
type kase struct {
	name    string // phase/fault, or release/fault
	at      stage.Point
	strike  func(tr *trial, pid int) error // what happens at the point; nil: the release itself is bad
	fatal   bool                           // no phase after the point's may have begun
	keeps   bool                           // nothing can be dropped then: the database that was replaced may stay until the next upgrade
	prepare func(*trial)                   // before the run
	heal    func(*trial)                   // after the service is whole again, before the next upgrade

	from    string        // what serves before; "": stage.Before
	version string        // the one asked for; "": stage.After
	watch   time.Duration // 0: 2 s
	codes   []int         // that the operator may see; nil: any
	ends    string        // the version that must serve in the end; "": either
	skips   bool          // the version must be on the skip list in the end
}

func (c kase) before() string {
	if c.from == "" {
		return stage.Before
	}
	return c.from
}

func (c kase) target() string {
	if c.version == "" {
		return stage.After
	}
	return c.version
}

func (c kase) watched() string {
	if c.watch == 0 {
		return "2s"
	}
	return c.watch.String()
}

// step is a phase as the matrix knows it: its name in a case's, and its ID.
type step struct {
	name, id string
	late     stage.Point // in the middle of what it changes; its Step is filled in
}

// steps are the phases of an apply. A run that goes through one that is not here fails the matrix.
var steps = []step{
	{"facts", "facts", stage.Point{Delay: 5 * time.Millisecond}},
	{"choose", "choose", stage.Point{Delay: 20 * time.Millisecond}},
	{"preflight", "preflight", stage.Point{Delay: 50 * time.Millisecond}},
	{"lock", "lock", stage.Point{Saves: 1}},
	{"fetch", "fetch", stage.Point{Delay: 600 * time.Millisecond}},
	{"grant", "grant", stage.Point{}},
	{"backup", "backup", stage.Point{Saves: 1, Delay: 60 * time.Millisecond}},
	{"migrate", "migrate", stage.Point{Delay: 150 * time.Millisecond}}, // while the old version serves
	{"stop", "stop", stage.Point{Saves: 1, Delay: 30 * time.Millisecond}},
	{"checkpoint", "snapshot", stage.Point{Saves: 1, Delay: 40 * time.Millisecond}},
	{"swap", "switch", stage.Point{Saves: 1}},
	{"start", "start", stage.Point{Delay: 900 * time.Millisecond}},
	{"verify", "verify", stage.Point{}},
	{"open", "resume-traffic", stage.Point{Saves: 1}},
	{"watch", "watch", stage.Point{Delay: 700 * time.Millisecond}},
	{"commit", "finalize", stage.Point{Saves: 1}},
	{"timers", "timers", stage.Point{}},
}

// harmless is a release whose migrations the version before it can live with.
const harmless = "9.11.0"

// matrix is every case. Neighbours are of a kind: each third of the list has some of all kinds.
func matrix() []kase {
	var all []kase
	for _, s := range steps {
		begin, late := stage.Point{Step: s.id}, s.late
		late.Step = s.id
		some := []kase{
			{name: s.name + "/upgrader killed as it begins", at: begin, strike: kill, fatal: true},
			{name: s.name + "/power cut as it begins", at: begin, strike: power, fatal: true, keeps: true},
			{name: s.name + "/operator killed", at: begin, strike: hangUp},
		}
		if late != begin {
			some = append(some, kase{name: s.name + "/upgrader killed in the middle", at: late, strike: kill, fatal: true})
		}
		if late != begin && changes(s.name) {
			some = append(some, kase{name: s.name + "/power cut in the middle", at: late, strike: power, fatal: true, keeps: true})
		}
		for _, c := range some {
			if s.name == "migrate" { // which has nothing to do where the old version could not live with it
				c.from, c.version, c.prepare = stage.After, harmless, mirror("publish", stage.After, harmless, "--esr", "9.11")
			}
			if strings.HasSuffix(c.name, "/operator killed") {
				c.ends = c.target()
			}
			all = append(all, c)
		}
	}
	at := func(name string) stage.Point {
		for _, s := range steps {
			if s.name == name {
				return stage.Point{Step: s.id}
			}
		}
		return stage.Point{Step: name}
	}
	for _, name := range []string{"fetch", "start", "watch"} {
		all = append(all, kase{name: name + "/machine rebooted in order", at: at(name), strike: reboot, fatal: true})
	}
	for _, name := range []string{"lock", "fetch", "backup", "stop", "checkpoint", "open", "commit"} {
		all = append(all, kase{name: name + "/disk full", at: at(name), strike: full("/var/lib/townsquare"), heal: empty("/var/lib/townsquare")})
	}
	all = append(all,
		kase{name: "start/files' volume full", at: at("start"), strike: full("/var/lib/mattermost"), heal: empty("/var/lib/mattermost")},
		kase{name: "checkpoint/database's volume full for 10 s", at: at("checkpoint"), strike: fullFor("/var/lib/postgresql", 10*time.Second), heal: roomAgain("/var/lib/postgresql"), keeps: true},
		kase{name: "start/database's volume full for 10 s", at: at("start"), strike: fullFor("/var/lib/postgresql", 10*time.Second), heal: roomAgain("/var/lib/postgresql"), keeps: true},
	)
	for _, name := range []string{"preflight", "backup", "stop", "checkpoint", "start", "verify", "watch", "commit"} {
		all = append(all, kase{name: name + "/database killed", at: at(name), strike: databaseDies})
	}
	for _, name := range []string{"fetch", "checkpoint", "start", "watch"} {
		all = append(all, kase{name: name + "/database away for 8 s", at: at(name), strike: databaseAway})
	}
	all = append(all,
		kase{name: "swap/upgrader killed, broken upgrade.yaml", at: at("swap"), strike: brokenPolicy(kill), heal: mendPolicy, fatal: true, ends: stage.Before},
		kase{name: "start/power cut, broken upgrade.yaml", at: at("start"), strike: brokenPolicy(power), heal: mendPolicy, fatal: true, keeps: true, ends: stage.Before},
		kase{name: "start/reboot in an unknown step", at: stage.Point{Step: "start", Saves: 1}, strike: unknownStep, fatal: true, keeps: true, ends: stage.Before},
		kase{name: "choose/vendor cut off for 8 s", at: at("choose"), strike: sever("443", 8*time.Second)},
		kase{name: "fetch/vendor cut off for 8 s", at: at("fetch"), strike: sever("443", 8*time.Second)},
		kase{name: "fetch/download breaks twice", prepare: mirror("fault", stage.After, "cut", "--bytes", "9000000", "--times", "2"), ends: stage.After},
		kase{name: "stop/operator cut off for 8 s", at: at("stop"), strike: sever("22", 8*time.Second), ends: stage.After},
	)
	return append(append(all, releases()...), attack())
}

// changes says which phases leave something on the host that a power cut may tear.
func changes(phase string) bool {
	switch phase {
	case "facts", "choose", "preflight":
		return false
	}
	return true
}
