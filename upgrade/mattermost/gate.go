package mattermost

import (
	"context"
	"fmt"
	"strings"

	"townsquare/upgrade/host"
)

// Gate keeps users away from the server while it is verified: new connections to its port are
// reset, except those that carry our mark, which only root can give: also a proxy that runs as root
// waits, and one that retries holds its requests. Connections that exist are left alone. The rules
// live in the kernel only: a reboot opens the gate.
type Gate struct {
	Port int
	Run  Runner // nil means host.Run
}

const gateTable = "inet townsquare_gate"

// gateMark is the mark (SO_MARK) of the connections that Health makes: "town" in ASCII.
const gateMark = 0x746f776e

// Close shuts the gate; closing a closed gate changes nothing.
func (g Gate) Close(ctx context.Context) error {
	syn := fmt.Sprintf("tcp dport %d tcp flags & (fin|syn|rst|ack) == syn", g.Port)
	rules := strings.Join([]string{
		"table " + gateTable, "delete table " + gateTable,
		"table " + gateTable + " {",
		"  chain local { type filter hook output priority 0; policy accept;",
		fmt.Sprintf("    %s meta mark != %#x reject with tcp reset", syn, gateMark),
		"  }",
		"  chain remote { type filter hook input priority 0; policy accept;",
		`    iifname != "lo" ` + syn + " reject with tcp reset",
		"  }",
		"}", ""}, "\n")
	if err := g.nft(ctx, rules); err != nil {
		return fmt.Errorf("close the gate: %w", err)
	}
	return nil
}

// Open opens it; opening an open gate changes nothing.
func (g Gate) Open(ctx context.Context) error {
	if err := g.nft(ctx, "table "+gateTable+"\ndelete table "+gateTable+"\n"); err != nil {
		return fmt.Errorf("open the gate: %w", err)
	}
	return nil
}

func (g Gate) nft(ctx context.Context, rules string) error {
	run := g.Run
	if run == nil {
		run = host.Run
	}
	_, err := run(ctx, host.Command{Name: "nft", Args: []string{"--file", "-"}, Stdin: strings.NewReader(rules)})
	return err
}
