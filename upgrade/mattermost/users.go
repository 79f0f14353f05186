package mattermost

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"townsquare/upgrade/host"
	"townsquare/upgrade/problem"
)

// ownUnits begins the names of this program's units, such as that of a rehearsal's server.
const ownUnits = "townsquare-"

// runs reports whether the unit starts something in the install directory, which is dir without links:
// the server, or a script in front of it. A command that is run now and then is another matter.
func (u *Unit) runs(link, dir string) bool {
	if tree := u.tree(); tree != "" {
		return tree == link || sameFile(tree, dir)
	}
	return len(u.Args) > 0 && u.Type != "oneshot" && strings.HasPrefix(u.Args[0], link+"/") && filepath.Base(u.Args[0]) != "mmctl"
}

// serverUnits are the services, running or not, that start a server of Mattermost's, or a program in a
// directory of that name.
func serverUnits(ctx context.Context, run Runner) ([]*Unit, error) {
	files, err := run(ctx, host.Command{Name: "systemctl", Args: []string{"list-unit-files", "--type=service", "--no-legend", "--plain", "--no-pager"}})
	if err != nil {
		return nil, fmt.Errorf("look for units: %w", err)
	}
	// The pattern is for those that are loaded and have no file of their own, such as instances.
	args := []string{"show", "--type=service", "--all", "--property=Id,LoadState,User,Type,ActiveState,FragmentPath,ExecStart,WorkingDirectory", "*.service"}
	for line := range strings.Lines(string(files)) {
		if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasSuffix(name, ".service") && !strings.HasSuffix(name, "@.service") {
			args = append(args, name)
		}
	}
	out, err := run(ctx, host.Command{Name: "systemctl", Args: args})
	if err != nil {
		return nil, fmt.Errorf("look for units: %w", err)
	}
	var units []*Unit
	for _, block := range strings.Split(string(out), "\n\n") {
		u := unitOf(properties(block), "")
		known := slices.ContainsFunc(units, func(o *Unit) bool { return o.Name == u.Name })
		if strings.HasSuffix(u.Name, ".service") && !strings.HasPrefix(u.Name, ownUnits) && len(u.Args) > 0 && !known {
			units = append(units, u)
		}
	}
	slices.SortFunc(units, func(a, b *Unit) int { return strings.Compare(a.Name, b.Name) })
	return units, nil
}

// Others names everything but the Claim's own service that runs, or would start, a server from its
// install directory, which link leads to: an upgrade would exchange the program under it, and its next
// start would migrate a database of which nothing was kept.
func (c Claim) Others(ctx context.Context, link string) (problem.List, error) {
	run, proc := c.Run, cmp.Or(c.Proc, procDir)
	if run == nil {
		run = host.Run
	}
	units, err := serverUnits(ctx, run)
	if err != nil {
		return nil, err
	}
	servers, err := proc.Servers(c.Dir)
	if err != nil {
		return nil, err
	}
	var found problem.List
	program := filepath.Join(link, "bin", "mattermost")
	add := func(where, what, hint string) {
		found = append(found, problem.Problem{Where: where, Found: what + " " + program, Allowed: c.Unit.Name + " alone on that program", Hint: hint})
	}
	var named []string
	for _, u := range units {
		if u.Name == c.Unit.Name || !u.runs(link, c.Dir) {
			continue
		}
		named = append(named, u.Name)
		if u.live {
			add(u.Name, "it is running and starts", "systemctl cat "+u.Name+"    # it needs a program of its own, such as a copy in /opt/"+strings.TrimSuffix(u.Name, ".service"))
			continue
		}
		hint := "systemctl cat " + u.Name
		if u.file != "" && !strings.Contains(u.Name, "@") {
			hint = fmt.Sprintf("sudo systemctl disable %s && sudo mv %s %s.off && sudo systemctl daemon-reload", u.Name, u.file, u.file)
		}
		add(u.Name, "it is stopped, and would start", hint)
	}
	for _, p := range servers {
		if p.Unit != c.Unit.Name && !slices.Contains(named, p.Unit) && !strings.HasPrefix(p.Unit, ownUnits) {
			add(p.String(), "it runs", fmt.Sprintf("ps -fp %d", p.PID))
		}
	}
	return found, nil
}
