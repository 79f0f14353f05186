package secret

import (
	"bytes"
	"strings"
	"testing"
)

func TestEveryFormOfASecret(t *testing.T) {
	var r Redactor
	r.Add("postgres://mattermost:p%40ss%22w%C3%B6rd@db:5432/mattermost", `to"p se<ret`, "host=db password='hunter22' user=x")
	for _, text := range []string{
		`p@ss"wörd`, `p%40ss%22w%C3%B6rd`, `postgres://mattermost:p%40ss%22w%C3%B6rd@db:5432/mattermost`,
		`p@ss\"wörd`, `to"p se<ret`, "to\\\"p se\\u003cret", "to%22p+se%3Cret", "hunter22",
	} {
		if got := r.String("before " + text + " after"); got != "before "+Mask+" after" {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestWhatIsNoSecret(t *testing.T) {
	var r Redactor
	r.Add("", "a", "short", "postgres:///mattermost?host=/var/run/postgresql&user=mattermost")
	text := "a short line on postgres:///mattermost?host=/var/run/postgresql&user=mattermost"
	if got := r.String(text); got != text {
		t.Errorf("got %q", got)
	}
}

// FuzzWriter: however what is written is cut in pieces, no secret comes out, and nothing else is lost.
func FuzzWriter(f *testing.F) {
	f.Add("say hunter22 twice: hunter22hunter22 hunter2", 3)
	f.Add("hunter2", 1)
	f.Add("hunterhunter22", 6)
	f.Fuzz(func(t *testing.T, text string, size int) {
		if size < 1 {
			size = 1
		}
		var r Redactor
		r.Add("hunter22", "hunter22-and-more")
		var out bytes.Buffer
		w := r.Writer(&out)
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "hunter22") {
			t.Errorf("%q came out as %q", text, out.String())
		}
		if !strings.Contains(text, "hunter22") && out.String() != text {
			t.Errorf("%q came out as %q", text, out.String())
		}
	})
}
