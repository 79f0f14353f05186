package services

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"townsquare/infra/localcloud/network"
)

// relay is how machines read from a few hosts of the world outside, by HTTPS under their own names:
// what is asked for is passed on as it came, signature of the request included, and only GET and
// HEAD are. So a machine can fetch releases and restore a backup, and neither write anything there
// nor reach anybody of its own choice: a redirection is followed here, and where to is the listed
// hosts' choice. (httputil.ReverseProxy would also join the two ends where a host agrees to upgrade
// the connection, and then everything is passed on.)
type relay struct{ client *http.Client }

func newRelay() *relay {
	return &relay{client: &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DisableCompression:    true, // the bytes as they are, which have a length and a hash
		MaxIdleConnsPerHost:   8,
		TLSHandshakeTimeout:   20 * time.Second,
		ResponseHeaderTimeout: time.Minute,
	}, CheckRedirect: func(next *http.Request, before []*http.Request) error {
		if next.URL.Scheme != "https" || len(before) == 10 {
			return fmt.Errorf("%s leads to %s", before[0].URL.Host, next.URL.Redacted())
		}
		return nil
	}}}
}

// relayTo points the names of hosts to the relay, which serves there.
func (d *Daemon) relayTo(hosts []string, ca *authority) error {
	err := d.cloud.Update(func(s *network.State) error { s.Relay = hosts; return nil })
	if err != nil || len(hosts) == 0 {
		return err
	}
	return d.serve(network.Relay.String()+":443", newRelay(), func(l net.Listener) (net.Listener, error) {
		return ca.tlsListener(l, hosts...)
	})
}

func (r *relay) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		http.Error(w, "the world outside can only be read from here", http.StatusMethodNotAllowed)
		return
	}
	if err := r.forward(w, request); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

// forward passes a request on. An error means that nothing was answered yet.
func (r *relay) forward(w http.ResponseWriter, request *http.Request) error {
	// Only names with a certificate get here; the port is not the client's to choose.
	to, err := url.Parse("https://" + request.TLS.ServerName + request.URL.RequestURI())
	if err != nil {
		return fmt.Errorf("relay %s: %w", request.URL.Path, err)
	}
	out := request.Clone(request.Context())
	out.URL, out.Host, out.RequestURI, out.Body = to, to.Host, "", nil
	out.Header.Del("Connection")
	answer, err := r.client.Do(out)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.Header().Del("Connection")
	w.Header().Del("Transfer-Encoding")
	w.WriteHeader(answer.StatusCode)
	if _, err := io.Copy(w, answer.Body); err != nil {
		panic(http.ErrAbortHandler) // the client is to see that it was cut off
	}
	return nil
}
