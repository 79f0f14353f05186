//go:build machine

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"townsquare/infra/localcloud/network"
)

// visitor is a client as the cloud's neighbour has it: the cloud's DNS, the cloud's authority, and
// sockets made inside the cloud's network, while this process stays outside.
func visitor(t *testing.T, cloud *network.Cloud) *http.Client {
	t.Helper()
	bundle, err := os.ReadFile(cloud.Bundle())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		t.Fatalf("%s holds no certificate", cloud.Bundle())
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 100,
		DialContext:         inside(cloud),
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 60 * time.Second}
}

// inside dials from within the cloud's network, names asked of its DNS.
func inside(cloud *network.Cloud) func(ctx context.Context, kind, address string) (net.Conn, error) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, kind, _ string) (net.Conn, error) {
		return dial(ctx, cloud.NamespacePath(), kind, net.JoinHostPort(network.Gateway.String(), "53"))
	}}
	return func(ctx context.Context, kind, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		addresses, err := resolver.LookupNetIP(ctx, "ip4", host)
		if err != nil {
			return nil, err
		}
		return dial(ctx, cloud.NamespacePath(), kind, net.JoinHostPort(addresses[0].Unmap().String(), port))
	}
}

// dial opens a socket inside a network namespace. A socket stays where it was made, so only the
// call itself needs the thread moved there; a literal address keeps it on this one thread.
func dial(ctx context.Context, namespace, kind, address string) (net.Conn, error) {
	runtime.LockOSThread()
	own, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer own.Close()
	other, err := os.Open(namespace)
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter %s: %w", namespace, err)
	}
	conn, dialErr := new(net.Dialer).DialContext(ctx, kind, address)
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		// The thread stays locked and so dies with this goroutine: it must not run other code.
		return nil, fmt.Errorf("leave %s: %w", namespace, err)
	}
	runtime.UnlockOSThread()
	return conn, dialErr
}
