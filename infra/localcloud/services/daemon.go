// Package services is what a local cloud offers besides machines: names,
// certificates, releases, object storage, Debian packages, metadata. One daemon a cloud serves
// it all; machines live on without the daemon.
package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"townsquare/infra/localcloud/base"
	"townsquare/infra/localcloud/build"
	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
)

// Options are what a daemon is made of that other packages know how to make.
type Options struct {
	Pebble    string       // path of the ACME server's program
	Versitygw string       // path of the S3 server's
	Mirror    http.Handler // the release mirror
	Forward   bool         // serve the cloud on ForwardAddress of this computer
	Relay     []string     // hosts of the world outside that machines may read from by HTTPS
}

// Daemon is everything that serves a cloud while it is up.
type Daemon struct {
	cloud   *network.Cloud
	storage *storage
	stops   []func()
	quit    chan struct{}

	starting sync.Mutex // two that want the same machine get the same one
}

// Run serves a cloud until ctx ends or somebody tells the daemon to stop.
// ready is called once everything listens.
func Run(ctx context.Context, cloud *network.Cloud, options Options, ready func()) error {
	release, err := cloud.HoldDaemonLock()
	if err != nil {
		return err
	}
	defer release()
	d := &Daemon{cloud: cloud, quit: make(chan struct{})}
	defer d.stop()
	if err := d.start(ctx, options); err != nil {
		return err
	}
	ready()
	select {
	case <-ctx.Done():
	case <-d.quit:
	}
	return nil
}

func (d *Daemon) start(ctx context.Context, options Options) error {
	if err := d.cloud.CreateNamespace(); err != nil {
		return err
	}
	state, err := d.cloud.State()
	if err != nil {
		return err
	}
	if err := d.cloud.Apply(state); err != nil {
		return err
	}
	if err := d.writeResolver(); err != nil {
		return err
	}
	ca, err := loadAuthority(d.cloud, options.Relay)
	if err != nil {
		return err
	}
	stop, err := serveDNS(d.cloud)
	if err != nil {
		return err
	}
	d.stops = append(d.stops, stop)
	stop, err = startACME(ctx, d.cloud, ca, options.Pebble)
	if err != nil {
		return err
	}
	d.stops = append(d.stops, stop)
	d.storage = &storage{cloud: d.cloud, ca: ca, program: options.Versitygw}
	if err := d.storage.start(ctx); err != nil {
		return err
	}
	d.stops = append(d.stops, d.storage.stop)
	if err := writeBundle(d.cloud); err != nil {
		return err
	}
	if err := d.renewTrust(ctx); err != nil {
		return err
	}
	mirror, err := base.HostMirror("/")
	if err != nil {
		return err
	}
	proxy, err := newDebianProxy(mirror, filepath.Join(build.NewCache(nil).Dir, "debian"))
	if err != nil {
		return err
	}
	gateway := network.Gateway.String()
	if err := d.serve(gateway+":3142", proxy, nil); err != nil {
		return err
	}
	if err := d.serve(network.MetadataAddress.String()+":80", metadata(d.cloud), nil); err != nil {
		return err
	}
	wrap := func(l net.Listener) (net.Listener, error) {
		return ca.tlsListener(l, releasesName, docsName, apiName, packagesName)
	}
	if err := d.serve(gateway+":443", options.Mirror, wrap); err != nil {
		return err
	}
	if err := d.relayTo(options.Relay, ca); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", apiAddress(d.cloud))
	if err != nil {
		return fmt.Errorf("answer DigitalOcean's API on this computer: %w", err)
	}
	d.serveOn(listener, newAPI(d.cloud, d.startMachine).handler())
	if options.Forward {
		stop, err := forward(d.cloud)
		if err != nil {
			return err
		}
		d.stops = append(d.stops, stop)
	}
	return d.serveControl()
}

// renewTrust tells machines that outlived an earlier daemon of the new
// authorities.
func (d *Daemon) renewTrust(ctx context.Context) error {
	machines, err := machine.List(d.cloud)
	if err != nil {
		return err
	}
	for _, m := range machines {
		if !m.Running() {
			continue
		}
		if err := m.RenewTrust(ctx); err != nil {
			return err
		}
	}
	return nil
}

// serve serves HTTP on an address of the cloud's network.
func (d *Daemon) serve(address string, handler http.Handler, wrap func(net.Listener) (net.Listener, error)) error {
	listener, err := d.cloud.Listen("tcp", address)
	if err == nil && wrap != nil {
		listener, err = wrap(listener)
	}
	if err != nil {
		return fmt.Errorf("serve %s: %w", address, err)
	}
	d.serveOn(listener, handler)
	return nil
}

func (d *Daemon) serveOn(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second}
	go func() { _ = server.Serve(listener) }()
	d.stops = append(d.stops, func() { server.Close() })
}

func (d *Daemon) stop() {
	for n := len(d.stops) - 1; n >= 0; n-- {
		d.stops[n]()
	}
}

// writeResolver makes `ip netns exec` and `localcloud exec` ask the cloud's
// DNS.
func (d *Daemon) writeResolver() error {
	dir := filepath.Join("/etc/netns", d.cloud.Namespace())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte("nameserver "+network.Gateway.String()+"\n"), 0o644)
}

// startMachine switches a machine on. It outlives the request: a machine half started is no use to the
// next caller either.
func (d *Daemon) startMachine(ctx context.Context, m *machine.Machine) error {
	d.starting.Lock()
	defer d.starting.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	return machine.Spawn(ctx, d.cloud, m.Spec.Name, "supervise", "--cloud", d.cloud.Name, m.Spec.Name)
}

// serveControl takes orders on the daemon's socket. It is in a directory that
// only root may enter.
func (d *Daemon) serveControl() error {
	if err := os.Remove(d.cloud.SocketPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", d.cloud.SocketPath())
	if err != nil {
		return fmt.Errorf("listen for orders: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /machines/{name}/start", func(w http.ResponseWriter, r *http.Request) {
		m, err := machine.Open(d.cloud, r.PathValue("name"))
		if err == nil {
			err = d.startMachine(r.Context(), m)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /spaces/start", func(w http.ResponseWriter, r *http.Request) {
		if err := d.storage.start(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /spaces/stop", func(http.ResponseWriter, *http.Request) { d.storage.stop() })
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]int{"pid": os.Getpid()})
	})
	var once sync.Once
	mux.HandleFunc("POST /stop", func(http.ResponseWriter, *http.Request) {
		once.Do(func() { close(d.quit) })
	})
	d.serveOn(listener, mux)
	return nil
}
