package drift

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
)

const unitDir = "/etc/systemd/system/"

// order is one thing to tell systemd.
type order struct {
	verb []string
	unit string
}

type unitFacts struct {
	name, load, file, active string
	unmet                    bool // a condition of it does not hold on this host, such as that it is no container
	paths                    []string
}

// compareUnits asks systemd whether they are on, and what else says how they run.
func (c *Comparison) compareUnits(ctx context.Context) error {
	names := slices.Concat(c.look.Enabled, c.look.Disabled, c.look.Masked)
	if len(names) == 0 {
		return nil
	}
	out, err := c.host.ask(ctx, "systemctl", append([]string{"show", "--property=Id,LoadState,UnitFileState,ActiveState,ConditionResult,ConditionTimestampMonotonic,FragmentPath,DropInPaths"}, names...)...)
	if err != nil {
		return err
	}
	blocks := strings.Split(strings.TrimSpace(out), "\n\n") // one for each, in their order
	if len(blocks) != len(names) {
		return fmt.Errorf("systemd was asked of %d units and told of %d", len(names), len(blocks))
	}
	for i, name := range names {
		u := readUnit(name, blocks[i])
		switch {
		case i < len(c.look.Enabled):
			c.enabled(u)
		case i < len(c.look.Enabled)+len(c.look.Disabled):
			c.disabled(u)
		default:
			c.masked(u)
			continue // its file is the mask
		}
		for _, path := range u.paths {
			if strings.HasPrefix(path, unitDir) && c.file(path) == nil {
				c.add(Difference{Kind: KindUnit, Name: path, Found: "was added, and changes how " + name + " runs",
					Left: "what it is for only you know", Hint: "sudo rm " + path + " && sudo systemctl daemon-reload"})
			}
		}
	}
	return nil
}

func readUnit(name, block string) unitFacts {
	u := unitFacts{name: name}
	tried := false
	for line := range strings.Lines(block) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "LoadState":
			u.load = value
		case "UnitFileState":
			u.file = value
		case "ActiveState":
			u.active = value
		case "ConditionResult":
			u.unmet = value == "no"
		case "ConditionTimestampMonotonic":
			tried = value != "0"
		case "FragmentPath":
			u.paths = append(u.paths, value)
		case "DropInPaths":
			u.paths = append(u.paths, strings.Fields(value)...)
		}
	}
	u.unmet = u.unmet && tried
	return u
}

func (c *Comparison) enabled(u unitFacts) {
	note := func(found string, orders ...string) {
		c.add(Difference{Kind: KindUnit, Name: u.name, Found: found})
		for _, verb := range orders {
			c.units = append(c.units, order{strings.Fields(verb), u.name})
		}
	}
	runs := u.active == "active" || u.active == "activating" || u.active == "reloading" || u.unmet || u.name == service+".service" && !c.host.installed()
	start := []string{"start"}
	if runs {
		start = nil
	}
	switch {
	case u.load == "masked" || u.file == "masked" || u.file == "masked-runtime":
		if u.name != service+".service" || c.host.installed() { // unmasked, it starts as before
			start = []string{"start"}
		}
		note("is masked: nothing can start it", append([]string{"unmask", "unmask --runtime", "enable"}, start...)...)
	case u.load == "not-found":
		note("is missing", append([]string{"enable"}, start...)...)
	case u.file != "enabled" && runs:
		note("would not start with the host", "enable")
	case u.file != "enabled":
		note("is switched off", append([]string{"enable"}, start...)...)
	case u.active == "failed":
		note("has failed", "reset-failed", "start")
	case !runs:
		note("does not run", start...)
	}
}

// installed reports whether there is a Mattermost that its unit can start.
func (h Host) installed() bool {
	_, err := os.Stat(h.path("/opt/mattermost/bin/mattermost"))
	return err == nil
}

// compareClusters asks systemd about the database servers whose settings are the stack's:
// postgresql.service is active as soon as it was started once, whatever became of its clusters.
func (c *Comparison) compareClusters(ctx context.Context) error {
	var names []string
	for _, f := range c.look.Files {
		if name := clusterOf(f.Path); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		out, err := c.host.ask(ctx, "systemctl", "show", "--property=ActiveState", "--value", name)
		if err != nil {
			return err
		}
		switch active := strings.TrimSpace(out); active {
		case "failed", "inactive":
			found, verbs := "does not run", []string{"start"}
			if active == "failed" {
				found, verbs = "has failed", []string{"reset-failed", "start"}
			}
			c.add(Difference{Kind: KindUnit, Name: name, Found: found})
			for _, verb := range verbs {
				c.units = append(c.units, order{[]string{verb}, name})
			}
		}
	}
	return nil
}

func (c *Comparison) disabled(u unitFacts) {
	if u.load == "not-found" || u.load == "masked" || u.file != "enabled" && u.active != "active" {
		return
	}
	c.add(Difference{Kind: KindUnit, Name: u.name, Found: "is switched on, and would change the system by itself"})
	c.units = append(c.units, order{[]string{"disable", "--now"}, u.name})
}

func (c *Comparison) masked(u unitFacts) {
	if u.load == "masked" || u.load == "not-found" {
		return
	}
	c.add(Difference{Kind: KindUnit, Name: u.name, Found: "can be started, and would change the system by itself"})
	c.units = append(c.units, order{[]string{"mask"}, u.name})
}

// Units tells systemd which are on.
func (c *Comparison) Units(ctx context.Context) error {
	for _, o := range c.units {
		if _, err := c.host.ask(ctx, "systemctl", append(slices.Clone(o.verb), o.unit)...); err != nil {
			return fmt.Errorf("%s %s: %w", strings.Join(o.verb, " "), o.unit, err)
		}
	}
	return c.switchOwn(ctx)
}
