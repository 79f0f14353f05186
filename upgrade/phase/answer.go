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

// Read decodes what a server answered into v, which stays empty of control characters. Where v has a
// method Check, it must agree. The servers are input: this is the place at which all they say is looked at.
func Read(data []byte, v any) error {
	if len(data) > MaxAnswer {
		return fmt.Errorf("the server's answer has %d MB (allowed: %d)", len(data)>>20, MaxAnswer>>20)
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

// CheckVersions refuses an answer in which the field where has something else than versions, as
// scripts and other servers rely on them. An empty one says that there is no version.
func CheckVersions(where string, versions ...string) error {
	for _, v := range versions {
		if v != "" && !release.IsVersion(v) {
			return fmt.Errorf("the server's answer is not used: %s is no version: %.40q (allowed: three numbers, such as 9.10.0)", where, v)
		}
	}
	return nil
}

// Check refuses a plan whose versions are none.
func (p *Preview) Check() error {
	versions := append([]string{p.From, p.To, p.Target, p.Waiting}, append(p.Path, p.Unlisted...)...)
	for _, w := range p.Ways {
		versions = append(versions, w.To)
	}
	return CheckVersions("a field of the plan", versions...)
}

// Check refuses a report whose versions are none.
func (r *Report) Check() error {
	if err := CheckVersions("a field of the report", r.Waiting); err != nil {
		return err
	}
	return CheckHistory(r.Finished)
}

// CheckHistory refuses runs whose versions are none.
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
