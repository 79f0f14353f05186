package phase

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"townsquare/upgrade/mattermost"
	"townsquare/upgrade/problem"
	"townsquare/upgrade/schedule"
	"townsquare/upgrade/state"
	"townsquare/upgrade/system"
)

// OS brings the operating system up to date. While packages are installed nothing restarts; then,
// in one pass, what must. Where only a reboot helps, it takes the place of that pass.
func OS() []Phase {
	return append(OSPlan(),
		OSLock{},
		OSRepair{},
		OSDownload{},
		OSInstall{},
		OSDecide{},
		OSDatabase{}, // the service is away here, if PostgreSQL or itself must restart
		OSProxy{},    // visitors wait here
		OSServices{},
		OSReboot{}, // the service is away from here, if the host must restart; Resume goes on behind it
		OSVerify{},
		OSCommit{},
	)
}

// OSPlan is the beginning of OS that changes nothing but apt's lists of what there is.
func OSPlan() []Phase { return []Phase{Facts{}, OSLook{}, OSPreflight{}} }

// OSFacts is what OSLook found.
type OSFacts struct {
	system.Pending
	Outdated system.Outdated `json:"outdated"`          // what runs files that were replaced
	Reboot   system.Reboot   `json:"reboot,omitzero"`   // one that is needed
	Later    string          `json:"later,omitempty"`   // why it is not done now
	Vain     bool            `json:"vain,omitempty"`    // as it was done for that already, and did not help
	Restart  []string        `json:"restart,omitempty"` // what is known to restart, before the packages are installed
}

func (op *Operation) machine() system.System {
	if op.System.Run == nil {
		return system.Host()
	}
	return op.System
}

// blocked says who works on packages, and is waited for.
func (op *Operation) blocked(who string) {
	op.Emit(Event{Kind: Blocked, Text: fmt.Sprintf("waiting for %s, which works on packages", who)})
}

// listener shows how a package run goes.
func (op *Operation) listener() system.Listener {
	return system.Listener{
		Progress: func(percent int64) { op.Progress(percent, 100, "percent") },
		Kept: func(file string) {
			op.Note("%s was changed here and stays as it is; the package's own is beside it (.dpkg-dist)", file)
		},
	}
}

// OSLook finds out what is pending.
type OSLook struct{}

// Title says what a person reads.
func (OSLook) Title() string { return "look for updates of the system" }

// Run fills op.OS; Done when there is nothing to do.
func (OSLook) Run(ctx context.Context, op *Operation) error {
	if list := tools(); len(list) > 0 {
		return list
	}
	s := op.machine()
	if err := s.Await(ctx, op.blocked); err != nil {
		return err
	}
	if err := s.Update(ctx); err != nil {
		return err
	}
	if err := lookAtSystem(ctx, op); err != nil {
		return err
	}
	f := op.OS
	for _, name := range f.Held {
		op.Note("%s is held back by a person", name)
	}
	if f.Interrupted == "" && len(f.Packages) == 0 && len(f.Remove) == 0 && len(f.Restart) == 0 && (!f.Reboot.Needed() || f.Later != "") {
		var w Waiting
		if f.Later != "" {
			op.Choice.Why = fmt.Sprintf("A reboot is needed (%s), but %s.", f.Reboot.Reason(), f.Later)
			w.What = f.Summary()
		}
		op.note(schedule.System, w)
		return Done
	}
	if err := op.Due(schedule.System, Waiting{What: f.Summary(), Security: f.Security() > 0}); err != nil {
		return err
	}
	return op.enough()
}

// Summary says in a line what waits.
func (f *OSFacts) Summary() string {
	var words []string
	for i, one := range f.Packages {
		if i == 3 && len(f.Packages) > 4 {
			words = append(words, fmt.Sprintf("%d more", len(f.Packages)-i))
			break
		}
		words = append(words, one.Name+" "+one.To)
	}
	switch {
	case len(words) == 1:
		return "1 package: " + words[0]
	case len(words) > 0:
		return fmt.Sprintf("%d packages: %s", len(f.Packages), strings.Join(words, ", "))
	case f.Interrupted != "":
		return "packages that dpkg left half done"
	case len(f.Restart) > 0:
		return "services that run old files: " + strings.Join(f.Restart, ", ")
	case f.Vain:
		return fmt.Sprintf("a reboot: %s; %s", f.Reboot.Reason(), f.Later)
	default:
		return "a reboot: " + f.Reboot.Reason()
	}
}

// tools are what Debian brings and this needs.
func tools() (found problem.List) {
	for _, name := range []string{"apt-get", "dpkg", "systemctl", "nft"} {
		if _, err := exec.LookPath(name); err != nil {
			found = append(found, problem.Problem{Where: name, Found: "not there", Allowed: "Debian, or a system made from it, with systemd and nftables"})
		}
	}
	if _, err := exec.LookPath("needrestart"); err != nil {
		found = append(found, problem.Problem{Where: "needrestart", Found: "not installed", Allowed: "needrestart, which knows what runs old files",
			Hint: "sudo apt-get install needrestart"})
	}
	return found
}

// LookAtSystem finds what is pending by the lists that apt has: nothing is asked of any archive. On a
// host without Debian's tools the answer is nil.
func LookAtSystem(ctx context.Context, record *state.State, config state.Config) (*OSFacts, error) {
	if len(tools()) > 0 {
		return nil, nil
	}
	op := &Operation{Record: record, Config: config}
	err := lookAtSystem(ctx, op)
	return op.OS, err
}

// lookAtSystem fills op.OS from what is on the disk.
func lookAtSystem(ctx context.Context, op *Operation) (err error) {
	s, f := op.machine(), &OSFacts{}
	if f.Pending, err = s.Pending(ctx, op.SecurityOnly); err != nil {
		return err
	}
	if f.Outdated, err = s.Outdated(ctx); err != nil {
		return err
	}
	if f.Reboot, err = s.Reboot(f.Outdated); err != nil {
		return err
	}
	op.postpone(f)
	f.Restart = f.Outdated.Restartable()
	for _, one := range f.Packages { // a package restarts its own service
		if unit, ok := ownService[one.Name]; ok {
			f.Restart = append(f.Restart, unit)
		} else if strings.HasPrefix(one.Name, "postgresql-") && serverPackage.MatchString(one.Name) {
			f.Restart = append(f.Restart, "postgresql", "mattermost")
		}
	}
	slices.Sort(f.Restart)
	f.Restart = slices.Compact(f.Restart)
	op.OS = f
	return nil
}

// ownService are the packages whose service people would miss.
var ownService = map[string]string{"caddy": "caddy.service", "nginx": "nginx.service", "openssh-server": "ssh.service"}

// postpone fills in why a reboot that is needed is not done in this run; empty when it may be. Unlike
// the rest it keeps to the calendar even when a person is there: who wants it now says so.
func (op *Operation) postpone(f *OSFacts) {
	f.Later, f.Vain = "", false
	if !f.Reboot.Needed() || op.Reboot {
		return
	}
	if last := op.Record.Reboot; last != nil && last.Why == f.Reboot.Reason() {
		f.Vain, f.Later = true, fmt.Sprintf("it was done for that on %s and did not help: somebody has to look", last.At.Format("2006-01-02 15:04"))
		return
	}
	if later := op.closed(schedule.Ask{Kind: schedule.Reboot}); later != nil {
		f.Later = later.Error()
	}
}

// OSPreflight looks for everything that would stop the run.
type OSPreflight struct{}

// Title says what a person reads.
func (OSPreflight) Title() string { return "check that it can be done" }

var serverPackage = regexp.MustCompile(`^postgresql-([0-9]+)$`)

// Run returns a problem.List.
func (OSPreflight) Run(ctx context.Context, op *Operation) error {
	f, s := op.OS, op.machine()
	var found problem.List
	if len(f.Remove) > 0 {
		found = append(found, problem.Problem{Where: "packages", Found: "the upgrade would remove " + strings.Join(f.Remove, ", "),
			Allowed: "nothing is removed while nobody looks", Hint: "sudo apt-get dist-upgrade"})
	}
	majors, err := s.Active(ctx, "postgresql@*.service")
	if err != nil {
		return err
	}
	for _, one := range f.Packages {
		m := serverPackage.FindStringSubmatch(one.Name)
		switch {
		case m != nil && one.From == "" && len(majors) > 0:
			found = append(found, problem.Problem{Where: "PostgreSQL", Found: fmt.Sprintf("the upgrade would bring major version %s beside %s", m[1], strings.Join(majors, ", ")),
				Allowed: "the major version that runs: another needs its data moved", Hint: "sudo apt-mark hold postgresql && man pg_upgradecluster"})
		case one.Name == "mattermost" || one.Name == "mattermost-server":
			found = append(found, problem.Problem{Where: one.Name, Found: "a Debian package of Mattermost is installed, and apt would replace it with " + one.To,
				Allowed: "no package of Mattermost: this program upgrades it", Hint: "sudo apt-mark hold " + one.Name})
		}
	}
	if err := s.CheckPolicy(); errors.Is(err, system.ErrForeignPolicy) {
		found = append(found, problem.Problem{Where: "/usr/sbin/policy-rc.d", Found: "somebody else's",
			Allowed: "none: it decides which services packages may restart", Hint: "cat /usr/sbin/policy-rc.d"})
	} else if err != nil {
		return err
	}
	list, err := roomForPackages(f.Pending)
	if err != nil {
		return err
	}
	return append(found, list...).Err()
}

// bootBytes is what a kernel needs below /boot for itself and its initial file system.
const bootBytes = 200 << 20

// roomForPackages counts a package's files in full: dpkg keeps the old ones until the new ones are
// all there.
func roomForPackages(p system.Pending) (problem.List, error) {
	if len(p.Packages) == 0 {
		return nil, nil
	}
	download, unpacked := p.Bytes()
	r := &room{}
	r.need("/var/cache/apt/archives", uint64(download), 0, "packages to download")
	r.need("/usr", uint64(unpacked)+spareBytes/4, 0, "packages to unpack")
	for _, one := range p.Packages {
		if strings.HasPrefix(one.Name, "linux-image-") && one.From == "" {
			r.need("/boot", bootBytes, 0, one.Name)
		}
	}
	return r.problems(space)
}

// OSLock takes the host for this run.
type OSLock struct{}

// Title says what a person reads.
func (OSLock) Title() string { return "lock the host" }

// Describe says it for a plan.
func (OSLock) Describe(op *Operation) string { return "nobody else works on this host meanwhile" }

// Run saves what putting back needs. The version stays.
func (OSLock) Run(ctx context.Context, op *Operation) error {
	run := serviceRun(op.Facts)
	run.System = &state.System{Packages: op.OS.Changes()}
	return op.Acquire(ctx, run)
}

// serviceRun begins a run that restarts the service as it is.
func serviceRun(f *mattermost.Installation) state.Run {
	run := state.Run{
		Edition: string(f.Edition), Unit: f.Unit.Name, Link: f.Link, OldTarget: f.OldTarget, NewTarget: f.OldTarget,
		Address: f.Health.URL, ServerName: f.Health.ServerName, Port: f.Port,
	}
	if f.Installed() {
		run.From = f.Version.String()
	}
	if f.Config != nil && !f.Config.InDatabase {
		run.ConfigPath = f.Config.Path
	}
	return run
}

// reportSystem puts what was done to the system into the report.
func (op *Operation) reportSystem(r *Report) {
	if op.OS != nil {
		r.Reboot, r.Held = op.OS.Reboot, op.OS.Held
	}
	run := op.Record.Run
	if run == nil || run.ID != op.ID {
		return
	}
	noteSystem(&r.Finished, run)
}

// noteSystem puts what a run did to the system into what is kept of it.
func noteSystem(f *state.Finished, run *state.Run) {
	if run.System == nil {
		return
	}
	if run.System.Installed {
		f.Packages = run.System.Packages
	}
	f.Restarted, f.Rebooted = run.System.Restarted, ""
	if run.To != "" && !run.OpenedAt.IsZero() && !run.System.Rebooted {
		f.Restarted = append(slices.Clone(f.Restarted), run.Unit)
	}
	if run.System.Rebooted {
		f.Rebooted = run.System.RebootFor
	}
}
