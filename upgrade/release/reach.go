package release

import "fmt"

// reaches tells whether a machine may go to a version by itself.
func (c *chooser) reaches(to Version) bool {
	switch c.Reach {
	case "", ReachAny:
		return true
	case ReachMinor:
		return c.current.IsZero() || to.major == c.current.major
	default:
		return c.current.IsZero() || to.of() == c.current.of()
	}
}

// within is the newest release that a machine may go to by itself: on the track, or else a patch
// release of the installed version, whose security fixes must not wait for a decision about a
// larger step.
func (c *chooser) within() *Release {
	for _, wanted := range []func(Release) bool{
		func(r Release) bool { return c.onTrack(r) && c.reaches(r.Version) },
		func(r Release) bool { return r.Version.of() == c.current.of() },
	} {
		if r := c.newest(wanted); r != nil {
			return r
		}
	}
	return nil
}

func (c *chooser) onTrack(r Release) bool {
	switch c.Track {
	case TrackLatest:
		return true
	case TrackESR:
		return r.ESR
	}
	want, err := parseMinor(c.Track)
	return err == nil && r.Version.of() == want
}

// waits is the reason of a machine that stays where it is.
func (c *chooser) waits() string {
	kind := "minor"
	if c.choice.Waiting.Version.major != c.current.major {
		kind = "major"
	}
	return fmt.Sprintf("%s is another %s version, which waits for a person", c.choice.Waiting.Version, kind)
}
