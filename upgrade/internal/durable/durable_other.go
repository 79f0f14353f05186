//go:build !linux

package durable

import "errors"

// SyncAll is for servers, which run Linux.
func SyncAll(string) error { return errors.ErrUnsupported }
