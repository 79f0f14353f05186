//go:build !linux

package phase

import "errors"

func space(string) (free, inodes uint64, id any, err error) {
	return 0, 0, nil, errors.ErrUnsupported
}

func mountPoint(string) bool { return false }
