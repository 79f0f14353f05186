package notice

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpus is every file of testdata: what it is taken for, and what it names.
var corpus = map[string]string{
	"mail-security.eml":          "e-mail [12.0.2 11.9.4 11.7.10] security",
	"mail-feature.eml":           "e-mail [12.1.0]",
	"mail-forwarded.eml":         "e-mail [11.7.10] security",
	"mail-newsletter.eml":        "e-mail []",
	"mail-cut-off.eml":           "e-mail [11.7.10] security",
	"feed.atom":                  "feed [12.0.1 11.7.10] security",
	"entry.atom":                 "feed [12.1.0]",
	"webhook-release.json":       "webhook [11.7.10] security",
	"webhook-candidate.json":     "webhook []",
	"webhook-other-project.json": "webhook []",
	"dispatch-version.json":      "webhook [11.7.10]",
	"dispatch-mail.json":         "webhook [11.7.10] security",
	"dispatch-inputs.json":       "webhook [12.0.1]",
	"list.json":                  "webhook [11.7.10 10.11.22] security",
	"bare.txt":                   "version [11.7.10]",
	"words.txt":                  "text [11.7.10 11.7.9 10.11.22] security",
}

func (n Notice) words() string {
	s := fmt.Sprint(n.Kind, " ", n.Versions)
	if n.Security {
		s += " security"
	}
	return s
}

func TestCorpus(t *testing.T) {
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.IsDir() {
			continue // of the fuzz test
		}
		for _, end := range []string{"\n", "\r\n"} {
			data, err := os.ReadFile(filepath.Join("testdata", f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			n, err := Read(bytes.NewReader(bytes.ReplaceAll(data, []byte("\n"), []byte(end))))
			if want, ok := corpus[f.Name()]; !ok || err != nil || n.words() != want {
				t.Errorf("%s with %q: %s, %v; want %s", f.Name(), end, n.words(), err, want)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	deep := "11.7.10"
	for range maxDepth + 1 {
		deep = fmt.Sprintf(`{"notice": %q}`, deep)
	}
	many := "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", maxParts+1) + "--b--\n"
	for name, c := range map[string]struct{ text, says string }{
		"empty":          {" \n", "empty"},
		"too large":      {strings.Repeat("11.7.10 ", maxBytes/8+1), "larger than 1024 kB"},
		"no JSON":        {`{"version": "11.7.10"`, "as JSON"},
		"no feed":        {"<feed><entry>", "as a feed"},
		"without end":    {deep, "and so on"},
		"too many parts": {many, "too many parts"},
	} {
		n, err := Read(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) || len(n.Versions) > 0 {
			t.Errorf("%s: %v, %v", name, n, err)
		}
	}
	if _, err := Read(strings.NewReader("")); !errors.Is(err, ErrEmpty) {
		t.Errorf("nothing: %v", err)
	}
}

func TestVersionsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 10 * maxVersions {
		fmt.Fprintf(&b, "11.7.%d ", i)
	}
	if n, err := Read(strings.NewReader(b.String())); err != nil || len(n.Versions) != maxVersions {
		t.Errorf("%d versions, %v", len(n.Versions), err)
	}
}

// FuzzRead: whatever someone sends is refused, or gives a few real numbers, each once, in order.
func FuzzRead(f *testing.F) {
	for name := range corpus {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Read(bytes.NewReader(data))
		if err != nil {
			if len(n.Versions) > 0 || n.Kind != "" {
				t.Errorf("refused, and yet %v", n)
			}
			return
		}
		if len(n.Versions) > maxVersions {
			t.Errorf("%d versions", len(n.Versions))
		}
		for i, v := range n.Versions {
			if v.IsZero() || i > 0 && v.Compare(n.Versions[i-1]) >= 0 {
				t.Errorf("%v", n.Versions)
			}
		}
	})
}
