// Demo is the people of `make demo`: it fills the new server over its public address, watches it
// from outside while it is upgraded, and reads everything back.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"townsquare/infra/localcloud/community"
)

// visitEvery is how often the visitor asks: often enough that a gap of half a second shows.
const visitEvery = 20 * time.Millisecond

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	return 0
}

func command() *cobra.Command {
	root := &cobra.Command{Use: "demo", Short: "The people of the demo", SilenceUsage: true, SilenceErrors: true}
	var url, file string
	add := func(use, short string, work func(context.Context) error) {
		c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			return work(c.Context())
		}}
		c.Flags().StringVar(&url, "url", "", "public address of the server, such as https://chat.example.org")
		c.Flags().StringVar(&file, "file", "", "where the record or the visits are kept (mode 0600)")
		root.AddCommand(c)
	}
	add("fill", "Make an administrator, people, a team, channels, posts, files, an emoji", func(ctx context.Context) error {
		return fill(ctx, url, file)
	})
	add("check", "Read everything back that fill made", func(ctx context.Context) error {
		return check(ctx, url, file)
	})
	add("poll", "Visit the server every 20 ms until SIGTERM, then tell what was seen", func(ctx context.Context) error {
		return write(file, community.Poll(ctx, url, nil, visitEvery))
	})
	add("account", "Print the administrator's name and password", func(context.Context) error {
		r, err := read(file)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n%s\n", r.Admin.Name, r.Password)
		return nil
	})
	add("visits", "Print what poll saw", func(context.Context) error { return visits(file) })
	return root
}

func say(text string) { fmt.Println("  ✓", text) }

func fill(ctx context.Context, url, file string) error {
	if _, err := os.Stat(file); err == nil {
		say("this community is there already: " + file)
		return nil
	}
	client := &community.Client{URL: url}
	r, err := community.Fill(ctx, client, say)
	if err != nil {
		return err
	}
	return write(file, r)
}

func check(ctx context.Context, url, file string) error {
	r, err := read(file)
	if err != nil {
		return err
	}
	client := &community.Client{URL: url}
	version, err := client.Version(ctx)
	if err != nil {
		return err
	}
	say("Mattermost " + version + " answers at " + url)
	chain, err := client.Chain(ctx)
	if err != nil {
		return err
	}
	say(fmt.Sprintf("certificate for %s, verified up to %q, valid until %s",
		strings.Join(chain[0].DNSNames, ", "), chain[len(chain)-1].Subject.CommonName, chain[0].NotAfter.UTC().Format("2006-01-02 15:04 MST")))
	return r.Check(ctx, client, say)
}

func visits(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var s community.Summary
	if err := json.Unmarshal(content, &s); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	fmt.Printf("%d visits, one every %d ms; %d failed", s.Asked, visitEvery.Milliseconds(), s.Failed)
	for what, count := range s.Wrong {
		fmt.Printf(" (%d × %s)", count, what)
	}
	fmt.Printf("; longest time without an answer %.2f s; longest wait of one visitor %.2f s\n", s.Gap.Seconds(), s.Slowest.Seconds())
	return nil
}

func read(file string) (*community.Record, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: nothing was filled yet", file)
	}
	if err != nil {
		return nil, err
	}
	var r community.Record
	if err := json.Unmarshal(content, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &r, nil
}

func write(file string, v any) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(content, '\n'), 0o600)
}
