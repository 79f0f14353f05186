package release

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	for _, s := range []string{"9.10.0", "v9.10.0", "0.6.0", "11.7.9", "9999.9999.9999"} {
		v, err := Parse(s)
		if err != nil {
			t.Errorf("Parse(%q): %v", s, err)
		} else if got := v.String(); got != s && "v"+got != s {
			t.Errorf("Parse(%q) = %s", s, got)
		}
	}
	for _, s := range []string{
		"", "v", "9", "9.10", "9.10.0.1", "9.10.0-rc1", "9.10.x", "9..0", "-1.0.0", "+1.0.0", "09.1.0", "9.1.00",
		"10000.0.0", "99999999999999999999.0.0", " 9.1.0", "9.1.0\n", "٩.1.0", "0.0.0", "vv1.0.0", "server/public/v0.1.4",
	} {
		if v, err := Parse(s); err == nil {
			t.Errorf("Parse(%q) = %s, want an error", s, v)
		}
	}
}

func TestVersionOrder(t *testing.T) {
	sorted := []string{"5.37.10", "7.1.9", "9.9.3", "9.10.0", "9.10.1", "10.0.0", "11.7.9", "11.7.10", "11.10.0"}
	got := slices.Clone(sorted)
	slices.Reverse(got)
	slices.SortFunc(got, func(a, b string) int { return version(t, a).Compare(version(t, b)) })
	if !slices.Equal(got, sorted) {
		t.Errorf("sorted %v, want %v", got, sorted)
	}
	if m := version(t, "11.10.2").Minor(); m != "11.10" {
		t.Errorf("Minor() = %s", m)
	}
	if !(Version{}).IsZero() || (Version{}).String() != "" || !(Version{}).Less(version(t, "0.6.0")) {
		t.Error("the zero version must be none, and older than every other")
	}
}

func TestVersionJSON(t *testing.T) {
	type record struct{ A, B Version }
	in := record{A: version(t, "9.10.0")}
	text := must(json.Marshal(in))(t)
	if want := `{"A":"9.10.0","B":""}`; string(text) != want {
		t.Errorf("wrote %s, want %s", text, want)
	}
	var out record
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("read %v (%v), want %v", out, err, in)
	}
	if err := json.Unmarshal([]byte(`{"A":"9.10"}`), &out); err == nil {
		t.Error("read a version of two numbers")
	}
}

func TestParseMinor(t *testing.T) {
	if m, err := parseMinor("v11.7"); err != nil || m != (minor{11, 7}) {
		t.Errorf("parseMinor = %v, %v", m, err)
	}
	for _, s := range []string{"", "11", "11.", ".7", "11.7.9", "esr", "11.x", "11.07"} {
		if m, err := parseMinor(s); err == nil {
			t.Errorf("parseMinor(%q) = %v, want an error", s, m)
		}
	}
}
