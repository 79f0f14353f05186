package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"townsquare/upgrade/host"
	"townsquare/upgrade/phase"
	"townsquare/upgrade/secret"
	"townsquare/upgrade/state"
	"townsquare/upgrade/ui"
)

// evil is text that a server which was taken over may put anywhere.
const evil = "x\x1b]0;title\a\x1b[2J\u009b31m\u202e\r\n" + forged + "\n::set-output name=pending::6.6.6\n|[a](https://evil.example)`id`$(id);e id <script>@everyone"

const forged = "done=6.6.6"

// takenOver is a server that answers what its test says, by the first word of the question.
type takenOver struct {
	answers map[string]string
	stderr  string
	code    int
}

func (s takenOver) close() {}

func (s takenOver) run(_ context.Context, words []string, _ io.Reader, out io.Writer) error {
	if _, err := io.WriteString(out, s.answers[words[0]]); err != nil {
		return err
	}
	if s.stderr != "" || s.code != 0 {
		return &host.ExitError{Name: "upgrade", Code: s.code, Stderr: s.stderr}
	}
	return nil
}

// asks types a command for such a server and returns all that came of it, the files for scripts last.
func (s takenOver) asks(t *testing.T, args ...string) (typed, []string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, redactor: &secret.Redactor{}, env: func(string) string { return "" }}
	a.server = a.thisServer
	a.reach = func(context.Context, *ui.Printer, target, time.Duration) (way, error) { return s, nil }
	files := []string{filepath.Join(t.TempDir(), "markdown"), filepath.Join(t.TempDir(), "outputs")}
	if slices.Contains([]string{"plan", "check", "apply"}, args[0]) {
		args = append(args, "--markdown", files[0], "--outputs", files[1])
	}
	got := typed{code: a.main(t.Context(), append(args, "--local"))}
	got.stdout, got.stderr = out.String(), errs.String()
	var texts []string
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	return got, texts
}

// harmless looks at everything that a person, a terminal or a script gets to see.
func harmless(t *testing.T, got typed, files []string) {
	t.Helper()
	for where, text := range map[string]string{"stdout": got.stdout, "stderr": got.stderr, "markdown": files[0], "outputs": files[1]} {
		for _, r := range text {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
				t.Errorf("%s has %U:\n%q", where, r, text)
				break
			}
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, forged) || strings.HasPrefix(strings.TrimSpace(line), "::") {
				t.Errorf("%s has the server's own line %q", where, line)
			}
		}
	}
	for line := range strings.Lines(files[1]) {
		if key, _, _ := strings.Cut(line, "="); !slices.Contains([]string{"pending", "waiting", "done", "exit"}, key) || strings.Contains(line, "6.6.6") {
			t.Errorf("the outputs have %q", line)
		}
	}
	for _, part := range []string{"<script>", "@everyone", "[a](", "https://evil", "| |["} {
		if strings.Contains(files[0], part) {
			t.Errorf("markdown has %q:\n%s", part, files[0])
		}
	}
}

// fill puts evil into every text of v, and something into everything else.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(evil)
	case reflect.Bool:
		v.SetBool(false)
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		if depth < 8 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth+1)
		}
	}
}

func filled[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem(), 0)
	return v
}

func lines(t *testing.T, values ...any) string {
	t.Helper()
	var b strings.Builder
	for _, v := range values {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(data, '\n'))
	}
	return b.String()
}

const runID = "20261122T013000Z-apply"

// plan is a plan with nothing honest in it but its versions.
func hostilePlan() phase.Preview {
	p := filled[phase.Preview]()
	p.From, p.To, p.Target, p.Path, p.Waiting, p.Unlisted = "7.7.0", "9.10.0", "9.10.0", nil, "", nil
	p.Running, p.Left, p.Instead = "", "", ""
	p.Ways[0].To, p.Newer, p.Exit = "7.7.0", true, phase.ExitDone
	return p
}

func hostileReport(operation, outcome string) phase.Report {
	r := filled[phase.Report]()
	r.ID, r.Operation, r.From, r.To, r.Waiting, r.Outcome = "20261122T013000Z-"+operation, operation, "7.7.0", "9.10.0", "", outcome
	r.Backup.Mattermost = "9.10.0"
	return r
}

func hostileStatus() ui.Status {
	s := filled[ui.Status]()
	s.Version, s.Previous, s.Booting, s.Installed = "9.10.0", "7.7.0", false, true
	s.History[0].ID, s.History[0].From, s.History[0].To = runID, "7.7.0", "9.10.0"
	s.Running, s.Unfinished, s.Lock = "", "", nil
	return s
}

// Whatever a server says, in whichever field: neither terminal nor page nor script takes it for more
// than text.
func TestServersTextIsText(t *testing.T) {
	events := func(result any) string {
		event := filled[phase.Event]()
		var list []any
		for _, kind := range []phase.Kind{phase.Begin, phase.End, phase.Failed, phase.Undoing, phase.Undone, phase.Note, phase.Warn, phase.DownStart,
			phase.DownEnd, phase.Blocked, phase.Leaving, phase.Progress} {
			event.Kind = kind
			list = append(list, event)
		}
		return lines(t, append(list, phase.Event{Kind: phase.Result, Data: result})...)
	}
	good := hostilePlan()
	good.Error, good.Problems = "", nil
	for name, plan := range map[string]phase.Preview{"refused": hostilePlan(), "offered": good} {
		answers := map[string]string{"examine": events(plan), "start": lines(t, startAnswer{Run: runID})}
		for _, args := range [][]string{{"plan"}, {"check"}, {"plan", "--json"}, {"os", "plan"}, {"repair", "--show"}, {"rollback", "--show"}} {
			t.Run(name+" "+strings.Join(args, " "), func(t *testing.T) {
				got, files := takenOver{answers: answers}.asks(t, args...)
				harmless(t, got, files)
			})
		}
		for _, outcome := range []string{phase.OutcomeDone, phase.OutcomeRolledBack, phase.OutcomeNotRolledBack, phase.OutcomeRefused, phase.OutcomeLater, phase.OutcomeFailed, evil} {
			for _, args := range [][]string{{"apply", "--yes"}, {"apply", "--yes", "--json"}, {"os", "apply", "--yes"}, {"backup", "create"}, {"repair", "--yes"}} {
				t.Run(name+" "+strings.Join(args, " "), func(t *testing.T) {
					answers["events"] = events(hostileReport(args[0], outcome))
					got, files := takenOver{answers: answers}.asks(t, args...)
					harmless(t, got, files)
				})
			}
		}
	}
	answers := map[string]string{"status": lines(t, hostileStatus()), "timers": lines(t, filled[ui.Timers]()), "backups": lines(t, filled[[]ui.Backup]()),
		"tell": lines(t, filled[tellAnswer]()), "unlock": lines(t, filled[unlockAnswer]()), "cancel": lines(t, filled[cancelAnswer]())}
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"history"}, {"timers", "list"}, {"backup", "list"}, {"notify", "test"}, {"unlock", "--force"}, {"cancel"}, {"recover"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			got, files := takenOver{answers: answers}.asks(t, args...)
			harmless(t, got, files)
			got, files = takenOver{stderr: "error: " + evil + "\n  -> " + evil, code: 1}.asks(t, args...)
			harmless(t, got, files)
			if got.code == 0 || !strings.Contains(got.stderr, "[2J") {
				t.Errorf("the error is lost: %d %s", got.code, got.stderr)
			}
		})
	}
}

// A server that names a run to follow, another operation or a run to recover for ever ends the command.
func TestServerThatNeverComesToAnEnd(t *testing.T) {
	report := phase.Report{Finished: state.Finished{ID: "20261122T013000Z-backup", Operation: "backup", Outcome: phase.OutcomeDone}}
	for name, plan := range map[string]phase.Preview{
		"another run":       {Running: "20261122T013000Z-backup"},
		"another operation": {Instead: "repair"},
		"a run left":        {Left: "20261122T013000Z-backup"},
	} {
		answers := map[string]string{"start": lines(t, startAnswer{Run: "20261122T013000Z-backup"}), "events": lines(t, phase.Event{Kind: phase.Result, Data: report}),
			"examine": lines(t, phase.Event{Kind: phase.Result, Data: plan})}
		got, _ := (takenOver{answers: answers}).asks(t, "apply", "--yes")
		if got.code != phase.ExitError || !strings.Contains(got.stderr, "still asks for another") || !strings.Contains(got.stderr, "upgrade history") {
			t.Errorf("%s: exit code %d\n%.500s", name, got.code, got.stderr)
		}
	}
}

// What a server calls a version is one, or nothing of its answer is used.
func TestServersVersionsAreVersions(t *testing.T) {
	result := func(v any) map[string]string {
		return map[string]string{"examine": lines(t, phase.Event{Kind: phase.Result, Data: v}), "start": lines(t, startAnswer{Run: runID})}
	}
	for _, version := range []string{evil, "9.10.0\ndone=6.6.6", "9/9/;e id;#", "9.10.0 6.6.6", "v9.10.0", "../9.10.0", "9.10", strings.Repeat("9", 1<<20)} {
		for name, set := range map[string]func(*phase.Preview){
			"current": func(p *phase.Preview) { p.From = version }, "to": func(p *phase.Preview) { p.To = version },
			"target": func(p *phase.Preview) { p.Target = version }, "waiting": func(p *phase.Preview) { p.Waiting = version },
			"path": func(p *phase.Preview) { p.Path = []string{version} }, "unlisted": func(p *phase.Preview) { p.Unlisted = []string{version} },
			"way": func(p *phase.Preview) { p.Ways = []phase.Way{{To: version}} },
		} {
			plan := phase.Preview{From: "7.7.0", To: "9.10.0", Target: "9.10.0", Newer: true, Why: "it is newer"}
			set(&plan)
			got, files := takenOver{answers: result(plan)}.asks(t, "plan")
			refused(t, "plan: "+name, got, files)
		}
		for name, set := range map[string]func(*phase.Report){
			"from": func(r *phase.Report) { r.From = version }, "to": func(r *phase.Report) { r.To = version },
			"waiting": func(r *phase.Report) { r.Waiting = version },
		} {
			report := phase.Report{Finished: state.Finished{ID: runID, Operation: "apply", From: "7.7.0", To: "9.10.0", Outcome: phase.OutcomeDone}}
			set(&report)
			answers := result(phase.Preview{From: "7.7.0", To: "9.10.0", Target: "9.10.0", Newer: true, Why: "it is newer"})
			answers["events"] = lines(t, phase.Event{Kind: phase.Result, Data: report})
			got, files := takenOver{answers: answers}.asks(t, "apply", "--yes")
			refused(t, "report: "+name, got, files)
		}
		for name, set := range map[string]func(*ui.Status){
			"version": func(s *ui.Status) { s.Version = version }, "previous": func(s *ui.Status) { s.Previous = version },
			"history": func(s *ui.Status) { s.History = []state.Finished{{To: version}} },
		} {
			status := ui.Status{Installed: true, Version: "9.10.0"}
			set(&status)
			got, files := takenOver{answers: map[string]string{"status": lines(t, status)}}.asks(t, "status")
			refused(t, "status: "+name, got, files)
		}
	}
	for name, answer := range map[string]string{"nothing": "", "no JSON": "{", "too long": strings.Repeat(" ", phase.MaxAnswer+1) + "{}", "another type": `{"version":[1]}`} {
		if got, _ := (takenOver{answers: map[string]string{"status": answer}}).asks(t, "status"); got.code != phase.ExitError {
			t.Errorf("%s: exit code %d", name, got.code)
		}
	}
}

func refused(t *testing.T, what string, got typed, files []string) {
	t.Helper()
	harmless(t, got, files)
	if got.code != phase.ExitError || !strings.Contains(got.stderr, "not a version") || len(got.stderr) > 4096 || strings.Contains(files[1], "6.6.6") || strings.Contains(files[1], "9/9") {
		t.Errorf("%s: exit code %d\n%.2000s\n%s", what, got.code, got.stderr, files[1])
	}
}

// A run's ID becomes a word of the next command, and a server's skip list goes to other servers.
func TestServersIDIsAnID(t *testing.T) {
	answers := map[string]string{"start": lines(t, startAnswer{Run: "20261122T013000Z-apply --run x"}),
		"examine": lines(t, phase.Event{Kind: phase.Result, Data: phase.Preview{From: "7.7.0", To: "9.10.0", Target: "9.10.0", Newer: true, Why: "it is newer"}})}
	if got, _ := (takenOver{answers: answers}).asks(t, "apply", "--yes"); got.code != phase.ExitError || !strings.Contains(got.stderr, "is not the ID of a run") {
		t.Errorf("%d %s", got.code, got.stderr)
	}
	got, _ := takenOver{answers: map[string]string{"status": lines(t, ui.Status{Installed: true, Version: "9.10.0", Healthy: true,
		Bad: map[string]state.Bad{"9.10.1": {Reason: "it hung"}, "nonsense": {Reason: evil}}, Elsewhere: map[string]string{"9.11.0": "it hung", evil: evil}})}}.asks(t, "status")
	if !strings.Contains(got.stdout, "9.10.1") || strings.Contains(got.stdout, "nonsense") || !strings.Contains(got.stderr, "nonsense") {
		t.Errorf("%s%s", got.stdout, got.stderr)
	}
}
