package release

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Version is the number of a Mattermost release, such as 9.10.0. The zero Version means "none". It
// is comparable with == and can be the key of a map.
type Version struct{ major, minor, patch int }

// maxNumber bounds each part of a version: a longer number is a mistake on the page, not a release.
const maxNumber = 9999

// Parse reads a version of exactly three numbers, with or without a leading v. Release candidates,
// which the vendor writes as "9.10.0-rc1", are no releases and are refused.
func Parse(s string) (Version, error) {
	parts := strings.Split(strings.TrimPrefix(s, "v"), ".")
	if len(parts) != 3 {
		return Version{}, fmt.Errorf("version %q: expected three numbers, such as 9.10.0", s)
	}
	var numbers [3]int
	for i, part := range parts {
		n, ok := number(part)
		if !ok {
			return Version{}, fmt.Errorf("version %q: %q is no number from 0 to %d", s, part, maxNumber)
		}
		numbers[i] = n
	}
	v := Version{numbers[0], numbers[1], numbers[2]}
	if v.IsZero() {
		return Version{}, fmt.Errorf("version %q: 0.0.0 is no release", s)
	}
	return v, nil
}

// IsVersion reports whether s is a version as String writes it.
func IsVersion(s string) bool {
	v, err := Parse(s)
	return err == nil && v.String() == s
}

// parseMinor reads a version of exactly two numbers, such as "11.7", with or without a leading v.
func parseMinor(s string) (minor, error) {
	a, b, ok := strings.Cut(strings.TrimPrefix(s, "v"), ".")
	first, okA := number(a)
	second, okB := number(b)
	if !ok || !okA || !okB {
		return minor{}, fmt.Errorf("minor version %q: expected two numbers, such as 11.7", s)
	}
	return minor{first, second}, nil
}

// number reads plain digits: no sign, no leading zero, at most maxNumber.
func number(s string) (int, bool) {
	if s == "" || len(s) > 4 || (len(s) > 1 && s[0] == '0') {
		return 0, false
	}
	for _, r := range s {
		if r < '0' || r > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n <= maxNumber
}

// minor is the part of a version that a support date belongs to: 11.7 of 11.7.9.
type minor struct{ major, minor int }

func (m minor) String() string { return fmt.Sprintf("%d.%d", m.major, m.minor) }

func (m minor) compare(o minor) int {
	return cmp.Or(cmp.Compare(m.major, o.major), cmp.Compare(m.minor, o.minor))
}

func (v Version) of() minor { return minor{v.major, v.minor} }

// Compare is negative when v is older than o, 0 when they are the same, positive when v is newer.
func (v Version) Compare(o Version) int {
	return cmp.Or(v.of().compare(o.of()), cmp.Compare(v.patch, o.patch))
}

// Less says whether v is older than o.
func (v Version) Less(o Version) bool { return v.Compare(o) < 0 }

// IsZero says whether v stands for no version at all.
func (v Version) IsZero() bool { return v == Version{} }

// String is "9.10.0", and "" for the zero Version.
func (v Version) String() string {
	if v.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", v.major, v.minor, v.patch)
}

// Major is 9 of 9.10.0.
func (v Version) Major() int { return v.major }

// Minor is "9.10" of 9.10.0: what the vendor's support dates and the tracks name.
func (v Version) Minor() string { return v.of().String() }

// MarshalText writes a Version as String does.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote; an empty text is the zero Version.
func (v *Version) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*v = Version{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}
