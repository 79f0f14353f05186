package network

import "errors"

// Up says whether the cloud's daemon is running.
func (c *Cloud) Up() bool { return false }

// Apply makes the namespace's packet filter follow state.
func (c *Cloud) Apply(state State) error { return errors.ErrUnsupported }
