package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	p "github.com/pulumi/pulumi-go-provider"

	"townsquare/infra/localcloud/provider"
)

// PluginName is what the engine calls the provider's program.
const PluginName = "pulumi-resource-digitalocean"

// Called says whether this program was started under the provider's name.
func Called() bool { return filepath.Base(os.Args[0]) == PluginName }

// Main serves the provider to the engine that started this program, and returns the exit code.
func Main() int {
	go endWithEngine(os.Getppid())
	cloud := &provider.Cloud{Open: Open}
	if err := p.RunProvider(context.Background(), provider.Name, provider.Version, provider.New(cloud)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// endWithEngine ends this program when the engine that started it is gone: one that was killed does
// not end its plug-ins, and what they went on to make would be known to nobody.
func endWithEngine(engine int) {
	for range time.Tick(100 * time.Millisecond) {
		if os.Getppid() != engine {
			os.Exit(1)
		}
	}
}
