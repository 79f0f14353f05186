package services

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"townsquare/infra/localcloud/network"
)

const (
	acmePort       = "14000"
	acmeManagement = "15000"
)

// startACME runs pebble, a small ACME server, in the cloud's network, and
// writes the root that it issues from to ca/acme.pem. Pebble keeps nothing: a
// new daemon has a new root, and whoever had a certificate asks for another.
func startACME(ctx context.Context, cloud *network.Cloud, ca *authority, pebble string) (stop func(), err error) {
	dir := filepath.Join(cloud.Dir, "acme")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	certPEM, keyPEM, err := ca.issue(acmeName)
	if err != nil {
		return nil, err
	}
	gateway := network.Gateway.String()
	settings, err := json.MarshalIndent(map[string]any{"pebble": map[string]any{
		"listenAddress":           net.JoinHostPort(gateway, acmePort),
		"managementListenAddress": net.JoinHostPort(gateway, acmeManagement),
		"certificate":             filepath.Join(dir, "server.pem"),
		"privateKey":              filepath.Join(dir, "server.key"),
		"httpPort":                80,
		"tlsPort":                 443,
		"keyAlgorithm":            "ecdsa",
		"caaIdentities":           []string{"letsencrypt.org", acmeName},
		"profiles": map[string]any{"default": map[string]any{
			"description": "ninety days, as public authorities issue", "validityPeriod": 90 * 24 * 3600,
		}},
	}}, "", "  ")
	if err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{"server.pem": certPEM, "server.key": keyPEM, "pebble.json": settings} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(dir, "pebble.json")
	cmd := exec.Command(pebble, "-config", config, "-dnsserver", net.JoinHostPort(gateway, "53"))
	cmd.Dir = dir
	// Deliberate delays and refusals are for testing ACME clients; this cloud
	// tests what is built on one.
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0")
	log := filepath.Join(dir, "pebble.log")
	alive, stop, err := startChild(ctx, cloud, cmd, config, log)
	if err != nil {
		return nil, err
	}
	root, err := acmeRoot(alive, cloud, ca)
	if err == nil {
		err = os.WriteFile(filepath.Join(cloud.Dir, "ca", "acme.pem"), root, 0o644)
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("start pebble: %w (see %s)", err, log)
	}
	return stop, nil
}

// acmeRoot asks pebble for the root certificate of what it issues.
func acmeRoot(ctx context.Context, cloud *network.Cloud, ca *authority) ([]byte, error) {
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: pool, ServerName: acmeName, MinVersion: tls.VersionTLS12},
		DialContext:       cloud.DialContext,
	}}
	url := "https://" + net.JoinHostPort(network.Gateway.String(), acmeManagement) + "/roots/0"
	var root []byte
	var last error
	err := network.Settle(ctx, func() bool {
		root, last = get(ctx, client, url)
		return last == nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, last)
	}
	return root, nil
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", response.Status)
	}
	return io.ReadAll(response.Body)
}
