package mattermost

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"townsquare/upgrade/host"
	"townsquare/upgrade/internal/printable"
)

// startError is a start that failed, with the last lines of the service's own log.
type startError struct {
	error
	hint string
}

func (e *startError) Unwrap() error { return e.error }

// Hint is what can be typed about the cause.
func (e *startError) Hint() string { return e.hint }

// exited explains why the service is gone before it was ready; what it logged since then counts.
func (s Service) exited(ctx context.Context, st Status, since time.Time) error {
	unit := s.properties(ctx, "ExecStart", "TimeoutStartUSec")
	if st.Result == "timeout" {
		return &startError{error: fmt.Errorf("%w: systemd ended it, as the start operation timed out (TimeoutStartSec of %s is %s)%s",
			ErrExited, s.Unit, printable.Line(unit["TimeoutStartUSec"]), cite(s.lastWords(ctx, since))),
			hint: fmt.Sprintf(`sudo mkdir -p /etc/systemd/system/%[1]s.d && printf '[Service]\nTimeoutStartSec=3600\n' | sudo tee /etc/systemd/system/%[1]s.d/timeout.conf && sudo systemctl daemon-reload`, s.Unit)}
	}
	how := fmt.Sprintf(" with status %d (%s)", st.Code, st.Result)
	if st.Code == 0 && st.Result == "success" { // reset, before the next attempt of systemd
		how = ""
	}
	words := s.lastWords(ctx, since)
	err := fmt.Errorf("%w%s before it was ready%s", ErrExited, how, cite(words))
	if hint := hintFor(words, unit["ExecStart"]); hint != "" {
		return &startError{error: err, hint: hint}
	}
	return err
}

func cite(words string) string {
	if words == "" {
		return ""
	}
	return "; its log says: " + words
}

var (
	bindDenied = regexp.MustCompile(`listen \w+ \S*: bind: permission denied`)
	bindTaken  = regexp.MustCompile(`listen \w+ \S*:([0-9]{1,5}): bind: address already in use`)
	openDenied = regexp.MustCompile(`(?:open|mkdir|unlink|rename) (/[A-Za-z0-9/._-]+): permission denied`)
	execPath   = regexp.MustCompile(`path=(/[A-Za-z0-9/._-]+) `)
)

// hintFor is what can be typed about words of the server's. They are the server's to choose: what is typed
// as root changes nothing that they name.
func hintFor(words, execStart string) string {
	if program := execPath.FindStringSubmatch(execStart); program != nil && bindDenied.MatchString(words) {
		if path, err := filepath.EvalSymlinks(program[1]); err == nil { // of this version, also once the link leads elsewhere
			return "sudo setcap cap_net_bind_service=+ep " + path
		}
		return "sudo setcap cap_net_bind_service=+ep " + program[1]
	}
	if m := bindTaken.FindStringSubmatch(words); m != nil {
		return "sudo ss -ltnp 'sport = :" + m[1] + "'"
	}
	if m := openDenied.FindStringSubmatch(words); m != nil {
		return "sudo namei -l " + m[1]
	}
	return ""
}

// properties asks systemd for some of the unit's properties; those that it does not know are missing.
func (s Service) properties(ctx context.Context, names ...string) map[string]string {
	out, err := s.run(ctx, "show", "--property="+strings.Join(names, ","), s.Unit)
	if err != nil {
		return nil
	}
	return properties(string(out))
}

// lastWords is the end of what the server itself, not systemd, logged since then; empty when there is no
// journal.
func (s Service) lastWords(ctx context.Context, since time.Time) string {
	run := s.Run
	if run == nil {
		run = host.Run
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	out, err := run(ctx, host.Command{Name: "journalctl", Args: []string{"_SYSTEMD_UNIT=" + s.Unit, "--boot", "--since=" + stamp(since), "--lines=20", "--output=cat", "--no-pager", "--quiet"}})
	if err != nil {
		return ""
	}
	return loudest(string(out))
}

// stamp is a moment as journalctl reads it.
func stamp(t time.Time) string { return fmt.Sprintf("@%d.%06d", t.Unix(), t.Nanosecond()/1000) }

// loudest picks the last line that speaks of an error, else the last line, at most 300 bytes of it.
func loudest(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	pick := lines[len(lines)-1]
	for i := len(lines) - 1; i >= 0; i-- {
		low := strings.ToLower(lines[i])
		if strings.Contains(low, "error") || strings.Contains(low, "fatal") || strings.Contains(low, "panic") || strings.Contains(low, "critical") {
			pick = lines[i]
			break
		}
	}
	if pick = printable.Line(pick); len(pick) > 300 {
		pick = strings.ToValidUTF8(pick[:300], "") + "…"
	}
	return strings.TrimSpace(pick)
}
