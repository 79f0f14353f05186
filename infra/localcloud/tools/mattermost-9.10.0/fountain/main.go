// Command fountain is a Mattermost plugin for the tests: it runs on servers before 8.0 and refuses
// newer ones, as a plugin does that nobody keeps up.
package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/mattermost/mattermost/server/public/plugin"
)

type fountain struct{ plugin.MattermostPlugin }

func (f *fountain) OnActivate() error {
	version := f.API.GetServerVersion()
	word, _, _ := strings.Cut(version, ".")
	if major, err := strconv.Atoi(word); err != nil || major >= 8 {
		return fmt.Errorf("this plugin does not know server %s", version)
	}
	return nil
}

func main() { plugin.ClientMain(&fountain{}) }
