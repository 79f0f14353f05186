package cmd

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/runner"
)

// environment is this process's with what a program in the cloud needs to know
// on top.
func environment(ctx context.Context, cloud *network.Cloud) []string {
	added := runner.Environment(cloud)
	added[network.Variable] = cloud.Name
	added["SSL_CERT_FILE"] = cloud.Bundle()
	added["CURL_CA_BUNDLE"] = cloud.Bundle() // which curl prefers, if it is set
	// A proxy of this computer cannot be reached from the cloud.
	added["NO_PROXY"], added["no_proxy"] = "*", "*"
	added["PATH"] = strings.Join(append(programDirs(ctx), os.Getenv("PATH")), string(os.PathListSeparator))
	var all []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if _, ok := added[name]; !ok {
			all = append(all, entry)
		}
	}
	for name, value := range added {
		all = append(all, name+"="+value)
	}
	return all
}

// programDirs are where this program is and, where PATH has none, the Pulumi
// that was built. Neither is worth an error here: whoever needs it will say so.
func programDirs(ctx context.Context) []string {
	var dirs []string
	if self, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(self))
	}
	if _, err := exec.LookPath("pulumi"); err != nil {
		if pulumi, err := build.Pulumi().Path(ctx, build.NewCache(build.NewProgress(io.Discard))); err == nil {
			dirs = append(dirs, filepath.Dir(pulumi))
		}
	}
	return dirs
}
