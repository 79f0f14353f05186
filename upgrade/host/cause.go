package host

import (
	"regexp"
	"strings"
)

// causeBytes is how much of a line is shown: a statement that PostgreSQL cites can be long.
const causeBytes = 400

var (
	// usage begins a text that programs print after an error of theirs, as cobra's do.
	usage = regexp.MustCompile(`^(?i:usage)(:| of )`)
	// namesError is a line that names an error: "Error: …", "pg_dump: error: …", "FATAL:  …", "E: …".
	namesError = regexp.MustCompile(`(?i)(^|[:\s])(error|fatal|panic):\s|^E: `)
	// advice is what PostgreSQL and its programs advise after an error.
	advice = regexp.MustCompile(`(?i)^(?:\S+: )?hint:\s+(.*)`)
)

// cause picks from what a program wrote to stderr the line that tells most: the first that names an error,
// with the hint after it, else the last before a usage text.
func cause(stderr string) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); usage.MatchString(line) && len(lines) > 0 {
			break
		} else if line != "" {
			lines = append(lines, line)
		}
	}
	for i, line := range lines {
		if strings.HasPrefix(line, "{") || !namesError.MatchString(line) { // not a server's log in JSON
			continue
		}
		line = shortened(line)
		for _, after := range lines[i+1:] {
			if m := advice.FindStringSubmatch(after); m != nil {
				return line + "; hint: " + shortened(m[1])
			}
		}
		return line
	}
	if len(lines) == 0 {
		return ""
	}
	return shortened(lines[len(lines)-1])
}

func shortened(line string) string {
	if len(line) <= causeBytes {
		return line
	}
	return strings.ToValidUTF8(line[:causeBytes], "") + "…"
}
