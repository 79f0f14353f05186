package infra

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// recorder is the engine of a test: it answers as DigitalOcean would and keeps what was asked. It
// refuses what the real engine refuses, a second resource of the same name, and what it lets
// through, a resource that belongs to no component.
type recorder struct {
	mu       sync.Mutex
	all      []registered
	problems []string
	rules    map[string]changeRule // by name
}

// refuse keeps the rules, as the SDK's mocks have no hooks that would obey them.
func (r *recorder) refuse(name string, rules ...changeRule) (pulumi.ResourceOption, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rules[name] != nil {
		r.problems = append(r.problems, fmt.Sprintf("there are two rules named %s", name))
	}
	r.rules[name] = func(before, after resource.PropertyMap) Problems { return judge(rules, before, after) }
	return pulumi.ResourceHooks(&pulumi.ResourceHookBinding{}), nil
}

// registered is one resource as the program asked for it.
type registered struct {
	Type, Name, Parent string
	Protect            bool
	IgnoreChanges      []string
	DeleteFirst        bool
	SecretOutputs      []string
	Timeouts           pulumi.CustomTimeouts
	Inputs             resource.PropertyMap
	Custom             bool
}

// answers are what DigitalOcean computes, by type.
var answers = map[string]map[string]any{
	"digitalocean:index/vpc:Vpc":               {"vpcUrn": "do:vpc:1"},
	"digitalocean:index/reservedIp:ReservedIp": {"ipAddress": "198.51.100.7", "urn": "do:floatingip:198.51.100.7"},
	"digitalocean:index/droplet:Droplet":       {"ipv6Address": "2001:db8::7", "dropletUrn": "do:droplet:4711"},
	"digitalocean:index/volume:Volume":         {"volumeUrn": "do:volume:1"},
	"digitalocean:index/sshKey:SshKey":         {"fingerprint": "aa:bb"},
	"digitalocean:index/domain:Domain":         {"domainUrn": "do:domain:example.org"},
	"digitalocean:index/databaseCluster:DatabaseCluster": {
		"privateHost": "private-db.example.com", "host": "db.example.com", "port": 25060,
		"user": "doadmin", "password": "admin/pass word", "clusterUrn": "do:dbaas:1",
	},
	"digitalocean:index/databaseUser:DatabaseUser": {"password": "p@ss:word"},
	"digitalocean:index/spacesBucket:SpacesBucket": {"bucketUrn": "do:space:b", "endpoint": "nyc3.digitaloceanspaces.com"},
	"digitalocean:index/spacesKey:SpacesKey":       {"accessKey": "spaces-access", "secretKey": "spaces-secret"},
}

func (r *recorder) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rpc := args.RegisterRPC
	got := registered{
		Type: args.TypeToken, Name: args.Name, Parent: rpc.GetParent(), Custom: args.Custom,
		Protect: rpc.GetProtect(), IgnoreChanges: rpc.GetIgnoreChanges(), DeleteFirst: rpc.GetDeleteBeforeReplace(),
		SecretOutputs: rpc.GetAdditionalSecretOutputs(), Inputs: args.Inputs,
		Timeouts: pulumi.CustomTimeouts{
			Create: rpc.GetCustomTimeouts().GetCreate(), Update: rpc.GetCustomTimeouts().GetUpdate(), Delete: rpc.GetCustomTimeouts().GetDelete(),
		},
	}
	if slices.ContainsFunc(r.all, func(o registered) bool { return o.Type == got.Type && o.Name == got.Name }) {
		r.problems = append(r.problems, fmt.Sprintf("%s %s is there twice", got.Type, got.Name))
	}
	rootChild := strings.Contains(got.Parent, "pulumi:pulumi:Stack") && !strings.Contains(got.Parent, "townsquare:infra:")
	if got.Custom && (got.Parent == "" || rootChild) && !strings.HasSuffix(got.Type, ":Project") {
		r.problems = append(r.problems, fmt.Sprintf("%s %s belongs to no component", got.Type, got.Name))
	}
	if got.Custom && strings.HasPrefix(got.Type, "digitalocean:") && got.Inputs.HasValue("name") == false &&
		slices.Contains(named, got.Type) {
		r.problems = append(r.problems, fmt.Sprintf("%s %s has a name made up by the engine", got.Type, got.Name))
	}
	r.all = append(r.all, got)

	state := args.Inputs.Copy()
	for key, value := range answers[args.TypeToken] {
		state[resource.PropertyKey(key)] = resource.NewPropertyValue(value)
	}
	id := args.Name + "-id"
	if args.TypeToken == "digitalocean:index/droplet:Droplet" {
		id = "4711"
	}
	return id, state, nil
}

// named are the types whose names people see in the control panel.
var named = []string{
	"digitalocean:index/vpc:Vpc", "digitalocean:index/droplet:Droplet", "digitalocean:index/volume:Volume",
	"digitalocean:index/firewall:Firewall", "digitalocean:index/databaseCluster:DatabaseCluster",
	"digitalocean:index/spacesBucket:SpacesBucket", "digitalocean:index/project:Project",
}

func (r *recorder) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	if args.Token == "digitalocean:index/getDatabaseCa:getDatabaseCa" {
		return resource.NewPropertyMapFromMap(map[string]any{
			"id": "ca", "clusterId": args.Args["clusterId"].StringValue(), "certificate": "-----BEGIN CERTIFICATE-----",
		}), nil
	}
	return nil, fmt.Errorf("unexpected call of %s", args.Token)
}

// output is one of the stack's, resolved.
type output struct {
	value  any
	secret bool
}

// deploy builds a stack with changes to a valid configuration.
func deploy(t *testing.T, changes map[string]string) (*recorder, map[string]output) {
	t.Helper()
	r := &recorder{rules: map[string]changeRule{}}
	outputs := map[string]output{}
	var wait sync.WaitGroup // the engine waits for resources, not for outputs
	c := testConfig(t, changes)
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		all, err := build(ctx, c, r.refuse)
		if err != nil {
			return err
		}
		for name, value := range all {
			out := pulumi.ToOutput(value)
			wait.Add(1)
			out.ApplyT(func(v any) any {
				defer wait.Done()
				r.mu.Lock()
				defer r.mu.Unlock()
				// Known only now: before, nobody has said whether it is a secret.
				outputs[name] = output{value: v, secret: pulumi.IsSecret(out)}
				return v
			})
		}
		return nil
	}, pulumi.WithMocks("townsquare", "prod", r))
	if err != nil {
		t.Fatal(err)
	}
	wait.Wait()
	for _, p := range r.problems {
		t.Error(p)
	}
	return r, outputs
}

// of are the resources of a type, such as "droplet:Droplet", in the order of their names.
func (r *recorder) of(kind string) []registered {
	var found []registered
	for _, o := range r.all {
		if strings.HasSuffix(o.Type, "/"+kind) {
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(a, b registered) int { return strings.Compare(a.Name, b.Name) })
	return found
}

func (r *recorder) one(t *testing.T, kind string) registered {
	t.Helper()
	found := r.of(kind)
	if len(found) != 1 {
		t.Fatalf("%d resources of type %s, want 1", len(found), kind)
	}
	return found[0]
}

// plain takes a value out of its wrapper of secrecy.
func plain(v resource.PropertyValue) any {
	for v.IsSecret() || v.IsOutput() {
		if v.IsSecret() {
			v = v.SecretValue().Element
		} else {
			v = v.OutputValue().Element
		}
	}
	return v.Mappable()
}
