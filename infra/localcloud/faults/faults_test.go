//go:build machine

package faults

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Variable of the environment that chooses cases: "all" (or nothing), a third ("2/3"), the third whose
// turn it is ("today"), or a regular expression that a name must match.
const variable = "FAULTS"

func TestFaults(t *testing.T) {
	wanted, which := chosen(os.Getenv(variable), time.Now())
	t.Logf("%s", which)
	for number, c := range matrix() {
		if !wanted(number, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			try(t, number, c)
		})
	}
}

// chosen reads the choice.
func chosen(choice string, now time.Time) (wanted func(number int, name string) bool, which string) {
	if choice == "today" {
		choice = []string{"1/3", "2/3", "3/3"}[now.YearDay()%3]
	}
	switch choice {
	case "", "all":
		return func(int, string) bool { return true }, "all cases"
	case "1/3", "2/3", "3/3":
		turn := int(choice[0] - '1')
		return func(number int, _ string) bool { return number%3 == turn }, "third " + choice
	}
	shape := regexp.MustCompile(strings.ReplaceAll(choice, " ", ".*"))
	return func(_ int, name string) bool { return shape.MatchString(name) }, "cases that match " + choice
}
