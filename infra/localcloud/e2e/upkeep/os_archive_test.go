//go:build machine

package upkeep

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/stage"
)

// deb is a Debian package made for a test.
type deb struct {
	name, version string
	fields        string            // more lines of its control file
	files         map[string]string // in it, by path; a line each
	conffiles     []string          // those of them that belong to the administrator
	postinst      string            // script
}

// archive is an archive on the host itself, in the place of Debian's: apt asks nobody else, so that
// what is pending is what the test says. It calls itself Debian's security archive.
type archive struct {
	t testing.TB
	s *stage.Server
}

func newArchive(t testing.TB, s *stage.Server) archive {
	t.Helper()
	s.Exec(t, `mkdir -p /srv/archive /root/sources && mv /etc/apt/sources.list.d/* /root/sources/
echo 'deb [trusted=yes] file:/srv/archive ./' >/etc/apt/sources.list.d/test.list`)
	a := archive{t, s}
	a.publish()
	return a
}

// build makes the packages in /root and returns their files.
func (a archive) build(packages ...deb) string {
	a.t.Helper()
	var script, built strings.Builder
	for _, d := range packages {
		dir := "/root/build/" + d.name
		fmt.Fprintf(&script, "rm -rf %[1]s; mkdir -p %[1]s/DEBIAN\n", dir)
		fmt.Fprintf(&script, "cat >%s/DEBIAN/control <<'END'\nPackage: %s\nVersion: %s\nArchitecture: all\nMaintainer: Tests <tests@townsquare.test>\nDescription: made for a test\n%sEND\n", dir, d.name, d.version, d.fields)
		for path, text := range d.files {
			fmt.Fprintf(&script, "install -D /dev/null %[1]s%[2]s; cat >%[1]s%[2]s <<'END'\n%[3]s\nEND\n", dir, path, text)
		}
		if len(d.conffiles) > 0 {
			fmt.Fprintf(&script, "printf '%%s\\n' %s >%s/DEBIAN/conffiles\n", strings.Join(d.conffiles, " "), dir)
		}
		if d.postinst != "" {
			fmt.Fprintf(&script, "cat >%[1]s/DEBIAN/postinst <<'END'\n#!/bin/sh\n%[2]s\nEND\nchmod 755 %[1]s/DEBIAN/postinst\n", dir, d.postinst)
		}
		file := fmt.Sprintf("/root/%s_%s.deb", d.name, d.version)
		fmt.Fprintf(&script, "dpkg-deb -Znone --root-owner-group --build %s %s >/dev/null\n", dir, file)
		built.WriteString(" " + file)
	}
	a.s.Exec(a.t, script.String())
	return built.String()
}

// installed makes packages that the host has.
func (a archive) installed(packages ...deb) {
	a.t.Helper()
	a.s.Exec(a.t, "DEBIAN_FRONTEND=noninteractive dpkg --install"+a.build(packages...)+" >/dev/null")
}

// publish makes packages that the archive has.
func (a archive) publish(packages ...deb) {
	a.t.Helper()
	if len(packages) > 0 {
		a.s.Exec(a.t, "mv"+a.build(packages...)+" /srv/archive/")
	}
	a.index()
}

// index tells apt what lies in the archive.
func (a archive) index() {
	a.t.Helper()
	a.s.Exec(a.t, indexed("/srv/archive", "Debian-Security", "stable-security", "trixie-security"))
}

// indexed is a script that makes dir an archive of its packages, which calls itself one of Debian's.
func indexed(dir, label, suite, codename string) string {
	return fmt.Sprintf(`cd %[1]s
for file in *.deb; do
	[ -e "$file" ] || continue
	dpkg-deb --field "$file"
	printf 'Filename: ./%%s\nSize: %%s\nSHA256: %%s\n\n' "$file" "$(stat -c %%s "$file")" "$(sha256sum "$file" | cut -d' ' -f1)"
done >Packages
printf 'Origin: Debian\nLabel: %[2]s\nSuite: %[3]s\nCodename: %[4]s\nDate: %%s\nSHA256:\n %%s %%s Packages\n' \
	"$(date -Ru)" "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %%s Packages)" >Release
`, dir, label, suite, codename)
}

// withdraw takes packages out of the archive.
func (a archive) withdraw(names ...string) {
	a.t.Helper()
	for _, name := range names {
		a.s.Exec(a.t, "rm /srv/archive/"+name+"_*.deb")
	}
	a.index()
}

// systemReport is what `upgrade os apply --json` prints.
type systemReport struct {
	ID        string        `json:"id"`
	To        string        `json:"to"`
	Outcome   string        `json:"outcome"`
	Error     string        `json:"error"`
	Why       string        `json:"why"`
	Downtime  time.Duration `json:"downtime_ns"`
	UpToDate  bool          `json:"up_to_date"`
	Restarted []string      `json:"restarted"`
	Rebooted  string        `json:"rebooted"`
	Warnings  []string      `json:"warnings"`
	Packages  []struct {
		Name     string `json:"name"`
		To       string `json:"to"`
		Security bool   `json:"security"`
	} `json:"packages"`
	Problems []struct {
		Where string `json:"where"`
		Found string `json:"found"`
	} `json:"problems"`
	Reboot struct {
		Why []string `json:"why"`
	} `json:"reboot"`
}

// systemPlan is what `upgrade os check --json` prints.
type systemPlan struct {
	Error  string `json:"error"`
	System struct {
		Packages []struct {
			Name     string `json:"name"`
			Security bool   `json:"security"`
			Download int64  `json:"download_bytes"`
		} `json:"packages"`
		Restart     []string `json:"restart"`
		Held        []string `json:"held"`
		Interrupted string   `json:"interrupted"`
		Later       string   `json:"later"`
		Reboot      struct {
			Why   []string  `json:"why"`
			Since time.Time `json:"since"`
		} `json:"reboot"`
	} `json:"system"`
}

// osApply brings the system up to date and wants one of the exit codes (none: 0).
func osApply(t testing.TB, s *stage.Server, codes []int, words ...string) systemReport {
	t.Helper()
	r := s.Upgrade(t.Context(), append([]string{"os", "apply", "--json", "--yes"}, words...)...)
	r.Must(t, codes...)
	var got systemReport
	r.Into(t, &got)
	t.Logf("os apply: exit code %d, %s, %d packages, restarted %v, down %v, %v in all", r.Code, got.Outcome,
		len(got.Packages), got.Restarted, got.Downtime.Round(time.Millisecond), r.Took.Round(100*time.Millisecond))
	return got
}

// osCheck wants one of the exit codes (none: 0).
func osCheck(t testing.TB, s *stage.Server, codes ...int) systemPlan {
	t.Helper()
	r := s.Upgrade(t.Context(), "os", "check", "--json")
	r.Must(t, codes...)
	var got systemPlan
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil {
		t.Fatalf("%v\n%s", err, r)
	}
	return got
}

// mainPID tells one life of the service from the next.
func mainPID(t testing.TB, s *stage.Server) string {
	t.Helper()
	return s.Exec(t, "systemctl show --value -p MainPID mattermost")
}

// clean wants nothing of a run to be left on the host: dpkg whole, restarts allowed, doors open.
func clean(t testing.TB, s *stage.Server) {
	t.Helper()
	left := s.Exec(t, `dpkg --audit
ls /usr/sbin/policy-rc.d /run/townsquare/held-back 2>/dev/null || true
nft list tables | grep -E 'townsquare_(door|gate)' || true`)
	if left != "" {
		t.Errorf("left on the host:\n%s", left)
	}
	if run := s.Record(t).Run; run != nil {
		t.Errorf("left in the record: %v", run)
	}
}
