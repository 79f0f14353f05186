//go:build machine

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// arguments collects the command lines of every process on this computer, the machines' included,
// every 20 ms while a test runs: a secret in one of them is there for every local user to read.
type arguments struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (a *arguments) collect(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return
		}
		for _, path := range lines {
			line, err := os.ReadFile(path) // a process that ended meanwhile has none
			if err != nil || len(line) == 0 {
				continue
			}
			a.mu.Lock()
			a.seen[string(line)] = true
			a.mu.Unlock()
		}
	}
}

func (a *arguments) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all strings.Builder
	for line := range a.seen {
		all.WriteString(strings.ReplaceAll(line, "\x00", " "))
		all.WriteByte('\n')
	}
	return all.String()
}

// secret is something that only its owner's files may hold.
type secret struct{ what, value string }

// secrets gathers everything that was secret in this run.
func (s *server) secrets(t *testing.T) []secret {
	t.Helper()
	all := []secret{
		{"the people's password", s.People.Password},
		{"the administrator's session", s.People.Token},
	}
	// Private keys and passphrases of the stack: each line of a key's body by itself.
	err := filepath.WalkDir(filepath.Join(s.Cloud.Dir, "secrets"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".pub") {
			return err
		}
		content, err := os.ReadFile(path)
		for line := range strings.Lines(string(content)) {
			if line = strings.TrimSpace(line); len(line) > 8 && !strings.HasPrefix(line, "-----") && !publicLine(line) {
				all = append(all, secret{filepath.Base(path), line})
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, stackSecrets(t)...)
	var config struct {
		SqlSettings  struct{ AtRestEncryptKey, DataSource string }
		FileSettings struct{ PublicLinkSalt *string }
	}
	text := s.Exec(t, "cat /var/lib/mattermost/config/config.json")
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	all = append(all, secret{"AtRestEncryptKey", config.SqlSettings.AtRestEncryptKey})
	if salt := config.FileSettings.PublicLinkSalt; salt != nil {
		all = append(all, secret{"PublicLinkSalt", *salt})
	}
	var real []secret
	for _, one := range all {
		if one.value != "" {
			real = append(real, one)
		}
	}
	return real
}

// stackSecrets are the passwords among the stack's outputs. The command is not run by command, whose
// transcript is searched.
func stackSecrets(t *testing.T) []secret {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), square.Program("localcloud"), "pulumi", "outputs", "--cloud", square.Name(),
		"--stack", "dev", "--json", "--show-secrets").Output()
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]any
	if err := json.Unmarshal(out, &texts); err != nil {
		t.Fatal(err)
	}
	var all []secret
	for _, key := range []string{"databaseUrl", "databaseAdminUrl", "backupSecretKey", "backupPassword"} {
		text, ok := texts[key].(string)
		if !ok || text == "" {
			continue
		}
		if u, err := url.Parse(text); err == nil && u.Scheme != "" {
			text, _ = u.User.Password()
		}
		all = append(all, secret{key, text})
	}
	return all
}

// publicLine is the first line of an OpenSSH key's body: the format's name, the same in all keys,
// and the public half.
func publicLine(line string) bool { return strings.HasPrefix(line, "b3BlbnNzaC1rZXkt") }

// noSecrets searches everything this run left behind: what programs wrote, every command line seen,
// the engine's state, and on the host the journal, the run logs, the record and each file that a
// user other than root and the service can read.
func (s *server) noSecrets(t *testing.T) {
	all := s.secrets(t)
	state := readTree(t, filepath.Join(s.Cloud.Dir, "pulumi"))
	places := map[string]string{
		"what programs wrote":  square.Transcript(),
		"the command lines":    s.seen.String(),
		"the engine's state":   state,
		"the host's journal":   s.Exec(t, "journalctl --no-pager -o cat"),
		"the host's run logs":  s.Exec(t, "cat /var/lib/townsquare/runs/*.jsonl /var/lib/townsquare/state.json"),
		"Mattermost's own log": s.Exec(t, "cat /var/lib/mattermost/logs/* || true"),
	}
	for where, text := range places {
		if len(text) == 0 {
			t.Errorf("%s: nothing to search", where)
		}
		for _, one := range all {
			if strings.Contains(text, one.value) {
				t.Errorf("%s: in clear in %s", one.what, where)
			}
		}
	}
	var patterns bytes.Buffer
	for _, one := range all {
		patterns.WriteString(one.value + "\n")
	}
	found := s.Input(t, &patterns, `
umask 077
cat >/run/patterns
find / -xdev -type f -perm -o=r -size -20M -not -path '/proc/*' -not -path '/sys/*' -print0 | xargs -0 grep -lFf /run/patterns || true
find /var/lib/mattermost /run /tmp -type f -perm -o=r -size -20M -print0 | xargs -0 --no-run-if-empty grep -lFf /run/patterns || true
rm /run/patterns`)
	if found != "" {
		t.Errorf("files on the host that everyone may read hold a secret:\n%s", found)
	}
	t.Logf("%d secrets, %d bytes searched", len(all), len(state)+len(places["what programs wrote"])+len(places["the host's journal"]))
}

// readTree is the content of every file under dir.
func readTree(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
