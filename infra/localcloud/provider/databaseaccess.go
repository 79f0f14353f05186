package provider

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/google/uuid"
)

// DatabaseDbArgs are the inputs of digitalocean.DatabaseDb.
type DatabaseDbArgs struct {
	ClusterId string  `pulumi:"clusterId"`
	Name      *string `pulumi:"name,optional"`
}

// DatabaseDbState is a database of a cluster; its owner is the cluster's administrator.
type DatabaseDbState struct{ DatabaseDbArgs }

func newDatabaseDbs(cloud *Cloud) infer.InferredResource {
	r := &resource[DatabaseDbArgs, DatabaseDbState]{cloud: cloud, name: "DatabaseDb"}
	r.autoname = func(in *DatabaseDbArgs) **string { return &in.Name }
	r.create = func(ctx context.Context, in DatabaseDbArgs) (string, DatabaseDbState, error) {
		cloud.databases.Lock()
		defer cloud.databases.Unlock()
		place, err := cloud.cluster(in.ClusterId, *in.Name)
		if err != nil {
			return "", DatabaseDbState{}, err
		}
		err = runSQL(ctx, cloud.backend, place.Machine, "postgres",
			fmt.Sprintf("CREATE DATABASE %s OWNER %s;", quoteName(*in.Name), quoteName(databaseAdmin)))
		if err != nil {
			return "", DatabaseDbState{}, err
		}
		return r.record(in.ClusterId+"/database/"+*in.Name, DatabaseDbState{in})
	}
	r.remove = func(ctx context.Context, id string, state DatabaseDbState) error {
		return cloud.inCluster(ctx, r.name, id, state.ClusterId, func(machine string) error {
			return runSQL(ctx, cloud.backend, machine, "postgres", fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE);", quoteName(*state.Name)))
		})
	}
	return infer.Resource(r)
}

// DatabaseUserArgs are the inputs of digitalocean.DatabaseUser.
type DatabaseUserArgs struct {
	ClusterId       string        `pulumi:"clusterId"`
	MysqlAuthPlugin *string       `pulumi:"mysqlAuthPlugin,optional"`
	Name            *string       `pulumi:"name,optional"`
	Settings        []UserSetting `pulumi:"settings,optional"`
}

// UserSetting is for engines that this cloud does not have.
type UserSetting struct {
	Acls []UserAcl `pulumi:"acls,optional"`
}

// UserAcl is for engines that this cloud does not have.
type UserAcl struct {
	Id         *string `pulumi:"id,optional"`
	Permission string  `pulumi:"permission"`
	Topic      string  `pulumi:"topic"`
}

// DatabaseUserState is a role that may log in, and nothing else until someone grants it more.
type DatabaseUserState struct {
	DatabaseUserArgs
	AccessCert string `pulumi:"accessCert"`
	AccessKey  string `pulumi:"accessKey"`
	Password   string `pulumi:"password"`
	Role       string `pulumi:"role"`
}

func newDatabaseUsers(cloud *Cloud) infer.InferredResource {
	r := &resource[DatabaseUserArgs, DatabaseUserState]{cloud: cloud, name: "DatabaseUser"}
	r.autoname = func(in *DatabaseUserArgs) **string { return &in.Name }
	r.secrets = func(s *DatabaseUserState) []any { return []any{&s.Password, &s.AccessCert, &s.AccessKey} }
	r.create = func(ctx context.Context, in DatabaseUserArgs) (string, DatabaseUserState, error) {
		state := DatabaseUserState{DatabaseUserArgs: in, Password: "AVNS_" + randomText(14), Role: "normal"}
		cloud.databases.Lock()
		defer cloud.databases.Unlock()
		place, err := cloud.cluster(in.ClusterId, *in.Name)
		if err != nil {
			return "", state, err
		}
		err = runSQL(ctx, cloud.backend, place.Machine, "postgres",
			fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD %s;", quoteName(*in.Name), quoteText(state.Password)))
		if err != nil {
			return "", state, err
		}
		return r.record(in.ClusterId+"/user/"+*in.Name, state)
	}
	r.remove = func(ctx context.Context, id string, state DatabaseUserState) error {
		return cloud.inCluster(ctx, r.name, id, state.ClusterId, func(machine string) error {
			return dropRole(ctx, cloud.backend, machine, *state.Name)
		})
	}
	return infer.Resource(r)
}

// dropRole removes a role; what it owned, in whichever database, goes to the administrator.
func dropRole(ctx context.Context, backend Backend, machine, role string) error {
	psql := fmt.Sprintf("runuser -u postgres -- psql -X -q -v ON_ERROR_STOP=1 -p %d", databasePort)
	statements := fmt.Sprintf("REASSIGN OWNED BY %s TO %s; DROP OWNED BY %s;", quoteName(role), quoteName(databaseAdmin), quoteName(role))
	return runScript(ctx, backend, machine, fmt.Sprintf(`set -eu
[ -n "$(%[1]s -At -d postgres -c "SELECT 1 FROM pg_roles WHERE rolname = '%[2]s'")" ] || exit 0
for db in $(%[1]s -At -d postgres -c 'SELECT datname FROM pg_database WHERE datallowconn'); do
	%[1]s -d "$db" -c '%[3]s'
done
%[1]s -d postgres -c 'DROP ROLE "%[2]s"'
`, psql, role, statements))
}

// cluster checks a name for use in a cluster and returns where the cluster runs.
func (c *Cloud) cluster(id, name string) (Placement, error) {
	if !validSQLName.MatchString(name) {
		return Placement{}, refused("name: %q: letters, digits, dashes and underscores, at most 63", name)
	}
	place, err := c.placement(id)
	if err != nil {
		return place, fmt.Errorf("cluster %q: %w", id, err)
	}
	return place, nil
}

// inCluster removes something from a cluster and from the inventory; with the cluster gone, it is
// gone too.
func (c *Cloud) inCluster(ctx context.Context, kind, id, cluster string, remove func(machine string) error) error {
	c.databases.Lock()
	defer c.databases.Unlock()
	place, err := c.placement(cluster)
	if err == nil {
		err = remove(place.Machine)
	}
	if err := ignoreNotFound(err); err != nil {
		return err
	}
	return c.change(func(contents *Contents) error { contents.drop(kind, id); return nil })
}

// DatabaseFirewallArgs are the inputs of digitalocean.DatabaseFirewall.
type DatabaseFirewallArgs struct {
	ClusterId string         `pulumi:"clusterId"`
	Rules     []DatabaseRule `pulumi:"rules"`
}

// DatabaseRule names who may connect: a droplet by id, all droplets of a tag, or an address.
type DatabaseRule struct {
	CreatedAt *string `pulumi:"createdAt,optional"`
	Type      string  `pulumi:"type"`
	Uuid      *string `pulumi:"uuid,optional"`
	Value     string  `pulumi:"value"`
}

// DatabaseFirewallState is who may connect to a cluster. A cluster without one is open to all.
type DatabaseFirewallState struct{ DatabaseFirewallArgs }

func newDatabaseFirewalls(cloud *Cloud) infer.InferredResource {
	r := &resource[DatabaseFirewallArgs, DatabaseFirewallState]{cloud: cloud, name: "DatabaseFirewall"}
	save := func(ctx context.Context, id string, state *DatabaseFirewallState) error {
		rules := make([]DatabaseRule, len(state.Rules))
		for i, rule := range state.Rules {
			rule.Uuid, rule.CreatedAt = ptr(uuid.NewString()), ptr(now())
			rules[i] = rule
		}
		state.Rules = rules
		return cloud.changeNetwork(ctx, func(c *Contents) error {
			if err := refuseDatabaseRules(c, state.DatabaseFirewallArgs); err != nil {
				return err
			}
			return c.put(r.name, id, *state)
		})
	}
	r.create = func(ctx context.Context, in DatabaseFirewallArgs) (string, DatabaseFirewallState, error) {
		id, state := in.ClusterId+"/firewall-"+randomHex(6), DatabaseFirewallState{in}
		err := save(ctx, id, &state)
		return id, state, err
	}
	r.update = func(ctx context.Context, id string, _ DatabaseFirewallState, state *DatabaseFirewallState) error {
		return save(ctx, id, state)
	}
	r.remove = func(ctx context.Context, id string, _ DatabaseFirewallState) error {
		return cloud.changeNetwork(ctx, func(c *Contents) error { c.drop(r.name, id); return nil })
	}
	return infer.Resource(r)
}

func refuseDatabaseRules(c *Contents, in DatabaseFirewallArgs) error {
	var problems []error
	if _, ok := c.Machines[in.ClusterId]; !ok {
		problems = append(problems, fmt.Errorf("cluster %q: %w", in.ClusterId, errNotFound))
	}
	for _, rule := range in.Rules {
		switch rule.Type {
		case "droplet":
			if _, ok := c.Resources["Droplet"][rule.Value]; !ok {
				problems = append(problems, refused("rules: droplet %q: %w", rule.Value, errNotFound))
			}
		case "ip_addr":
			if _, err := parsePeer(rule.Value); err != nil {
				problems = append(problems, refused("rules: %w", err))
			}
		}
	}
	return errors.Join(problems...)
}

// addDatabaseFirewalls lets only what the rules name reach a cluster's port.
func addDatabaseFirewalls(c *Contents, network *Network) error {
	firewalls, err := all[DatabaseFirewallState](c, "DatabaseFirewall")
	if err != nil {
		return err
	}
	hosts, err := all[DropletState](c, "Droplet")
	if err != nil {
		return err
	}
	anywhere := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	for _, firewall := range firewalls {
		rule := Rule{Protocol: "tcp", Ports: fmt.Sprint(databasePort)}
		for _, source := range firewall.Rules {
			var peers []netip.Prefix
			switch source.Type {
			case "droplet":
				peers = c.Machines[source.Value].prefixes()
			case "tag":
				peers, err = peersOf(c, hosts, nil, nil, []string{source.Value})
			case "ip_addr":
				peers, err = peersOf(c, hosts, []string{source.Value}, nil, nil)
			}
			if err != nil {
				return err
			}
			rule.Peers = append(rule.Peers, peers...)
		}
		machine := c.Machines[firewall.ClusterId].Machine
		sum := network.Firewalls[machine]
		sum.Inbound = append(sum.Inbound, rule)
		sum.Outbound = []Rule{{Protocol: "tcp", Peers: anywhere}, {Protocol: "udp", Peers: anywhere}, {Protocol: "icmp", Peers: anywhere}}
		network.Firewalls[machine] = sum
	}
	return nil
}

// DatabaseCa is the function getDatabaseCa.
type DatabaseCa struct{ cloud *Cloud }

// DatabaseCaArgs says whose authority is wanted.
type DatabaseCaArgs struct {
	ClusterId string `pulumi:"clusterId"`
}

// DatabaseCaResult is a cluster's authority, in PEM. The real one has an id, too: see withIDs.
type DatabaseCaResult struct {
	Certificate string `pulumi:"certificate"`
	ClusterId   string `pulumi:"clusterId"`
}

// Annotate gives the function its name.
func (f *DatabaseCa) Annotate(a infer.Annotator) { a.SetToken("index/getDatabaseCa", "getDatabaseCa") }

// Invoke looks the authority up.
func (f *DatabaseCa) Invoke(_ context.Context, req infer.FunctionRequest[DatabaseCaArgs]) (infer.FunctionResponse[DatabaseCaResult], error) {
	var authority Authority
	err := f.cloud.view(func(c *Contents) error { return c.get("DatabaseAuthority", req.Input.ClusterId, &authority) })
	if err != nil {
		return infer.FunctionResponse[DatabaseCaResult]{}, fmt.Errorf("get database CA: %w", err)
	}
	return infer.FunctionResponse[DatabaseCaResult]{Output: DatabaseCaResult{
		Certificate: authority.Certificate, ClusterId: req.Input.ClusterId,
	}}, nil
}

// withIDs gives results of functions the id that the real provider's have; infer reserves that name.
func withIDs(provider p.Provider) p.Provider {
	invoke := provider.Invoke
	provider.Invoke = func(ctx context.Context, req p.InvokeRequest) (p.InvokeResponse, error) {
		resp, err := invoke(ctx, req)
		if id, ok := resp.Return.GetOk("clusterId"); ok && err == nil {
			resp.Return = resp.Return.Set("id", id)
		}
		return resp, err
	}
	return provider
}
