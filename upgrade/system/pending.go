package system

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"townsquare/upgrade/host"
	"townsquare/upgrade/state"
)

// Package is one package that apt would install.
type Package struct {
	state.Package
	Arch     string `json:"arch"`
	Origin   string `json:"origin"`         // archives that have it, as apt names them
	Download int64  `json:"download_bytes"` // of its archive
	Unpacked int64  `json:"unpacked_bytes"` // of its files, as the package says
}

// Pending is what apt would do.
type Pending struct {
	Packages []Package `json:"packages,omitempty"`
	Remove   []string  `json:"remove,omitempty"` // what would go: never done
	Held     []string  `json:"held,omitempty"`   // held by a person, though there is something newer
	// Interrupted is what dpkg says of packages that were left half done; then Packages may be
	// unknown until that is repaired.
	Interrupted string `json:"interrupted,omitempty"`
}

// Security counts the packages that close a hole.
func (p Pending) Security() (n int) {
	for _, one := range p.Packages {
		if one.Security {
			n++
		}
	}
	return n
}

// Bytes adds up what is downloaded and what is unpacked.
func (p Pending) Bytes() (download, unpacked int64) {
	for _, one := range p.Packages {
		download += one.Download
		unpacked += one.Unpacked
	}
	return download, unpacked
}

// Changes are the packages as the record keeps them.
func (p Pending) Changes() []state.Package {
	all := make([]state.Package, len(p.Packages))
	for i, one := range p.Packages {
		all[i] = one.Package
	}
	return all
}

// Pending asks apt what it would do, from the lists as they are; it changes nothing. With
// securityOnly it is the newest of each package that the security archive has.
func (s System) Pending(ctx context.Context, securityOnly bool) (Pending, error) {
	var p Pending
	var err error
	if p.Interrupted, err = s.interrupted(ctx); err != nil {
		return p, err
	}
	words, err := s.upgrade(ctx, securityOnly)
	if err == nil && words != nil {
		p.Packages, p.Remove, err = s.simulate(ctx, words...)
	}
	if err == nil {
		p.Held, err = s.held(ctx)
	}
	if err != nil && p.Interrupted != "" { // apt answers nothing before that is repaired
		return Pending{Interrupted: p.Interrupted}, nil
	}
	if err != nil {
		return p, fmt.Errorf("ask apt what is pending: %w", err)
	}
	return p, s.measure(ctx, p.Packages)
}

// upgrade are apt-get's words for what is to be done; nil when nothing is. For security alone every
// version is named: apt knows no such upgrade.
func (s System) upgrade(ctx context.Context, securityOnly bool) ([]string, error) {
	if !securityOnly {
		return []string{"dist-upgrade"}, nil
	}
	suite, err := s.securitySuite()
	if err != nil {
		return nil, err
	}
	found, _, err := s.simulate(ctx, "--target-release", suite, "dist-upgrade")
	if err != nil {
		return nil, err
	}
	words := []string{"install"}
	for _, one := range found {
		if one.Security && one.From != "" {
			words = append(words, one.full())
		}
	}
	if len(words) == 1 {
		return nil, nil
	}
	return words, nil
}

// full names a package and its version to apt.
func (p Package) full() string { return p.Name + "=" + p.To }

func (s System) securitySuite() (string, error) {
	data, err := os.ReadFile(s.path("/etc/os-release"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(name, `"`) + "-security", nil
		}
	}
	return "", errors.New("/etc/os-release has no VERSION_CODENAME: what the security archive is called here cannot be known")
}

func (s System) simulate(ctx context.Context, words ...string) ([]Package, []string, error) {
	out, err := s.ask(ctx, "apt-get", append([]string{"--simulate", "--quiet"}, words...)...)
	if err != nil {
		return nil, nil, err
	}
	packages, remove := readSimulation(out)
	return packages, remove, nil
}

// The lines of a simulation (apt-get(8), --simulate):
//
//	Inst openssl [3.5.7-1~deb13u2] (3.5.7-1~deb13u3 Debian-Security:13/stable-security [amd64])
//	Remv apache2 [2.4.62-1]
var (
	instLine = regexp.MustCompile(`^Inst (\S+)(?: \[([^\]]+)\])? \((\S+)(?: (.*?))? \[([^\]]+)\]\)`)
	remvLine = regexp.MustCompile(`^Remv (\S+)`)
)

func readSimulation(out string) (packages []Package, remove []string) {
	for line := range strings.Lines(out) {
		if m := instLine.FindStringSubmatch(line); m != nil {
			packages = append(packages, Package{
				Package: state.Package{Name: m[1], From: m[2], To: m[3], Security: fromSecurity(m[4])},
				Origin:  m[4], Arch: m[5],
			})
		} else if m := remvLine.FindStringSubmatch(line); m != nil {
			remove = append(remove, m[1])
		}
	}
	return packages, remove
}

// fromSecurity: Debian's security archive is labelled Debian-Security and its suites end with
// -security; one of several origins is enough.
func fromSecurity(origin string) bool { return strings.Contains(strings.ToLower(origin), "-security") }

// held lists the packages that a person holds back although there is something newer.
func (s System) held(ctx context.Context) ([]string, error) {
	out, err := s.ask(ctx, "apt-mark", "showhold")
	if err != nil {
		return nil, err
	}
	holds := strings.Fields(out)
	if len(holds) == 0 {
		return nil, nil
	}
	all, _, err := s.simulate(ctx, "--ignore-hold", "dist-upgrade")
	if err != nil {
		return nil, err
	}
	var held []string
	for _, one := range all {
		if slices.Contains(holds, one.Name) {
			held = append(held, one.Name)
		}
	}
	return held, nil
}

// interrupted says what dpkg left half done; empty when nothing is.
func (s System) interrupted(ctx context.Context) (string, error) {
	out, err := s.ask(ctx, "dpkg", "--audit")
	var exit *host.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	if text := strings.TrimSpace(out); text != "" {
		return text, nil
	}
	left, err := filepath.Glob(s.path("/var/lib/dpkg/updates/[0-9]*")) // what dpkg had not yet written to its status file
	if err == nil && len(left) > 0 {
		return "dpkg was interrupted", nil
	}
	return "", err
}

// measure asks for the sizes of packages, all at once.
func (s System) measure(ctx context.Context, packages []Package) error {
	if len(packages) == 0 {
		return nil
	}
	args := []string{"show", "--no-all-versions"}
	for _, one := range packages {
		args = append(args, one.full())
	}
	out, err := s.ask(ctx, "apt-cache", args...)
	if err != nil {
		return fmt.Errorf("ask apt for sizes: %w", err)
	}
	type size struct{ download, unpacked int64 }
	sizes := map[string]size{}
	for _, stanza := range strings.Split(out, "\n\n") {
		fields := map[string]string{}
		for line := range strings.Lines(stanza) {
			if key, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, " ") {
				fields[key] = strings.TrimSpace(value)
			}
		}
		var one size
		one.download, _ = strconv.ParseInt(fields["Size"], 10, 64)
		one.unpacked, _ = strconv.ParseInt(fields["Installed-Size"], 10, 64) // in KiB: deb-control(5)
		one.unpacked <<= 10
		sizes[fields["Package"]+"="+fields["Version"]] = one
	}
	for i, one := range packages {
		name, _, _ := strings.Cut(one.Name, ":")
		found := sizes[name+"="+one.To]
		packages[i].Download, packages[i].Unpacked = found.download, found.unpacked
	}
	return nil
}
