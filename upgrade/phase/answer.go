package phase

import (
	"encoding/json"
	"fmt"

	"townsquare/upgrade/internal/printable"
	"townsquare/upgrade/release"
	"townsquare/upgrade/state"
)

// MaxAnswer is the size of the longest answer, or event, that is read from a server. A plan with
// thousands of packages and differences has a tenth of it.
const MaxAnswer = 16 << 20

// Read decodes what a server answered into v, without control characters, and calls v's method Check
// where it has one. A server is input: everything it says is checked here.
func Read(data []byte, v any) error {
	if len(data) > MaxAnswer {
		return fmt.Errorf("the server's answer is larger than %d MB", MaxAnswer>>20)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	printable.Clean(v)
	if answer, ok := v.(interface{ Check() error }); ok {
		return answer.Check()
	}
	return nil
}

// CheckVersions refuses an answer in which a version is malformed: scripts and other servers rely on
// them. An empty one is allowed.
func CheckVersions(where string, versions ...string) error {
	for _, v := range versions {
		if v != "" && !release.IsVersion(v) {
			return fmt.Errorf("the server's answer is ignored: %s is %.40q, which is not a version (allowed: three numbers, such as 9.10.0)", where, v)
		}
	}
	return nil
}

// Check refuses a plan with a malformed version.
func (p *Preview) Check() error {
	versions := append([]string{p.From, p.To, p.Target, p.Waiting}, append(p.Path, p.Unlisted...)...)
	for _, w := range p.Ways {
		versions = append(versions, w.To)
	}
	return CheckVersions("a field of the plan", versions...)
}

// Check refuses a report with a malformed version.
func (r *Report) Check() error {
	if err := CheckVersions("a field of the report", r.Waiting); err != nil {
		return err
	}
	return CheckHistory(r.Finished)
}

// CheckHistory refuses runs with a malformed version.
func CheckHistory(runs ...state.Finished) error {
	for _, f := range runs {
		if err := CheckVersions(fmt.Sprintf("a field of run %.40q", f.ID), f.From, f.To); err != nil {
			return err
		}
	}
	return nil
}

// ReadData decodes the data of a result into v, a *Preview or a *Report, as Read does.
func ReadData(e Event, v any) error {
	data, err := json.Marshal(e.Data)
	if err != nil {
		return err
	}
	return Read(data, v)
}
