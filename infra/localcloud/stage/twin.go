package stage

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/machine"
)

// Twin is another server like this one was when the scene was made, with an address of its own, until
// the test ends. To itself, and to whoever asks it in the test, it is the one behind the site's name.
func (s *Server) Twin(t testing.TB, name string) *Server {
	t.Helper()
	ctx := t.Context()
	m, err := machine.Create(ctx, s.Cloud, machine.Spec{Name: name, From: s.Stage.before.dir})
	must(t, err)
	t.Cleanup(func() {
		if err := m.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	must(t, m.Start(ctx))
	twin := *s
	twin.Machine = m
	twin.Visitor, err = Visitor(s.Cloud, time.Minute)
	must(t, err)
	transport, ok := twin.Visitor.Transport.(*http.Transport)
	if !ok {
		must(t, errors.New("a visitor who cannot be sent elsewhere"))
	}
	transport.DialContext = func(ctx context.Context, kind, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return s.Cloud.DialContext(ctx, kind, net.JoinHostPort(m.Spec.Address.String(), port))
	}
	twin.Exec(t, "echo '127.0.0.1 "+strings.TrimPrefix(s.URL, "https://")+"' >>/etc/hosts")
	must(t, twin.Await(ctx, Patience, Before))
	return &twin
}
