package drift

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"townsquare/upgrade/host"
)

const (
	firewallFile = "/etc/nftables.conf"
	firewallMore = "/etc/nftables.d"
	sshFile      = "/etc/ssh/sshd_config.d/10-townsquare.conf"
	sysctlFile   = "/etc/sysctl.d/60-townsquare.conf"
)

// ownTables are the upgrader's, which come and go.
var ownTables = []string{"table inet townsquare_gate {", "table inet townsquare_door {"}

// ownRules is what first boot's unit for DigitalOcean's agent writes.
const ownRules = "do-agent.nft"

// compareFirewall compares the rules that the kernel has with those that the stack's file makes: loaded
// into a network namespace where nobody is, and read back by the same program, so that both are
// written alike.
func (c *Comparison) compareFirewall(ctx context.Context) error {
	want := c.compared(firewallFile)
	if want == nil {
		return nil
	}
	if slices.Contains(c.packages, "nftables") {
		return nil // that is said already, and what is not there has no rules
	}
	out, err := c.host.Run(ctx, host.Command{Name: "unshare", Args: []string{"--net", "--", "sh", "-c", "nft --file - && nft list ruleset"},
		Stdin: strings.NewReader(want.Content), Env: []string{"LC_ALL=C.UTF-8"}})
	if err != nil {
		return err
	}
	should := tables(string(out))
	live, err := c.host.ask(ctx, "nft", "list", "ruleset")
	if err != nil {
		return err
	}
	is := tables(live)
	for _, t := range should {
		now := t.in(is)
		if now == t.text {
			continue
		}
		d := Difference{Kind: KindFirewall, Name: "the firewall", Found: "is off: " + t.title() + " is missing"}
		if now != "" {
			if d.Lines, err = c.host.diff(ctx, now, t.text); err != nil {
				return err
			}
			d.Found = "has other rules, in " + changes(d.Lines) + " of " + t.title()
		}
		c.add(d)
		c.firewall = true
	}
	for _, t := range is {
		if t.in(should) == "" && !slices.Contains(ownTables, t.head) {
			c.add(Difference{Kind: KindFirewall, Name: "the firewall", Found: "has one more table: " + t.title(),
				Left: "what it is for only you know", Hint: "sudo nft delete " + t.title()})
		}
	}
	more, err := filepath.Glob(c.host.path(firewallMore + "/*.nft"))
	if err != nil {
		return err
	}
	for _, path := range more {
		if name := filepath.Base(path); name != ownRules {
			path := filepath.Join(firewallMore, name)
			c.add(Difference{Kind: KindFirewall, Name: path, Found: "was added to the firewall",
				Left: "what it is for only you know", Hint: "sudo rm " + path + " && sudo systemctl reload nftables"})
		}
	}
	return nil
}

type table struct{ head, text string }

func (t table) title() string { return strings.TrimSuffix(t.head, " {") }

func (t table) in(all []table) string {
	for _, one := range all {
		if one.head == t.head {
			return one.text
		}
	}
	return ""
}

// tables takes a list of rules apart.
func tables(ruleset string) (all []table) {
	for line := range strings.Lines(ruleset) {
		if strings.HasPrefix(line, "table ") {
			all = append(all, table{head: strings.TrimSpace(line)})
		}
		if n := len(all); n > 0 {
			all[n-1].text += line
		}
	}
	return all
}

// compareSSH asks sshd by which settings it would let people in: another file may come before ours.
func (c *Comparison) compareSSH(ctx context.Context) error {
	want := c.compared(sshFile)
	if want == nil || c.writes(sshFile) { // that is said already
		return nil
	}
	var wrong []string
	for _, user := range []string{c.want.User, "root"} {
		out, err := c.host.ask(ctx, "/usr/sbin/sshd", "-T", "-C", "user="+user+",host=localhost,addr=127.0.0.1")
		var exit *host.ExitError
		if errors.As(err, &exit) {
			c.add(Difference{Kind: KindSSH, Name: "sshd", Found: "does not understand its settings: " + strings.TrimSpace(exit.Stderr),
				Left: "its other files are yours", Risk: "it cannot start again", Hint: "sudo sshd -t"})
			return nil
		}
		if err != nil {
			return err
		}
		has := map[string][]string{}
		for line := range strings.Lines(out) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			has[strings.ToLower(key)] = append(has[strings.ToLower(key)], value)
		}
		for line := range strings.Lines(want.Content) {
			key, value, ok := strings.Cut(strings.TrimSpace(line), " ")
			if !ok || strings.HasPrefix(line, "#") || slices.Contains(has[strings.ToLower(key)], value) || slices.Contains(wrong, key) {
				continue
			}
			wrong = append(wrong, key)
			c.add(Difference{Kind: KindSSH, Name: "sshd's setting " + key, Found: "is " + strings.Join(has[strings.ToLower(key)], " ") + ", not " + value,
				Left: "set in an unmanaged file", Risk: sshRisk(key), Hint: "sudo grep -rin '^ *" + key + "' /etc/ssh/sshd_config /etc/ssh/sshd_config.d"})
		}
	}
	return nil
}

// sshRisk returns what a weaker setting of sshd admits.
func sshRisk(key string) string {
	switch strings.ToLower(key) {
	case "permitrootlogin":
		return "root can log in over SSH"
	case "passwordauthentication", "kbdinteractiveauthentication":
		return "passwords can be guessed over SSH"
	}
	return "SSH is less protected than the stack's settings make it"
}

// compareKernel looks at the settings that are in force. A container's kernel is its host's.
func (c *Comparison) compareKernel(ctx context.Context) error {
	want := c.compared(sysctlFile)
	if want == nil {
		return nil
	}
	if _, err := c.host.ask(ctx, "systemd-detect-virt", "--quiet", "--container"); err == nil {
		return nil
	}
	for line := range strings.Lines(want.Content) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		has, err := os.ReadFile(c.host.path("/proc/sys/" + strings.ReplaceAll(key, ".", "/")))
		if err != nil {
			return err
		}
		if now := strings.TrimSpace(string(has)); now != value {
			c.add(Difference{Kind: KindKernel, Name: "the kernel's setting " + key, Found: "is " + now + ", not " + value})
			c.kernel = true
		}
	}
	return nil
}
