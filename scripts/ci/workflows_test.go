package ci

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// workflow is what is tested of one of GitHub's.
type workflow struct {
	On          any
	Permissions map[string]string
	Env         map[string]string
	Jobs        map[string]job
}

type job struct {
	If          string
	Environment any
	Permissions map[string]string
	Env         map[string]string
	Concurrency struct {
		Group string
	}
	Steps []struct {
		Uses string
		Run  string
		Env  map[string]string
		With map[string]any
	}
}

// starts are the events that start the workflow.
func (w workflow) starts() (events []string) {
	switch on := w.On.(type) {
	case string:
		return []string{on}
	case []any:
		for _, event := range on {
			events = append(events, event.(string))
		}
	case map[string]any:
		for event := range on {
			events = append(events, event)
		}
	}
	return events
}

// script is the one of ours that the job runs.
func (j job) script() string {
	for _, step := range j.Steps {
		if name, ours := strings.CutPrefix(step.Run, "scripts/ci/"); ours {
			return name
		}
	}
	return ""
}

// secretNames are what stands in a text of GitHub's secrets but the token of the run itself.
func secretNames(text string) (names []string) {
	for _, m := range regexp.MustCompile(`secrets(?:\.([A-Za-z0-9_]+)|\s*\[|\s*[^.A-Za-z0-9_ ])|secrets: *(inherit)`).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1]+m[2])
	}
	return names
}

func read(t *testing.T, path string, into any) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func workflows(t *testing.T, each func(path, text string, w workflow)) {
	t.Helper()
	paths, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(paths) < 7 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		var w workflow
		text := read(t, path, &w)
		var bare []string // without comments
		for line := range strings.Lines(text) {
			before, _, _ := strings.Cut(line, "# ")
			bare = append(bare, before)
		}
		each(path, strings.Join(bare, "\n"), w)
	}
}

var backend = []string{"PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}

// Each job that asks Pulumi gets all that a backend may need; and what a person has approved shares
// its place in the queue with nobody, as GitHub keeps only the newest that waits.
func TestWorkflows(t *testing.T) {
	asked := map[string]bool{}
	workflows(t, func(path, _ string, w workflow) {
		for _, job := range w.Jobs {
			script := job.script()
			if script == "" {
				continue
			}
			asked[script] = true
			prefix := ""
			if script == "preview.sh" {
				prefix = "PREVIEW_"
			}
			for _, step := range job.Steps {
				for _, name := range backend {
					if step.Run != "" && step.Env[name] != "${{ secrets."+prefix+name+" }}" {
						t.Errorf("%s: %s is %q", path, name, step.Env[name])
					}
				}
			}
			if group := job.Concurrency.Group; (script == "upgrade.sh" || script == "os.sh") &&
				group != "townsquare-${{ github.event_name == 'schedule' && 'scheduled' || github.run_id }}" {
				t.Errorf("%s: the group is %s", path, group)
			}
		}
	})
	if len(asked) != 5 {
		t.Errorf("the workflows run %v", asked)
	}
}

// The secrets of production are in no job that runs a branch's or a pull request's program: every job that
// has one is in an environment, which is for main only, and no workflow that a pull request starts
// names one of them.
func TestSecretsStayInProduction(t *testing.T) {
	const approved = "${{ inputs.version != '' && !inputs.dry_run && 'production-approved' || 'production' }}"
	production := map[string]bool{}
	var theirs []string
	workflows(t, func(path, text string, w workflow) {
		if len(w.Permissions) != 0 || w.Env != nil {
			t.Errorf("%s: permissions %v and environment %v for every job", path, w.Permissions, w.Env)
		}
		for _, event := range w.starts() {
			if !slices.Contains([]string{"schedule", "workflow_dispatch", "repository_dispatch", "push", "pull_request"}, event) {
				t.Errorf("%s: %s can be started from elsewhere, with the secrets", path, event)
			}
		}
		pull := slices.Contains(w.starts(), "pull_request")
		names := secretNames(text)
		for _, name := range names {
			if name == "" || name == "inherit" {
				t.Errorf("%s: a secret that is not named", path)
			}
			if pull {
				theirs = append(theirs, name)
			} else {
				production[name] = true
			}
		}
		for name, job := range w.Jobs {
			if job.Env != nil {
				t.Errorf("%s: %s has secrets in every step", path, name)
			}
			for key, value := range job.Permissions {
				if value != "read" && key != "issues" && key != "pull-requests" {
					t.Errorf("%s: %s may %s %s", path, name, value, key)
				}
			}
			for _, step := range job.Steps {
				if strings.HasPrefix(step.Uses, "actions/checkout@") && (step.With["persist-credentials"] != false || step.With["ref"] != nil) {
					t.Errorf("%s: %s checks out %v", path, name, step.With)
				}
				if step.Uses != "" && !regexp.MustCompile(`^(\./|[^@]+@[0-9a-f]{40}$)`).MatchString(step.Uses) {
					t.Errorf("%s: %s can be exchanged", path, step.Uses)
				}
			}
			switch script := job.script(); {
			case script == "":
				if len(names) > 0 {
					t.Errorf("%s: %s is beside a job with secrets", path, name)
				}
			case script == "preview.sh":
				if job.Environment != "preview" || !strings.Contains(job.If, "github.event.pull_request.head.repo.full_name == github.repository") || !strings.Contains(job.If, "vars.TOWNSQUARE_PREVIEW_STACKS") {
					t.Errorf("%s: %s runs in %v if %s", path, name, job.Environment, job.If)
				}
			case script == "upgrade.sh":
				if job.Environment != approved {
					t.Errorf("%s: %s runs in %v", path, name, job.Environment)
				}
			case job.Environment != "production":
				t.Errorf("%s: %s runs in %v", path, name, job.Environment)
			}
		}
	})
	if !production["PULUMI_CONFIG_PASSPHRASE"] || len(theirs) != 4 {
		t.Errorf("production has %v, pull requests %v", production, theirs)
	}
	for _, name := range theirs {
		if production[name] || !strings.HasPrefix(name, "PREVIEW_") {
			t.Errorf("a pull request gets %s", name)
		}
	}
}

// The README says how the environments are set up so that this holds.
func TestReadmeSaysWhatProtects(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "## From CI or cron")
	section, _, _ := strings.Cut(after, "\n## ")
	section = strings.Join(strings.Fields(section), " ")
	for _, part := range []string{"Selected branches and tags", "`main`", "production-approved", "PREVIEW_PULUMI_CONFIG_PASSPHRASE", "TOWNSQUARE_PREVIEW_STACKS", "repository secret", "required reviewers", "protected"} {
		if !strings.Contains(section, part) {
			t.Errorf("no word of %q", part)
		}
	}
}

// The scope that GitLab's variables are to have reaches every job, and no job runs what is not on the
// default branch: a protected variable is not there then, and a job must not seem to work without.
func TestGitLab(t *testing.T) {
	var jobs map[string]struct {
		Environment struct {
			Name string
		}
		Script []string
		Rules  []struct {
			If string
		}
	}
	text := read(t, "../../.gitlab/townsquare.yml", &jobs)
	scope := regexp.MustCompile("environment scope `([^`]+)`").FindStringSubmatch(text)
	if scope == nil {
		t.Fatal("no scope is named")
	}
	for _, part := range []string{"Protect variable", "Settings > CI/CD > Protected environments", "Settings > Repository > Protected branches"} {
		if !strings.Contains(text, part) {
			t.Errorf("no word of %q", part)
		}
	}
	if len(jobs) < 6 {
		t.Errorf("only %d jobs", len(jobs))
	}
	for name, job := range jobs {
		if strings.HasPrefix(name, ".") {
			continue
		}
		if in, err := path.Match(scope[1], job.Environment.Name); err != nil || !in {
			t.Errorf("%s runs in %q, where variables of %s are not (%v)", name, job.Environment.Name, scope[1], err)
		}
		if approved := job.Environment.Name == "production-approved"; approved != (name == "townsquare-upgrade-to") {
			t.Errorf("%s runs in %s", name, job.Environment.Name)
		}
		for _, rule := range job.Rules {
			if !strings.HasPrefix(rule.If, `$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH && $CI_COMMIT_REF_PROTECTED == "true" && $TOWNSQUARE_JOB == `) {
				t.Errorf("%s runs if %s", name, rule.If)
			}
		}
		if len(job.Rules) != 1 {
			t.Errorf("%s has %d rules", name, len(job.Rules))
		}
		for _, script := range job.Script {
			if _, err := os.Stat(filepath.Join("../..", script)); err != nil {
				t.Error(err)
			}
		}
	}
}
