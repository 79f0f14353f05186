package base

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// HostPackage is a Debian package that a local cloud needs on this computer.
// It is present if Program is on PATH or File exists.
type HostPackage struct {
	Name    string
	Program string
	File    string
	Why     string
}

// HostPackages lists what this computer needs.
func HostPackages() []HostPackage { return append([]HostPackage(nil), hostPackages...) }

// Missing returns the packages that are not there.
func Missing() []HostPackage {
	var missing []HostPackage
	for _, p := range hostPackages {
		if p.Program != "" {
			if _, err := lookProgram(p.Program); err == nil {
				continue
			}
		} else if _, err := os.Stat(p.File); err == nil {
			continue
		}
		missing = append(missing, p)
	}
	return missing
}

// lookProgram also looks where root's programs are: a PATH handed down by su
// or cron may lack sbin.
func lookProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if info, statErr := os.Stat(dir + name); statErr == nil && info.Mode()&0o111 != 0 {
			return dir + name, nil
		}
	}
	return "", err
}

// MissingError says which packages are missing and what installs them.
type MissingError struct{ Packages []HostPackage }

func (e *MissingError) Error() string {
	var b strings.Builder
	b.WriteString("this computer lacks what a local cloud needs:\n")
	names := make([]string, 0, len(e.Packages))
	for _, p := range e.Packages {
		fmt.Fprintf(&b, "  %-24s %s\n", p.Name, p.Why)
		names = append(names, p.Name)
	}
	fmt.Fprintf(&b, "install it: apt-get install --no-install-recommends -y %s", strings.Join(names, " "))
	return b.String()
}

// CheckHost returns a *MissingError if packages are missing, and an error if
// the caller is not root.
func CheckHost() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("a local cloud needs root: it boots machines (try: sudo -E)")
	}
	if missing := Missing(); len(missing) > 0 {
		return &MissingError{Packages: missing}
	}
	return nil
}
