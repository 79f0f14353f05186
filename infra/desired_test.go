package infra

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// What `upgrade` puts back is what first boot makes: every file of the user data, to the letter, and
// every package and unit that the script names.
func TestDesired(t *testing.T) {
	for _, database := range []string{"managed", "local"} {
		t.Run(database, func(t *testing.T) {
			changes := map[string]string{"townsquare:database": database}
			_, out := deploy(t, changes)
			var got struct {
				Files []struct{ Path, Owner, Mode, Content string }
				Suite string

				Packages, Unwanted, Enabled, Disabled, Masked, Keys []string
			}
			text, err := json.Marshal(out["host"].value)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			data, err := userData(newHostData(testConfig(t, changes)))
			if err != nil {
				t.Fatal(err)
			}
			var made cloudConfig
			if err := yaml.Unmarshal([]byte(data), &made); err != nil {
				t.Fatal(err)
			}
			var script string
			for i, f := range made.WriteFiles {
				if g := got.Files[i]; g.Path != f.Path || g.Mode != f.Permissions || g.Content != f.Content || g.Owner != "root" {
					t.Errorf("%s is another file in the output", f.Path)
				}
				if strings.HasSuffix(f.Path, "/first-boot") {
					script = f.Content
				}
			}
			for _, f := range got.Files[len(made.WriteFiles):] {
				if !strings.Contains(script, "install -o "+f.Owner+" -g "+f.Owner+" -m "+f.Mode) || !strings.Contains(script, " "+f.Path+"\n") {
					t.Errorf("first boot does not install %s", f.Path)
				}
			}
			for verb, words := range map[string][]string{"systemctl enable": got.Enabled, "systemctl disable --now": got.Disabled, "systemctl mask": got.Masked} {
				if len(words) == 0 || !strings.Contains(script, verb+" "+strings.Join(words, " ")+"\n") {
					t.Errorf("first boot does not %s %s", verb, words)
				}
			}
			for _, name := range append(got.Packages, got.Unwanted...) {
				if !strings.Contains(script, " "+name) {
					t.Errorf("first boot knows no package %s", name)
				}
			}
			if !slices.Equal(got.Keys, made.Users[0].Keys) || len(got.Keys) == 0 || got.Suite != "trixie-backports" {
				t.Errorf("keys %q, suite %q", got.Keys, got.Suite)
			}
		})
	}
}
