package ci

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// workflow is what is tested of one of GitHub's.
type workflow struct {
	Jobs map[string]struct {
		Concurrency struct {
			Group string
		}
		Steps []struct {
			Run string
			Env map[string]string
		}
	}
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

// Each job that asks Pulumi gets all that a backend may need; and what a person has approved shares
// its place in the queue with nobody, as GitHub keeps only the newest that waits.
func TestWorkflows(t *testing.T) {
	paths, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, path := range paths {
		var w workflow
		read(t, path, &w)
		for _, job := range w.Jobs {
			for _, step := range job.Steps {
				script, ours := strings.CutPrefix(step.Run, "scripts/ci/")
				if !ours {
					continue
				}
				asked[script] = true
				for _, name := range []string{"PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
					if step.Env[name] != "${{ secrets."+name+" }}" {
						t.Errorf("%s: %s is %q", path, name, step.Env[name])
					}
				}
				if group := job.Concurrency.Group; (script == "upgrade.sh" || script == "os.sh") &&
					group != "townsquare-${{ github.event_name == 'schedule' && 'scheduled' || github.run_id }}" {
					t.Errorf("%s: the group is %s", path, group)
				}
			}
		}
	}
	if len(asked) != 5 {
		t.Errorf("the workflows run %v", asked)
	}
}

// The scope that GitLab's variables are to have reaches every job.
func TestGitLab(t *testing.T) {
	var jobs map[string]struct {
		Environment struct {
			Name string
		}
		Script []string
	}
	text := read(t, "../../.gitlab/townsquare.yml", &jobs)
	scope := regexp.MustCompile("environment scope `([^`]+)`").FindStringSubmatch(text)
	if scope == nil {
		t.Fatal("no scope is named")
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
		for _, script := range job.Script {
			if _, err := os.Stat(filepath.Join("../..", script)); err != nil {
				t.Error(err)
			}
		}
	}
}
