package services

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"

	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/spaces"
)

// storage is the S3 server. It can be away while the rest of the cloud is there, as the real one can.
type storage struct {
	cloud   *network.Cloud
	ca      *authority
	program string

	mu  sync.Mutex
	end func() // nil while it is away
}

// start returns when the server listens. Starting twice is no error.
func (s *storage) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		return nil
	}
	certificate, key, err := s.ca.issue("*." + spaces.Domain)
	if err != nil {
		return err
	}
	cmd, mark, err := spaces.Server(s.cloud, s.program, certificate, key)
	if err != nil {
		return fmt.Errorf("start the object storage: %w", err)
	}
	log := filepath.Join(s.cloud.Dir, "spaces", "server.log")
	alive, end, err := startChild(ctx, s.cloud, cmd, mark, log)
	if err != nil {
		return err
	}
	if err := s.listens(alive); err != nil {
		end()
		return fmt.Errorf("start the object storage: %w (see %s)", err, log)
	}
	s.end = end
	return nil
}

// listens waits for the server.
func (s *storage) listens(ctx context.Context) error {
	var refused error
	err := network.Settle(ctx, func() bool {
		conn, err := s.cloud.DialContext(ctx, "tcp", net.JoinHostPort(network.Spaces.String(), "443"))
		if refused = err; err != nil {
			return false
		}
		conn.Close()
		return true
	})
	if err != nil {
		return fmt.Errorf("%w: %w", err, refused)
	}
	return nil
}

// stop takes the server away; what it keeps stays. Stopping twice is no error.
func (s *storage) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		s.end()
		s.end = nil
	}
}
