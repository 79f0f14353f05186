package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"townsquare/infra/localcloud/community"
	"townsquare/infra/localcloud/stage"
)

// localRepository gives the host a repository that has nothing in it yet, on its own disk, as that of
// the stack remembers what earlier runs put there.
const localRepository = `
python3 - <<'PY'
import re
path = "/etc/townsquare/upgrade.yaml"
text = open(path).read()
text, n = re.subn(r"(?m)^(\s*)repository:.*$", r"\1repository: /var/backups/bench", text)
if not n:
    text += "\nbackup:\n  repository: /var/backups/bench\n"
open(path, "w").write(text)
PY
if [ ! -e /etc/townsquare/backup.password ]; then
	(umask 077; head -c 24 /dev/urandom | base64 >/etc/townsquare/backup.password)
fi`

// added is how many files come between the second and the third backup.
const added = 100

// backup measures backups beside the plain way to make one.
func (b *bench) backup(ctx context.Context, to size) error {
	m, err := b.after(ctx, to)
	if err != nil {
		return err
	}
	s, err := b.arrive(ctx, m, stage.After)
	if err != nil {
		return err
	}
	if _, err := host(ctx, s, localRepository); err != nil {
		return err
	}
	load, err := loadNow()
	if err != nil {
		return err
	}
	plain, err := stopwatch(func() error {
		_, err := host(ctx, s, `mkdir -p /var/backups/plain
runuser -u postgres -- pg_dump -Fc mattermost >/var/backups/plain/mattermost.dump
cp -a /var/lib/mattermost/data /var/backups/plain/
sync -f /var/backups; rm -r /var/backups/plain`)
		return err
	})
	if err != nil {
		return err
	}
	all := []timed{{What: "pg_dump -Fc + cp -a, each time", Took: plain, Commit: b.commit, Load: load}}
	for _, step := range []string{"first backup", "second, nothing changed", fmt.Sprintf("third, %d files more", added)} {
		if strings.HasPrefix(step, "third") {
			if err := addFiles(ctx, s, added); err != nil {
				return err
			}
		}
		r := s.Upgrade(ctx, "backup", "create", "--json")
		if r.Code != 0 {
			return fmt.Errorf("%s", r)
		}
		var report stage.Report
		if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
			return err
		}
		var o outage
		if err := o.read(ctx, s, report.ID); err != nil {
			return err
		}
		all = append(all, timed{What: step, Took: r.Took, Baseline: plain, Peaks: o.Peaks, Commit: b.commit})
		fmt.Printf("          %s: %v, the plain way %v\n", step, r.Took.Round(10*time.Millisecond), plain.Round(10*time.Millisecond))
	}
	b.found.Backups = all
	return b.found.save()
}

// nothing is what `upgrade apply` costs where there is nothing to do.
type nothing struct {
	Took    []time.Duration `json:"took_ns,omitempty"`
	SSH     []time.Duration `json:"ssh_ns,omitempty"` // the baseline: `ssh HOST sudo true`, right before each
	In      int64           `json:"in_bytes"`         // that came to the host, in one run
	Out     int64           `json:"out_bytes"`        // that it sent
	Logins  int             `json:"logins"`           // SSH connections, in one run
	Writing []string        `json:"writing"`          // calls of the upgrader on the host that change a file, by name, in one run
	Changed []string        `json:"changed"`          // files on the host that are not as they were, after all runs
	Commit  string          `json:"commit"`
	Load    string          `json:"load"`
}

// nothing measures `upgrade apply` on a server that is up to date.
func (b *bench) nothing(ctx context.Context, to size) error {
	m, err := b.after(ctx, to)
	if err != nil {
		return err
	}
	s, err := b.arrive(ctx, m, stage.After)
	if err != nil {
		return err
	}
	run := func() (time.Duration, error) {
		r := s.Upgrade(ctx, "apply", "--yes")
		if r.Code != 0 {
			return 0, fmt.Errorf("%s", r)
		}
		return r.Took, nil
	}
	if _, err := run(); err != nil { // the first one brings the pages up to date
		return err
	}
	if _, err := host(ctx, s, "sleep 1.1; touch /run/bench-begin"); err != nil {
		return err
	}
	n := nothing{Commit: b.commit}
	if n.Load, err = loadNow(); err != nil {
		return err
	}
	for range 5 {
		plain, err := b.ssh(ctx, s)
		if err != nil {
			return err
		}
		took, err := run()
		if err != nil {
			return err
		}
		n.SSH, n.Took = append(n.SSH, plain), append(n.Took, took)
	}
	before, err := counters(ctx, s)
	if err != nil {
		return err
	}
	if _, err := run(); err != nil {
		return err
	}
	after, err := counters(ctx, s)
	if err != nil {
		return err
	}
	n.In, n.Out, n.Logins = after[0]-before[0], after[1]-before[1], int(after[2]-before[2])
	out, err := host(ctx, s, `
find / /var/lib/mattermost /var/lib/postgresql -xdev -newercc /run/bench-begin -not -type d \
	-not -path '/var/log/*' -not -path '/var/lib/postgresql/*' -not -path '/var/lib/mattermost/logs/*' -not -path '/run/*' | sort -u`)
	if err != nil {
		return err
	}
	if n.Changed = lines(out); out == "" {
		n.Changed = nil
	}
	if n.Writing, err = b.writing(ctx, s, run); err != nil {
		return err
	}
	fmt.Printf("          %v beside %v of plain SSH; %d bytes in, %d out, %d logins; changed: %v; writing: %v\n",
		median(n.Took), median(n.SSH), n.In, n.Out, n.Logins, n.Changed, n.Writing)
	b.found.Nothing = n
	return b.found.save()
}

// ssh times the least that can be done on a host: one login, and root.
func (b *bench) ssh(ctx context.Context, s *stage.Server) (time.Duration, error) {
	known := filepath.Join(b.stage.Root(), "bin", "bench-known-hosts")
	if err := os.WriteFile(known, []byte(s.Outputs.Address+" "+s.Outputs.SSHHostKey+"\n"), 0o600); err != nil {
		return 0, err
	}
	return stopwatch(func() error {
		out, err := exec.CommandContext(ctx, b.stage.Program("localcloud"), "exec", "--cloud", s.Cloud.Name, "--",
			"ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile="+known, "-i", stage.Identity(s.Cloud),
			s.Outputs.SSHUser+"@"+s.Outputs.Address, "sudo true").CombinedOutput()
		if err != nil {
			return fmt.Errorf("ssh: %w: %s", err, out)
		}
		return nil
	})
}

// counters are what the host's network card counted, in and out, and its SSH logins.
func counters(ctx context.Context, s *stage.Server) ([3]int64, error) {
	var found [3]int64
	out, err := host(ctx, s, `sed 's/:/ /' /proc/net/dev | awk 'NR > 2 && $1 != "lo" { i += $2; o += $10 } END { print i; print o }'
journalctl -q -u ssh --grep 'Accepted publickey' --no-pager --output=cat | wc -l`)
	if err != nil {
		return found, err
	}
	for i, line := range lines(out) {
		if found[i], err = strconv.ParseInt(line, 10, 64); err != nil {
			return found, err
		}
	}
	return found, nil
}

// changing are the calls that change a file or a directory.
const changing = "openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat," +
	"truncate,ftruncate,fallocate,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,utimensat,mknod,mknodat,fsync,fdatasync,setxattr,fsetxattr"

var (
	traced     = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (\S+)`)
	unfinished = regexp.MustCompile(`^(\d+) +(.*?) *<unfinished \.\.\.>$`)
	resumed    = regexp.MustCompile(`^(\d+) +<\.\.\. \w+ resumed>(.*)$`)
	upgrader   = regexp.MustCompile(`^"[^"]*upgrade"`)
	forReading = regexp.MustCompile(`O_RDONLY|O_PATH|"/dev/|"/proc/`)
)

// writing runs work while every program that an SSH login starts on the host is traced, and returns
// the changing calls of the upgrader and of what it started that succeeded.
func (b *bench) writing(ctx context.Context, s *stage.Server, work func() (time.Duration, error)) ([]string, error) {
	procs, err := os.ReadFile(s.Machine.Rootfs() + "/sys/fs/cgroup/system.slice/ssh.service/cgroup.procs")
	if err != nil {
		return nil, err
	}
	daemon, _, _ := strings.Cut(strings.TrimSpace(string(procs)), "\n")
	log := filepath.Join(b.stage.Root(), "bin", "bench-strace.log")
	cmd := exec.CommandContext(ctx, "strace", "-f", "-qq", "-s", "200", "-e", "signal=none", "-e", "trace=execve,clone,clone3,fork,vfork,"+changing, "-o", log, "-p", daemon)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	time.Sleep(time.Second) // until it holds the daemon
	_, err = work()
	if e := cmd.Process.Signal(syscall.SIGINT); err == nil {
		err = e
	}
	_ = cmd.Wait() // a signal ended it
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	return changes(text), nil
}

// changes finds the changing calls of the upgrader, and of the programs it started, in strace's log.
func changes(log []byte) []string {
	ours, begun := map[string]bool{}, map[string]string{}
	var found []string
	for lines := bufio.NewScanner(bytes.NewReader(log)); lines.Scan(); {
		line := lines.Text()
		// A call that others come between stands on two lines.
		if m := unfinished.FindStringSubmatch(line); m != nil {
			begun[m[1]] = m[2]
			continue
		}
		if m := resumed.FindStringSubmatch(line); m != nil {
			line = m[1] + " " + begun[m[1]] + m[2]
		}
		m := traced.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		pid, call, arguments, result := m[1], m[2], m[3], m[4]
		switch {
		case strings.HasPrefix(result, "-"):
		case call == "execve":
			ours[pid] = ours[pid] || upgrader.MatchString(arguments)
		case !ours[pid]:
		case call == "clone" || call == "clone3" || call == "fork" || call == "vfork":
			ours[result] = true
		case call == "openat" && (forReading.MatchString(arguments) || !strings.Contains(arguments, "O_")):
		default:
			found = append(found, call+"("+arguments+")")
		}
	}
	return found
}

// provision measures how a server comes to be: from `pulumi up` to the first login.
func (b *bench) provision(ctx context.Context) (err error) {
	other := b.stage.Beside(2)
	if err := other.Up(ctx); err != nil {
		return err
	}
	defer func() {
		if r := other.Localcloud(context.WithoutCancel(ctx), "down"); r.Code != 0 && err == nil {
			err = fmt.Errorf("%s", r)
		}
	}()
	load, err := loadNow()
	if err != nil {
		return err
	}
	began := time.Now()
	up := other.Localcloud(ctx, "pulumi", "up", "--stack", "dev")
	if up.Code != 0 {
		return fmt.Errorf("%s", up)
	}
	var o stage.Outputs
	if r := other.Localcloud(ctx, "pulumi", "outputs", "--stack", "dev", "--json"); r.Code != 0 {
		return fmt.Errorf("%s", r)
	} else if err := json.Unmarshal([]byte(r.Stdout), &o); err != nil {
		return err
	}
	s, err := other.Server(o, nil)
	if err != nil {
		return err
	}
	all := []timed{{What: "pulumi up", Took: up.Took, Commit: b.commit, Load: load}}
	r := s.Upgrade(ctx, "apply", "--json", "--yes", "--watch", "2s", "--to", stage.After)
	if r.Code != 0 {
		return fmt.Errorf("%s", r)
	}
	var report stage.Report
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
		return err
	}
	var phases time.Duration
	for _, p := range report.Phases {
		phases += p.Took
	}
	first, err := host(ctx, s, `cloud-init analyze blame | sed -n 's/^ *0*\([0-9][0-9]*\.[0-9]\)[0-9]*s (\(.*\))$/\1 s \2/p' | head -3`)
	if err != nil {
		return err
	}
	all = append(all, timed{What: "first boot, until the upgrader may begin", Took: r.Took - phases, Note: strings.Join(lines(first), ", "), Commit: b.commit})
	for _, p := range report.Phases {
		if p.Took > 50*time.Millisecond {
			all = append(all, timed{What: "apply: " + p.Title, Took: p.Took, Commit: b.commit})
		}
	}
	login, err := stopwatch(func() error {
		_, err := community.Fill(ctx, s.Client(), nil)
		return err
	})
	if err != nil {
		return err
	}
	all = append(all, timed{What: "first account, first login, first posts", Took: login, Commit: b.commit},
		timed{What: "all of it", Took: time.Since(began), Commit: b.commit})
	b.found.Provision = all
	return b.found.save()
}
