package cli

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"townsquare/upgrade/host"
)

// protocol is raised when the two sides of this program, at the operator's and on the server, no longer
// understand each other's words.
const protocol = 1

// version is what Go notes of the commit that a program was built from. A program that was built
// outside a clone, or with -buildvcs=false, has none, and counts as older than any that has.
type version struct {
	Time     time.Time `json:"time,omitzero"` // of the commit
	Revision string    `json:"revision,omitempty"`
	Changed  bool      `json:"changed,omitempty"` // there were changes that no commit has
	Protocol int       `json:"protocol"`
}

// versionOf reads the version of the program at path, which may be one for another machine.
func versionOf(path string) version {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return version{}
	}
	return stamped(info)
}

// ourVersion is that of this process.
func ourVersion() version {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version{}
	}
	return stamped(info)
}

func stamped(info *debug.BuildInfo) version {
	v := version{Protocol: protocol}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.time":
			v.Time, _ = time.Parse(time.RFC3339, s.Value) // what Go writes is well formed
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Changed = s.Value == "true"
		}
	}
	return v
}

func (v version) String() string {
	if v.Time.IsZero() {
		return "of unknown age (built without git)"
	}
	text := fmt.Sprintf("%s, commit %.12s", v.Time.UTC().Format("2006-01-02 15:04 UTC"), v.Revision)
	if v.Changed {
		text += " with changes"
	}
	return text
}

// replaces refuses, with a *keptError, to put this version in the place of the one on the server, and
// with an *olderError when the two cannot work together.
func (v version) replaces(there host.Incumbent) error {
	var theirs version
	if json.Unmarshal(there.Version, &theirs) != nil {
		theirs = version{} // it is from before versions
	}
	older := v.Time.Before(theirs.Time)
	switch {
	case theirs.Protocol != 0 && theirs.Protocol != protocol && (older || there.Running):
		return &olderError{why: fmt.Errorf("the one on the server is %s, and this one %s", theirs, v)}
	case there.Running:
		return &keptError{"A run is in progress on the server; the upgrader there is not replaced meanwhile."}
	case older:
		return &keptError{fmt.Sprintf("The upgrader on the server is newer (%s) than this one (%s), and is used as it is. To update this one, in the source tree: "+
			update, theirs, v)}
	}
	return canRead(there.Record)
}

// update builds this program anew.
const update = "git pull && CGO_ENABLED=0 go build -o bin/upgrade ./upgrade"

// keptError is returned when the upgrader on the server stays.
type keptError struct{ why string }

func (e *keptError) Error() string { return e.why }

func (h *server) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "version",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return h.answer(ourVersion()) },
	}
}
