package services

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"townsquare/infra/localcloud/base"
	"townsquare/infra/localcloud/network"
)

func TestNames(t *testing.T) {
	state := network.State{Records: map[string]network.Record{
		"1": {Name: "chat.townsquare.test", Type: "A", Value: "10.91.1.1"},
		"2": {Name: "Chat.townsquare.test.", Type: "AAAA", Value: "fd91::10"},
		"3": {Name: "townsquare.test", Type: "CAA", Value: "letsencrypt.org", Tag: "issue"},
		"4": {Name: "www.townsquare.test", Type: "CNAME", Value: "chat.townsquare.test"},
		"5": {Name: "deep.below.townsquare.test", Type: "TXT", Value: `say "hi"`},
		"6": {Name: "bad.townsquare.test", Type: "A", Value: "not an address"},
		"7": {Name: "loop.townsquare.test", Type: "CNAME", Value: "loop.townsquare.test"},
	}, Relay: []string{"fra1.spaces.townsquare.test", "releases.example.com"}}
	for _, test := range []struct {
		name  string
		kind  uint16
		want  string
		rcode int
	}{
		{"chat.townsquare.test.", dns.TypeA, "10.91.1.1", dns.RcodeSuccess},
		{"CHAT.townsquare.TEST.", dns.TypeAAAA, "fd91::10", dns.RcodeSuccess},
		{"townsquare.test.", dns.TypeCAA, `0 issue "letsencrypt.org"`, dns.RcodeSuccess},
		{"www.townsquare.test.", dns.TypeA, "chat.townsquare.test. 10.91.1.1", dns.RcodeSuccess},
		{"acme.townsquare.test.", dns.TypeA, network.Gateway.String(), dns.RcodeSuccess},
		{"chat.townsquare.test.", dns.TypeMX, "", dns.RcodeSuccess},
		{"below.townsquare.test.", dns.TypeA, "", dns.RcodeSuccess},
		{"ams3.spaces.townsquare.test.", dns.TypeA, network.Spaces.String(), dns.RcodeSuccess},
		{"fra1.spaces.townsquare.test.", dns.TypeA, network.Relay.String(), dns.RcodeSuccess},
		{"releases.example.com.", dns.TypeA, network.Relay.String(), dns.RcodeSuccess},
		{"releases.example.com.", dns.TypeAAAA, "", dns.RcodeSuccess},
		{"spaces.townsquare.test.", dns.TypeA, "", dns.RcodeSuccess},
		{"nobody.townsquare.test.", dns.TypeA, "", dns.RcodeNameError},
		{"example.org.", dns.TypeA, "", dns.RcodeNameError},
		{"bad.townsquare.test.", dns.TypeA, "", dns.RcodeSuccess},
	} {
		reply := new(dns.Msg)
		answer(reply, dns.Question{Name: test.name, Qtype: test.kind, Qclass: dns.ClassINET}, state)
		var got []string
		for _, rr := range reply.Answer {
			got = append(got, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
		if strings.Join(got, " ") != test.want || reply.Rcode != test.rcode {
			t.Errorf("%s %s: %q rcode %d, want %q %d", test.name, dns.TypeToString[test.kind], got, reply.Rcode, test.want, test.rcode)
		}
	}
	reply := new(dns.Msg)
	answer(reply, dns.Question{Name: "loop.townsquare.test.", Qtype: dns.TypeA}, state) // must end
}

func TestDebianProxy(t *testing.T) {
	version, down := "one", false
	archive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		if strings.Contains(r.URL.Path, "missing") {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(version + " " + r.URL.Path))
	}))
	defer archive.Close()
	cache := t.TempDir()
	proxy, err := newDebianProxy(base.Mirror{Archive: archive.URL + "/debian"}, cache)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(proxy)
	defer server.Close()
	through, _ := url.Parse(server.URL)
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(through), DisableKeepAlives: true}}
	get := func(url string) (int, string) {
		t.Helper()
		// Loopback addresses are never asked for through a proxy by Go's own
		// rules, but ProxyURL has none.
		response, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body := new(strings.Builder)
		buffer := make([]byte, 4096)
		for {
			n, err := response.Body.Read(buffer)
			body.Write(buffer[:n])
			if err != nil {
				break
			}
		}
		return response.StatusCode, body.String()
	}
	expect := func(path string, code int, body string) {
		t.Helper()
		if gotCode, gotBody := get(archive.URL + path); gotCode != code || body != "" && gotBody != body {
			t.Errorf("%s: %d %q, want %d %q", path, gotCode, gotBody, code, body)
		}
	}
	expect("/debian/pool/main/a.deb", 200, "one /debian/pool/main/a.deb")
	expect("/debian/dists/trixie/InRelease", 200, "one /debian/dists/trixie/InRelease")
	expect("/debian/pool/missing.deb", 404, "")
	version = "two"
	expect("/debian/pool/main/a.deb", 200, "one /debian/pool/main/a.deb")
	expect("/debian/dists/trixie/InRelease", 200, "two /debian/dists/trixie/InRelease")
	down = true
	expect("/debian/pool/main/a.deb", 200, "one /debian/pool/main/a.deb")
	expect("/debian/dists/trixie/InRelease", 200, "two /debian/dists/trixie/InRelease")
	expect("/debian/dists/trixie/Other", 502, "")
	if code, _ := get("http://elsewhere.example/debian/pool/x.deb"); code != http.StatusForbidden {
		t.Errorf("another host: %d", code)
	}
	if got := proxy.path(&url.URL{Host: "h", Path: "/../../../etc/passwd"}); !strings.HasPrefix(got, cache+"/") {
		t.Errorf("a path out of the cache: %s", got)
	}
}

func TestAuthorityIsStableAndLimited(t *testing.T) {
	cloud := &network.Cloud{Name: "unit", Dir: t.TempDir()}
	first, err := loadAuthority(cloud, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := loadAuthority(cloud, nil)
	if err != nil || !first.certificate.Equal(second.certificate) {
		t.Fatalf("a second start has another authority: %v", err)
	}
	if info, err := os.Stat(filepath.Join(cloud.Dir, "ca", "cloud.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v %v", info.Mode(), err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(first.certificate)
	for name, good := range map[string]bool{"releases.townsquare.test": true, "mail.example.org": false} {
		certPEM, keyPEM, err := second.issue(name)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name})
		if (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPublicAddress(t *testing.T) {
	cloud := &network.Cloud{Name: "unit", Dir: t.TempDir()}
	write := func(state network.State) {
		t.Helper()
		data, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cloud.Dir, "network.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := publicAddress(cloud); ok {
		t.Error("an empty cloud has a public address")
	}
	state := network.State{Machines: map[string]network.MachineAddr{"a": {Address: netip.MustParseAddr("10.91.0.10")}}}
	write(state)
	if got, ok := publicAddress(cloud); !ok || got.String() != "10.91.0.10" {
		t.Errorf("one machine: %s", got)
	}
	state.Reserved = map[string]network.ReservedIP{"10.91.1.1": {}, "10.91.1.2": {Machine: "a"}}
	write(state)
	if got, ok := publicAddress(cloud); !ok || got.String() != "10.91.1.2" {
		t.Errorf("reserved: %s", got)
	}
}
