package ci

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A stack that cannot be opened is not called missing: the operator would make another one.
func TestSecretsNeedTheStack(t *testing.T) {
	for answer, want := range map[string]string{
		"error: passphrase must be set with PULUMI_CONFIG_PASSPHRASE": "export PULUMI_CONFIG_PASSPHRASE\n",
		"error: no stack named 'prod' found":                          "pulumi stack init prod\n",
		"error: the service cannot be reached":                        "error: the service cannot be reached\n",
	} {
		bin := t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "pulumi"), []byte("#!/bin/sh\necho \""+answer+"\" >&2\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, script := range []string{"../new-host-key.sh", "../new-backup-password.sh"} {
			cmd := exec.Command(script, "prod")
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			said, err := cmd.CombinedOutput()
			if err == nil || !strings.HasPrefix(string(said), answer+"\n") || !strings.HasSuffix(string(said), want) {
				t.Errorf("%s: %v\n%s", script, err, said)
			}
		}
	}
}
