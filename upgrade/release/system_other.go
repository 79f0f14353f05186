//go:build !linux

package release

import "errors"

// Releases are unpacked on Linux hosts only; elsewhere this package reads the vendor's pages.

func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }
