package stage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"townsquare/infra/localcloud/network"
)

// Visitor is a client as the cloud's neighbour has it: the cloud's DNS, the cloud's authority, and
// sockets made inside the cloud's network, while this process stays outside. patience bounds each
// request.
func Visitor(cloud *network.Cloud, patience time.Duration) (*http.Client, error) {
	bundle, err := os.ReadFile(cloud.Bundle())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("%s holds no certificate", cloud.Bundle())
	}
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 100,
		DialContext:         Inside(cloud),
	}
	return &http.Client{Transport: transport, Timeout: patience}, nil
}

// Inside dials from within the cloud's network, names asked of its DNS.
func Inside(cloud *network.Cloud) func(ctx context.Context, kind, address string) (net.Conn, error) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, kind, _ string) (net.Conn, error) {
		return cloud.DialContext(ctx, kind, net.JoinHostPort(network.Gateway.String(), "53"))
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
		return cloud.DialContext(ctx, kind, net.JoinHostPort(addresses[0].Unmap().String(), port))
	}
}
