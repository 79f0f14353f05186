package host

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// systemctl puts a program of that name first in PATH: it answers from the third call on, and
// says before what systemctl says.
func systemctl(t *testing.T, says string) (calls string) {
	t.Helper()
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	script := "#!/bin/sh\necho >> " + calls + "\n" +
		`[ "$(wc -l < ` + calls + `)" -ge 3 ] || { echo '` + says + `' >&2; exit 1; }` + "\necho ActiveState=active\n"
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return calls
}

func TestRunWaitsForSystemd(t *testing.T) {
	for _, says := range []string{"Failed to connect to system scope bus via local transport: Connection refused",
		"Failed to get properties: Transport endpoint is not connected"} {
		systemctl(t, says)
		out, err := Run(t.Context(), Command{Name: "systemctl", Args: []string{"show"}})
		if err != nil || strings.TrimSpace(string(out)) != "ActiveState=active" {
			t.Errorf("%s: %q, %v", says, out, err)
		}
	}
}

func TestRunWaitsNoLongerThanItsContext(t *testing.T) {
	systemctl(t, "Failed to connect to system scope bus via local transport: Connection refused")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, Command{Name: "systemctl", Args: []string{"show"}}); err == nil {
		t.Error("it waited beyond its context")
	}
}

func TestRunDoesNothingTwice(t *testing.T) {
	for _, says := range []string{"Job for mattermost.service failed.", "Failed to wait for response: Transport endpoint is not connected"} {
		calls := systemctl(t, says)
		_, err := Run(t.Context(), Command{Name: "systemctl", Args: []string{"start", "mattermost"}})
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != 1 {
			t.Errorf("%s: the failure became %v", says, err)
		}
		if data, err := os.ReadFile(calls); err != nil || len(data) != 1 {
			t.Errorf("%s: it ran %d times (%v)", says, len(data), err)
		}
	}
}

// No way of writing to it keeps more, also not the one that io.Copy looks for.
func TestBounded(t *testing.T) {
	b := Bounded{Most: 10}
	n, err := io.Copy(&b, strings.NewReader("123456789012345"))
	if _, e := b.Write([]byte("x")); n != 15 || err != nil || e != nil || b.String() != "1234567890" {
		t.Errorf("%d, %v, %v, %q", n, err, e, b.String())
	}
	if b.Reset(); b.String() != "" {
		t.Errorf("%q stays", b.String())
	}
}

// A program behind nice is named, and not its wrapper.
func TestRunNamesTheProgram(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no answer"))
	if _, err := Run(ctx, Command{Name: "nice", Args: []string{"-n", "10", "sh", "-c", "sleep 9"}}); err == nil || err.Error() != "sh: no answer" {
		t.Errorf("ended: %v", err)
	}
	if _, err := Run(t.Context(), Command{Name: "nice", Args: []string{"-n", "10", "sh", "-c", "exit 3"}}); err == nil || err.Error() != "sh: exit status 3" {
		t.Errorf("failed: %v", err)
	}
}
