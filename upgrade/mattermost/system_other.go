//go:build !linux

package mattermost

import (
	"context"
	"errors"
	"net"
	"time"
)

// An operator's computer may be anything; the host is Linux. What only a host does is refused here.

func dialIn(string) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return nil, errors.ErrUnsupported }
}

func listenIn(string, string) (net.Listener, error) { return nil, errors.ErrUnsupported }

func exchange(string, string) error { return errors.ErrUnsupported }

func device(string) (uint64, error) { return 0, errors.ErrUnsupported }

func ageOf(int64) time.Duration { return 0 }

// Capability is nil: there are none here.
func Capability(string) []byte { return nil }

// SetCapability refuses any.
func SetCapability(_ string, capability []byte) error {
	if len(capability) == 0 {
		return nil
	}
	return errors.ErrUnsupported
}

func setMark(uintptr, int) error { return errors.ErrUnsupported }

func giveWay(int) {}

func unixPeers() (map[uint32]uint32, error) { return nil, errors.ErrUnsupported }
