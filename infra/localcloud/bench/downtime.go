package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"townsquare/infra/localcloud/community"
	"townsquare/infra/localcloud/stage"
)

// Releases that the server is taken to.
const (
	patch = stage.Patch // no migrations
	minor = "9.11.0"    // 9.10's code, with a new table and a new index of posts
)

// The ways to a new version, as results call them.
const (
	floor        = "restart"        // systemctl restart, the same version
	toPatch      = "apply patch"    // upgrade apply, no migrations
	toMinor      = "apply minor"    // upgrade apply, migrations while the old version serves
	toOffline    = "apply offline"  // upgrade apply, the same migrations behind a checkpoint
	toLeap       = "apply leap"     // upgrade apply, 7.7.0 to 9.10.0: 20 migrations behind a checkpoint
	byGuide      = "guide patch"    // the vendor's guide, no migrations
	byGuideMinor = "guide minor"    // the vendor's guide, the minor's migrations
	byGuideRead  = "guide, read"    // the vendor's guide to the patch, when somebody has just read all uploads
	rolledBack   = "rollback after" // upgrade apply of a release that does not work
)

// outage is what people noticed of one change of the server.
type outage struct {
	How        string            `json:"how"`
	Size       string            `json:"size"`
	Posts      int               `json:"posts"`
	FilesMB    int               `json:"files_mb"`
	DatabaseMB int               `json:"database_mb"`
	Seen       community.Summary `json:"seen"`
	Traffic    community.Traffic `json:"traffic"`
	Lost       int               `json:"lost"`                 // of what was acknowledged
	Floor      time.Duration     `json:"floor_ns"`             // the baseline: the restarts on the same boot, their mean
	Host       time.Duration     `json:"host_ns,omitzero"`     // the downtime as the host itself measured it
	Detected   time.Duration     `json:"detected_ns,omitzero"` // from the start of a version that does not work until that was known
	Foretold   string            `json:"foretold,omitempty"`   // what the run said of the copy before the stop
	Rehearsal  *rehearsal        `json:"rehearsal,omitempty"`  // what was foreseen
	Peaks      []peak            `json:"peaks,omitempty"`      // of the upgrader's memory
	Phases     []timed           `json:"phases,omitempty"`
	At         time.Time         `json:"at"`
	Commit     string            `json:"commit"`
	Load       string            `json:"load"`             // of this computer when it began: /proc/loadavg
	Stolen     *float64          `json:"stolen,omitempty"` // of the processors' time while people waited, here or in the baseline: the share that other virtual machines had
}

// peak is the most memory that the upgrader held in a phase.
type peak struct {
	Phase string `json:"phase"`
	Bytes int64  `json:"bytes"`
}

// pollEvery is how often somebody looks in: the resolution of every outage.
const pollEvery = 20 * time.Millisecond

// watched does something to the server while somebody looks in every 20 ms and a crowd is at work.
func (b *bench) watched(ctx context.Context, s *stage.Server, how string, to size, what func() error) (outage, error) {
	if err := b.atWork(ctx, s, how, to); err != nil {
		return outage{}, err
	}
	calm(ctx, b.patience)
	load, err := loadNow()
	if err != nil {
		return outage{}, err
	}
	o := outage{How: how, Size: to.name(), Posts: to.posts, FilesMB: to.filesMB, At: time.Now().UTC(), Commit: b.commit, Load: load}
	if o.DatabaseMB, err = databaseMB(ctx, s); err != nil {
		return o, err
	}
	crowd, err := s.Admin().Crowd(ctx, s.People.Channels[0].ID)
	if err != nil {
		return o, err
	}
	polling, stop := context.WithCancel(ctx)
	defer stop()
	visits := make(chan *community.Visits, 1)
	go func() { visits <- community.Poll(polling, s.URL, s.Visitor, pollEvery) }()
	stolen := make(chan stealing, 1)
	go func() { stolen <- watchStealing(polling) }()
	time.Sleep(time.Second)
	err = what()
	time.Sleep(time.Second)
	stop()
	o.Seen = (<-visits).Summary()
	o.Stolen = new((<-stolen).share(o.Seen.GapFrom, o.Seen.GapFrom.Add(o.Seen.Gap)))
	traffic, ledger := crowd.End()
	o.Traffic = traffic
	if err != nil {
		return o, err
	}
	o.Lost = len(ledger.Lost(ctx, s.Admin()))
	fmt.Printf("          %-14s %-5s away %.3f s, failed %d of %d visits and %d of %d requests, lost %d\n", how, o.Size, o.Seen.Gap.Seconds(),
		o.Seen.Failed, o.Seen.Asked, traffic.Failed, traffic.Failed+traffic.Posts+traffic.Uploads+traffic.Reads, o.Lost)
	return o, nil
}

// restart measures the floor on this very boot, and leaves the server at rest again.
func (b *bench) restart(ctx context.Context, s *stage.Server, to size) (outage, error) {
	o, err := b.watched(ctx, s, floor, to, func() error {
		_, err := host(ctx, s, "systemctl restart mattermost")
		return err
	})
	if err != nil {
		return o, err
	}
	return o, errors.Join(b.found.addOutage(o), atRest(ctx, s))
}

// add writes an outage down beside its baseline.
func (b *bench) add(o outage, base ...outage) error {
	for _, x := range base {
		o.Floor += x.Seen.Gap / time.Duration(len(base))
		o.Stolen = new(max(*o.Stolen, *x.Stolen))
	}
	return b.found.addOutage(o)
}

// foreseen measures `upgrade apply` to a version after its rehearsal, and a bare restart in between.
func (b *bench) foreseen(ctx context.Context, s *stage.Server, how string, to size, version string) error {
	rehearsed, err := b.foresee(ctx, s, to, version)
	if err != nil {
		return err
	}
	base, err := b.restart(ctx, s, to)
	if err != nil {
		return err
	}
	o, err := b.applied(ctx, s, how, to, version, 0)
	if err != nil {
		return err
	}
	o.Rehearsal = rehearsed
	return b.add(o, base)
}

// applied is an outage that lacks its baseline.
func (b *bench) applied(ctx context.Context, s *stage.Server, how string, to size, version string, wanted int) (outage, error) {
	var r stage.Result
	o, err := b.watched(ctx, s, how, to, func() error {
		r = s.Upgrade(ctx, "apply", "--json", "--yes", "--watch", "2s", "--to", version)
		if r.Code != wanted {
			return fmt.Errorf("want exit code %d:\n%s", wanted, r)
		}
		return nil
	})
	if err != nil {
		return o, err
	}
	var report stage.Report
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
		return o, fmt.Errorf("%w: %s", err, r)
	}
	o.Host = report.Downtime
	return o, o.read(ctx, s, report.ID)
}

// read takes from the run's log what only the host knows.
func (o *outage) read(ctx context.Context, s *stage.Server, id string) error {
	log, err := host(ctx, s, `cat "/var/lib/townsquare/runs/$1.jsonl"`, id)
	if err != nil {
		return err
	}
	var launched time.Time
	for _, line := range lines(log) {
		var e struct {
			Time  time.Time     `json:"time"`
			Kind  string        `json:"kind"`
			Step  string        `json:"step"`
			Phase string        `json:"phase"`
			Text  string        `json:"text"`
			Took  time.Duration `json:"took_ns"`
			Peak  int64         `json:"peak_bytes"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return fmt.Errorf("the log of %s: %w", id, err)
		}
		if e.Peak > 0 && (e.Kind == "end" || e.Kind == "failed") {
			o.Peaks = append(o.Peaks, peak{e.Phase, e.Peak})
		}
		if e.Kind == "end" {
			o.Phases = append(o.Phases, timed{What: e.Phase, Took: e.Took})
		}
		switch {
		case e.Kind == "begin" && e.Step == "start":
			launched = e.Time
		case e.Kind == "failed":
			o.Detected = e.Time.Sub(launched)
		}
		if e.Kind == "note" && bytes.Contains([]byte(e.Text), []byte("copied during the downtime")) {
			o.Foretold = e.Text
		}
	}
	return nil
}

// serving measures, on one boot, a patch without migrations and a minor whose migrations run while the
// old version serves, each between two bare restarts: a computer's pace changes within minutes.
func (b *bench) serving(ctx context.Context, to size) error {
	m, err := b.after(ctx, to)
	if err != nil {
		return err
	}
	s, err := b.arrive(ctx, m, patch, minor)
	if err != nil {
		return err
	}
	before, err := b.restart(ctx, s, to)
	if err != nil {
		return err
	}
	for _, step := range []struct{ how, version string }{{toPatch, patch}, {toMinor, minor}} {
		o, err := b.applied(ctx, s, step.how, to, step.version, 0)
		if err != nil {
			return err
		}
		if err := atRest(ctx, s); err != nil {
			return err
		}
		after, err := b.restart(ctx, s, to)
		if err != nil {
			return err
		}
		if err := b.add(o, before, after); err != nil {
			return err
		}
		before = after
	}
	return nil
}

// offline measures the minor with its migrations behind a checkpoint, as configured.
func (b *bench) offline(ctx context.Context, to size) error {
	m, err := b.after(ctx, to)
	if err != nil {
		return err
	}
	s, err := b.arrive(ctx, m, patch, minor)
	if err != nil {
		return err
	}
	if _, err := host(ctx, s, `echo 'migrations: offline' >>/etc/townsquare/upgrade.yaml`); err != nil {
		return err
	}
	return b.foreseen(ctx, s, toOffline, to, minor)
}

// leap measures an upgrade over many versions, whose migrations the old version cannot live with.
func (b *bench) leap(ctx context.Context, to size) error {
	m, err := b.before(ctx, to)
	if err != nil {
		return err
	}
	s, err := b.arrive(ctx, m, stage.After)
	if err != nil {
		return err
	}
	return b.foreseen(ctx, s, toLeap, to, stage.After)
}

// vendorsLayout makes the server one as the vendor's guide leaves it: everything, uploaded files
// included, in one plain directory.
const vendorsLayout = `
systemctl stop mattermost
active=$(readlink -f /opt/mattermost)
rm /opt/mattermost
cp -a "$active" /opt/mattermost
cd /opt/mattermost
for name in data config logs plugins client/plugins; do
	if [ -L "$name" ]; then
		target=$(readlink -f "$name")
		rm "$name"
		cp -a "$target" "$name"
	fi
done
mkdir -p data config logs plugins client/plugins
sed -i 's|"Directory": "/var/lib/mattermost/data/*"|"Directory": "./data/"|' config/config.json
chown -R mattermost:mattermost /opt/mattermost
systemctl start mattermost
sync`

// guided measures the vendor's guide, for a patch and, on the same boot, for the minor.
func (b *bench) guided(ctx context.Context, to size) error {
	s, err := b.asVendorsGuide(ctx, to)
	if err != nil {
		return err
	}
	base, err := b.restart(ctx, s, to)
	if err != nil {
		return err
	}
	if err := b.byHand(ctx, s, byGuide, to, patch, base); err != nil {
		return err
	}
	if to != sizes[len(sizes)-1] {
		return nil // the minor is only of interest where there is much to migrate
	}
	if err := atRest(ctx, s); err != nil {
		return err
	}
	return b.byHand(ctx, s, byGuideMinor, to, minor, base)
}

// guidedRead measures the vendor's guide where it is quickest: every upload is in memory.
func (b *bench) guidedRead(ctx context.Context, to size) error {
	s, err := b.asVendorsGuide(ctx, to)
	if err != nil {
		return err
	}
	base, err := b.restart(ctx, s, to)
	if err != nil {
		return err
	}
	return b.byHand(ctx, s, byGuideRead, to, patch, base)
}

// asVendorsGuide is a server in the vendor's layout, at rest.
func (b *bench) asVendorsGuide(ctx context.Context, to size) (*stage.Server, error) {
	m, err := b.after(ctx, to)
	if err != nil {
		return nil, err
	}
	s, err := b.arrive(ctx, m, patch, minor)
	if err != nil {
		return nil, err
	}
	if _, err := host(ctx, s, vendorsLayout); err != nil {
		return nil, fmt.Errorf("take up the vendor's layout: %w", err)
	}
	return s, atRest(ctx, s)
}

// byHand measures the guide's upgrade to a version.
func (b *bench) byHand(ctx context.Context, s *stage.Server, how string, to size, version string, base outage) error {
	guide, err := os.ReadFile(filepath.Join(b.stage.Root(), "scripts", "bench", "guide.sh"))
	if err != nil {
		return err
	}
	if _, err := host(ctx, s, string(guide)+"\nprepare", version); err != nil {
		return err
	}
	o, err := b.watched(ctx, s, how, to, func() error {
		_, err := host(ctx, s, string(guide)+"\nupgrade", version)
		return errors.Join(err, s.Await(ctx, time.Minute, version))
	})
	if err != nil {
		return err
	}
	return b.add(o, base)
}

// rollback measures what people notice of releases that do not work.
func (b *bench) rollback(ctx context.Context, to size) error {
	m, err := b.after(ctx, to)
	if err != nil {
		return err
	}
	releases := []struct{ kind, version string }{{"exit", "9.10.2"}, {"wrong-version", "9.10.5"}, {"deaf", "9.10.8"}, {"hang", "9.10.3"}}
	if b.quick {
		releases = releases[:1]
	}
	for _, bad := range releases {
		s, err := b.arrive(ctx, m, stage.After)
		if err != nil {
			return err
		}
		if r := b.stage.Localcloud(ctx, "mirror", "publish", "--bad", bad.kind); r.Code != 0 {
			return fmt.Errorf("%s", r)
		}
		base, err := b.restart(ctx, s, to)
		if err != nil {
			return err
		}
		o, err := b.applied(ctx, s, rolledBack+" "+bad.kind, to, bad.version, 4)
		if err != nil {
			return err
		}
		if err := b.add(o, base); err != nil {
			return err
		}
	}
	return nil
}
