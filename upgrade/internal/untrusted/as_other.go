//go:build !linux

package untrusted

import "errors"

func as(uint32, uint32, []uint32, func() error) error { return errors.ErrUnsupported }

func withoutLinks([]string, func() error) error { return errors.ErrUnsupported }
