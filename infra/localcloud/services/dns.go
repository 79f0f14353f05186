package services

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/spaces"
)

// Names of the cloud's own services; each is the gateway.
const (
	acmeName     = "acme." + network.Zone
	releasesName = "releases." + network.Zone
	docsName     = "docs." + network.Zone
	apiName      = "api." + network.Zone
	packagesName = "packages." + network.Zone
)

// nameServer answers for the cloud's zone and for whatever domain has records.
// There is no world beyond, but for what the relay stands for: any other name does not exist.
type nameServer struct {
	cloud *network.Cloud
}

func (s *nameServer) ServeDNS(w dns.ResponseWriter, request *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(request)
	reply.Authoritative = true
	reply.RecursionAvailable = true
	if len(request.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		_ = w.WriteMsg(reply)
		return
	}
	// Read anew each time: records change while the daemon runs.
	state, err := s.cloud.State()
	if err != nil {
		reply.Rcode = dns.RcodeServerFailure
		_ = w.WriteMsg(reply)
		return
	}
	answer(reply, request.Question[0], state)
	_ = w.WriteMsg(reply)
}

func answer(reply *dns.Msg, q dns.Question, state network.State) {
	name := dns.CanonicalName(q.Name)
	all := records(state)
	if slices.Contains(state.Relay, strings.TrimSuffix(name, ".")) { // whatever else is of that name
		all = []network.Record{{Name: name, Type: "A", Value: network.Relay.String()}}
	}
	for range 8 { // a chain of aliases has an end
		found, alias := false, ""
		for _, r := range all {
			if !covers(r.Name, name) {
				continue
			}
			found, r.Name = true, name // a wildcard answers under the name that was asked for
			rr, err := resource(r)
			if err != nil {
				continue // refused when it was made; not a reason to be silent
			}
			if rr.Header().Rrtype == q.Qtype || q.Qtype == dns.TypeANY {
				reply.Answer = append(reply.Answer, rr)
			} else if c, ok := rr.(*dns.CNAME); ok {
				reply.Answer = append(reply.Answer, rr)
				alias = dns.CanonicalName(c.Target)
			}
		}
		if alias == "" {
			if !found && len(reply.Answer) == 0 && !above(name, state) {
				reply.Rcode = dns.RcodeNameError
			}
			break
		}
		name = alias
	}
	if len(reply.Answer) == 0 {
		reply.Ns = append(reply.Ns, &dns.SOA{
			Hdr: dns.RR_Header{Name: network.Zone + ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1},
			Ns:  "ns." + network.Zone + ".", Mbox: "hostmaster." + network.Zone + ".",
			// Nothing is to remember that a name was missing a moment ago.
			Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: 0,
		})
	}
}

// covers says whether a record's name, which may begin with "*.", is a name's.
func covers(record, name string) bool {
	record = dns.CanonicalName(record)
	below, wild := strings.CutPrefix(record, "*")
	return record == name || wild && strings.HasSuffix(name, below)
}

// above says that a name exists without records, because others lie below it.
func above(name string, state network.State) bool {
	if name == network.Zone+"." {
		return true
	}
	for _, r := range records(state) {
		if strings.HasSuffix(dns.CanonicalName(r.Name), "."+name) {
			return true
		}
	}
	return false
}

func records(state network.State) []network.Record {
	var all []network.Record
	for _, name := range []string{acmeName, releasesName, docsName, apiName, packagesName} {
		all = append(all, network.Record{Name: name, Type: "A", Value: network.Gateway.String()})
	}
	all = append(all, network.Record{Name: "*." + spaces.Domain, Type: "A", Value: network.Spaces.String()})
	for _, r := range state.Records {
		all = append(all, r)
	}
	return all
}

// resource puts a record together as a zone file would.
func resource(r network.Record) (dns.RR, error) {
	ttl := r.TTL
	if ttl == 0 {
		ttl = 60
	}
	value := r.Value
	switch r.Type {
	case "CAA":
		value = fmt.Sprintf("%d %s %q", r.Flags, r.Tag, r.Value)
	case "TXT":
		value = fmt.Sprintf("%q", r.Value)
	case "MX":
		value = fmt.Sprintf("%d %s", r.Priority, dns.Fqdn(r.Value))
	case "SRV":
		value = fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, dns.Fqdn(r.Value))
	case "CNAME", "NS":
		value = dns.Fqdn(r.Value)
	}
	rr, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", dns.Fqdn(r.Name), ttl, r.Type, value))
	if err == nil && rr == nil {
		err = fmt.Errorf("record %s: empty", r.Name)
	}
	return rr, err
}

// serveDNS listens on both transports and returns a function that ends it.
func serveDNS(cloud *network.Cloud) (stop func(), err error) {
	address := net.JoinHostPort(network.Gateway.String(), "53")
	packet, err := cloud.ListenPacket("udp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS: %w", err)
	}
	stream, err := cloud.Listen("tcp", address)
	if err != nil {
		packet.Close()
		return nil, fmt.Errorf("listen for DNS: %w", err)
	}
	handler := &nameServer{cloud: cloud}
	udp := &dns.Server{PacketConn: packet, Handler: handler}
	tcp := &dns.Server{Listener: stream, Handler: handler}
	go func() { _ = udp.ActivateAndServe() }()
	go func() { _ = tcp.ActivateAndServe() }()
	return func() {
		_ = udp.Shutdown()
		_ = tcp.Shutdown()
	}, nil
}
