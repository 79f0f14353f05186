package release

import (
	"bufio"
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// The vendor's release policy gives the support dates in two places: a mermaid gantt chart for the
// releases of the last year,
//
//	v11.7 & Desktop App v6.2 Extended Support :crit, :active, 2026-05-15, 2027-05-15
//
// and a table for those before.
//
//	| v9.11 | Extended | 2025-05-15 |
//
// Source: docs/main/product-overview/release-policy.mdx in the server's repository, autumn 2026.

const pagePolicy = "release policy"

// vendorMinors is the least number of minor versions the vendor's own page has.
const vendorMinors = 15

// support is what the policy says of one minor version.
type support struct {
	ESR   bool
	Start time.Time // zero for releases of the table
	End   time.Time // last day of support
	line  int
}

var (
	taskLine  = regexp.MustCompile(`^v(\S+)(.*?):(?:.*?,)?\s*(\d{4}-\d{2}-\d{2})\s*,\s*(\d{4}-\d{2}-\d{2})$`)
	tableRule = regexp.MustCompile(`^[|:\-\s]+$`)
	vNumber   = regexp.MustCompile(`^v\d`)
)

type policyPage struct {
	source string
	line   int
	minors map[minor]support
}

// parsePolicy reads the page. least is the fewest minor versions it may have.
func parsePolicy(source string, least int, body []byte) (map[minor]support, error) {
	p := &policyPage{source: source, minors: map[minor]support{}}
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 1<<20)
	inChart, charts, inTable := false, 0, false
	for lines.Scan() {
		p.line++
		line := strings.TrimSpace(lines.Text())
		var err error
		switch {
		case strings.HasPrefix(line, "```"):
			inChart, inTable = line == "```mermaid", false
			if inChart {
				charts++
			}
		case inChart:
			err = p.chart(line)
		case strings.HasPrefix(line, "|"):
			inTable, err = p.table(line, inTable)
		default:
			inTable = false
		}
		if err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, p.shape("lines of text", err.Error())
	}
	p.line = 0
	if charts == 0 {
		return nil, p.shape("a mermaid chart of the releases", "none")
	}
	if inChart {
		return nil, p.shape("an end of the mermaid chart", "the end of the page")
	}
	return p.minors, p.plausible(least)
}

func (p *policyPage) shape(expected, found string) error {
	return &ShapeError{Page: pagePolicy, URL: p.source, Line: p.line, Expected: expected, Found: found}
}

// chart reads one line of the gantt chart; lines that name no release are its settings.
func (p *policyPage) chart(line string) error {
	if format, ok := strings.CutPrefix(line, "dateFormat"); ok && strings.TrimSpace(format) != "YYYY-MM-DD" {
		return p.shape("dateFormat YYYY-MM-DD", strings.TrimSpace(format))
	}
	if !vNumber.MatchString(line) {
		return nil
	}
	m := taskLine.FindStringSubmatch(line)
	if m == nil {
		return p.shape("\"v11.7 … :state, first day, last day\"", fmt.Sprintf("%.120q", line))
	}
	start, err := p.date(m[3])
	if err != nil {
		return err
	}
	return p.add(m[1], strings.Contains(m[2], "Extended Support"), start, m[4])
}

// table reads one line of a table, and says whether the table is the one of releases.
func (p *policyPage) table(line string, ours bool) (bool, error) {
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i, cell := range cells {
		cells[i] = strings.Trim(strings.TrimSpace(cell), "*")
	}
	if !ours {
		return len(cells) >= 3 && cells[0] == "Release" && cells[1] == "Release Type" && strings.HasPrefix(cells[2], "Support"), nil
	}
	if tableRule.MatchString(line) {
		return true, nil
	}
	if len(cells) < 3 {
		return true, p.shape("three columns", fmt.Sprintf("%.120q", line))
	}
	esr := false
	switch cells[1] {
	case "Extended":
		esr = true
	case "Feature", "Major":
	default:
		return true, p.shape("a release type Feature, Extended or Major", fmt.Sprintf("%.80q", cells[1]))
	}
	return true, p.add(strings.TrimPrefix(cells[0], "v"), esr, time.Time{}, cells[2])
}

func (p *policyPage) date(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 2015 || t.Year() > 2099 {
		return time.Time{}, p.shape("a date such as 2027-05-15", fmt.Sprintf("%.40q", s))
	}
	return t, nil
}

func (p *policyPage) add(number string, esr bool, start time.Time, last string) error {
	m, err := parseMinor(number)
	if err != nil {
		return p.shape("a minor version such as v11.7", fmt.Sprintf("%.40q", number))
	}
	end, err := p.date(last)
	if err != nil {
		return err
	}
	if end.Before(start) {
		return p.shape("support of v"+m.String()+" to end after it began", start.Format(time.DateOnly)+" to "+last)
	}
	if known, ok := p.minors[m]; ok && (known.ESR != esr || !known.End.Equal(end)) {
		return p.shape("one statement about v"+m.String(), fmt.Sprintf("line %d says otherwise", known.line))
	}
	if known, ok := p.minors[m]; ok && start.IsZero() {
		start = known.Start
	}
	p.minors[m] = support{ESR: esr, Start: start, End: end, line: p.line}
	return nil
}

func (p *policyPage) plausible(least int) error {
	if len(p.minors) < max(least, 1) {
		return p.shape(fmt.Sprintf("at least %d releases with their support dates", max(least, 1)), fmt.Sprint(len(p.minors)))
	}
	for _, s := range p.minors {
		if s.ESR {
			return nil
		}
	}
	return p.shape("an Extended Support Release", "none")
}
