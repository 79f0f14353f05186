package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"townsquare/upgrade/problem"
)

// FleetFile is what holds for several stacks together, in the folder with Pulumi.yaml.
const FleetFile = "townsquare-policy.yaml"

// Limits of Fleet.Parallel: each run needs a connection and a Pulumi of its own.
const (
	DefaultParallel = 2
	MaxParallel     = 16
)

// Fleet is townsquare-policy.yaml. How far machines may go without a person is each stack's own
// setting (townsquare:automatic), as the stack's server keeps to it also without CI.
type Fleet struct {
	Canary   string            `yaml:"canary,omitempty"`   // the stack that goes first; empty: the first one named
	Parallel int               `yaml:"parallel,omitempty"` // how many of the others at a time; 0: DefaultParallel
	Skip     map[string]string `yaml:"skip,omitempty"`     // versions that no stack may take, each with its reason; nil: there is no such file
}

// LoadFleet reads the FleetFile of a folder; one that is not there is empty but for its Skip, which is
// nil: nobody says anything about it then. Everything wrong with it comes back at once, as a problem.List.
func LoadFleet(dir string) (Fleet, error) {
	var f Fleet
	path := filepath.Join(dir, FleetFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	f.Skip = map[string]string{}
	if err != nil || strings.TrimSpace(string(data)) == "" {
		return f, err
	}
	var nodes map[string]ast.Node
	if err := yaml.Unmarshal(data, &nodes); err != nil {
		return f, problem.List{{Where: path, Found: firstLine(err), Allowed: "YAML: one `key: value` a line", Hint: "the keys are canary, parallel and skip"}}
	}
	var found problem.List
	read(path+": ", nodes, reflect.ValueOf(&f).Elem(), &found)
	if f.Parallel < 0 || f.Parallel > MaxParallel {
		found = append(found, problem.Problem{Where: path + ": parallel", Found: fmt.Sprint(f.Parallel), Allowed: fmt.Sprintf("1 to %d", MaxParallel)})
	}
	for _, v := range sorted(f.Skip) {
		if !versionShape.MatchString(v) {
			found = append(found, problem.Problem{Where: path + ": skip", Found: fmt.Sprintf("%q", v), Allowed: "full versions such as 9.10.1, each with a reason"})
		}
	}
	return f, found.Err()
}
