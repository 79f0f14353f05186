package services

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"

	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
)

// metadata serves, to each machine, what the cloud knows about it: DigitalOcean
// does so to every process of a droplet, user data included.
func metadata(cloud *network.Cloud) http.Handler {
	mux := http.NewServeMux()
	get := func(path string, content func(machine.Spec) string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			spec, ok := asking(cloud, r)
			if !ok {
				http.Error(w, "no machine has your address", http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte(content(spec)))
		})
	}
	get("/metadata/v1/id", func(s machine.Spec) string { return s.InstanceID })
	get("/metadata/v1/hostname", func(s machine.Spec) string { return s.Hostname })
	get("/metadata/v1/user-data", func(s machine.Spec) string { return s.UserData })
	get("/metadata/v1/interfaces/public/0/ipv4/address", func(s machine.Spec) string { return s.Address.String() })
	get("/metadata/v1/interfaces/public/0/ipv6/address", func(s machine.Spec) string { return s.Address6.String() })
	get("/metadata/v1.json", func(s machine.Spec) string {
		data, _ := json.Marshal(map[string]any{ // strings only: cannot fail
			"droplet_id": s.InstanceID, "hostname": s.Hostname,
			"user_data": s.UserData, "public_keys": s.PublicKeys,
		})
		return string(data)
	})
	return mux
}

func asking(cloud *network.Cloud, r *http.Request) (machine.Spec, bool) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return machine.Spec{}, false
	}
	from, err := netip.ParseAddr(host)
	if err != nil {
		return machine.Spec{}, false
	}
	all, err := machine.List(cloud)
	if err != nil {
		return machine.Spec{}, false
	}
	for _, m := range all {
		if m.Spec.Address == from.Unmap() {
			return m.Spec, true
		}
	}
	return machine.Spec{}, false
}
