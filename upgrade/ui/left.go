package ui

// Left returns how the run in the record came to be there.
func (s Status) Left() string {
	switch {
	case s.Again:
		return s.Unfinished + " could not be undone yet; the server tries again"
	case s.Stuck:
		return s.Unfinished + " failed and was not undone"
	}
	return s.Unfinished + " was left unfinished, as by a power cut"
}
