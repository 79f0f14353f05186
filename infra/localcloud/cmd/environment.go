package cmd

import (
	"maps"
	"os"
	"path/filepath"
	"strings"

	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/runner"
)

// environment is this process's with what a program in the cloud needs to know
// on top.
func environment(cloud *network.Cloud) ([]string, error) {
	added := map[string]string{
		network.Variable: cloud.Name,
		"SSL_CERT_FILE":  cloud.Bundle(),
		"CURL_CA_BUNDLE": cloud.Bundle(), // which curl prefers, if it is set
		// A proxy of this computer cannot be reached from the cloud.
		"NO_PROXY": "*",
		"no_proxy": "*",
	}
	maps.Copy(added, runner.Environment(cloud))
	dirs := programDirs()
	added["PATH"] = strings.Join(append(dirs, os.Getenv("PATH")), string(os.PathListSeparator))
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
	return all, nil
}

// programDirs are where this program is, as the provider is built beside it.
func programDirs() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{filepath.Dir(self)}
}

func cutEnv(entry, name string) (value string, ok bool) {
	return strings.CutPrefix(entry, name+"=")
}
