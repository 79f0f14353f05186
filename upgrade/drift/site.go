package drift

import (
	"context"
	"fmt"
	"net/url"
	"os"

	"townsquare/upgrade/host"
	"townsquare/upgrade/state"
)

// formerDir has a file for each name that the server had before. The Caddyfile imports them.
const formerDir = "/etc/caddy/former/"

// Site is a change of the server's address.
type Site struct{ From, To string }

// compareSite compares the address that Mattermost is started with with the stack's. Until the new name
// has its certificate, the former one serves as before; then it leads to the new one.
func (c *Comparison) compareSite(address string) error {
	now, err := host.SiteURL(c.host.Root)
	if err != nil || now == "" || address == "" || now == address {
		return err
	}
	from, err := url.Parse(now)
	if err != nil {
		return err
	}
	to, err := url.Parse(address)
	if err != nil {
		return err
	}
	d := Difference{Kind: KindSite, Name: "the address " + now, Found: "is still in use: the stack says " + address}
	if want := c.file(caddyFile); want != nil && !c.writes(caddyFile) {
		have, err := os.ReadFile(c.host.path(caddyFile))
		if err != nil {
			return err
		}
		if string(have) != want.Content {
			d.Left, d.Hint = caddyFile+" was edited by hand", "upgrade repair …"
			d.Risk = "users do not reach the new address"
			c.add(d)
			return nil
		}
	}
	c.add(d)
	c.site = &Site{From: now, To: address}
	c.files = append(c.files, former(from.Hostname(), "import townsquare"))
	if _, err := os.Stat(c.host.path(formerFile(to.Hostname()))); err == nil {
		c.files = append(c.files, state.File{Path: formerFile(to.Hostname()), Owner: "root", Mode: "0644", Content: "# " + to.Hostname() + " is this server's name again.\n"})
	}
	return nil
}

func formerFile(name string) string { return formerDir + name + ".caddy" }

func former(name, directive string) state.File {
	return state.File{Path: formerFile(name), Owner: "root", Mode: "0644",
		Content: fmt.Sprintf("# Written by upgrade: a name that this server had before.\n%s {\n\t%s\n}\n", name, directive)}
}

// Site returns the change of the address that a repair makes; nil where there is none.
func (c *Comparison) Site() *Site { return c.site }

// Redirect has the former name lead to the new one, once Mattermost is there. 307: a browser must not
// remember it for ever, as the name may be used again.
func (c *Comparison) Redirect(ctx context.Context) error {
	from, err := url.Parse(c.site.From)
	if err != nil {
		return err
	}
	f := former(from.Hostname(), "redir "+c.site.To+"{uri} 307")
	if err := put(c.host.path(f.Path), []byte(f.Content), f.ModeBits(), uint32(os.Getuid()), uint32(os.Getgid())); err != nil {
		return err
	}
	_, err = c.host.ask(ctx, "systemctl", "reload", "caddy.service")
	return err
}
