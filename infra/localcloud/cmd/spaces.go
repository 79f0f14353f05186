package cmd

import (
	"net/http"

	"github.com/spf13/cobra"
)

// spacesCommand takes the object storage away and brings it back.
func spacesCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "spaces",
		Short: "Take the object storage away, and bring it back",
		Long: `Take the object storage away, and bring it back, to see what becomes of backups
when it does not answer. What it keeps stays.`,
		Example: "  localcloud spaces stop --cloud demo\n  localcloud spaces start --cloud demo",
	}
	for order, short := range map[string]string{"start": "Bring the object storage back", "stop": "Take the object storage away"} {
		var cloud cloudFlag
		cmd := &cobra.Command{
			Use: order, Short: short, Args: cobra.NoArgs, Example: "  localcloud spaces " + order + " --cloud demo",
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := cloud.open()
				if err == nil {
					_, err = c.Ask(cmd.Context(), http.MethodPost, "/spaces/"+order)
				}
				return err
			},
		}
		cloud.add(cmd)
		root.AddCommand(cmd)
	}
	return root
}
