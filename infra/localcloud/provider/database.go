package provider

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/google/uuid"

	"townsquare/infra/slug"
)

// DatabaseClusterArgs are the inputs of digitalocean.DatabaseCluster.
type DatabaseClusterArgs struct {
	BackupRestore      *BackupRestore      `pulumi:"backupRestore,optional"`
	Engine             string              `pulumi:"engine"`
	EvictionPolicy     *string             `pulumi:"evictionPolicy,optional"`
	MaintenanceWindows []MaintenanceWindow `pulumi:"maintenanceWindows,optional"`
	Name               *string             `pulumi:"name,optional"`
	NodeCount          int                 `pulumi:"nodeCount"`
	PrivateNetworkUuid *string             `pulumi:"privateNetworkUuid,optional"`
	ProjectId          *string             `pulumi:"projectId,optional"`
	Region             string              `pulumi:"region"`
	Size               string              `pulumi:"size"`
	SqlMode            *string             `pulumi:"sqlMode,optional"`
	StorageAutoscale   *StorageAutoscale   `pulumi:"storageAutoscale,optional"`
	StorageSizeMib     *string             `pulumi:"storageSizeMib,optional"`
	Tags               []string            `pulumi:"tags,optional"`
	Version            *string             `pulumi:"version,optional"`
}

// MaintenanceWindow is when DigitalOcean may update the cluster; the hour is in UTC.
type MaintenanceWindow struct {
	Day  string `pulumi:"day"`
	Hour string `pulumi:"hour"`
}

// BackupRestore makes a cluster from another one's backup.
type BackupRestore struct {
	BackupCreatedAt *string `pulumi:"backupCreatedAt,optional"`
	DatabaseName    string  `pulumi:"databaseName"`
}

// StorageAutoscale lets the disk grow by itself.
type StorageAutoscale struct {
	Enabled          bool `pulumi:"enabled"`
	IncrementGib     *int `pulumi:"incrementGib,optional"`
	ThresholdPercent *int `pulumi:"thresholdPercent,optional"`
}

// DatabaseClusterState is a managed PostgreSQL: a machine of its own.
type DatabaseClusterState struct {
	DatabaseClusterArgs
	ClusterUrn       string   `pulumi:"clusterUrn"`
	Database         string   `pulumi:"database"`
	Host             string   `pulumi:"host"`
	MetricsEndpoints []string `pulumi:"metricsEndpoints,optional"`
	Password         string   `pulumi:"password"`
	Port             int      `pulumi:"port"`
	PrivateHost      string   `pulumi:"privateHost"`
	PrivateUri       string   `pulumi:"privateUri"`
	UiDatabase       string   `pulumi:"uiDatabase"`
	UiHost           string   `pulumi:"uiHost"`
	UiPassword       string   `pulumi:"uiPassword"`
	UiPort           int      `pulumi:"uiPort"`
	UiUri            string   `pulumi:"uiUri"`
	UiUser           string   `pulumi:"uiUser"`
	Uri              string   `pulumi:"uri"`
	User             string   `pulumi:"user"`
}

// What every cluster at DigitalOcean has. https://docs.digitalocean.com/products/databases/postgresql/
const (
	databaseAdmin  = "doadmin"
	databaseFirst  = "defaultdb"
	databasePort   = 25060
	databaseDomain = "db.townsquare.test"
)

var validCluster = regexp.MustCompile(`^[a-z][a-z0-9-]{2,62}$`)

type clusters struct {
	*resource[DatabaseClusterArgs, DatabaseClusterState]
}

func newDatabaseClusters(cloud *Cloud) infer.InferredResource {
	d := clusters{&resource[DatabaseClusterArgs, DatabaseClusterState]{cloud: cloud, name: "DatabaseCluster"}}
	d.autoname = func(in *DatabaseClusterArgs) **string { return &in.Name }
	d.secrets = func(s *DatabaseClusterState) []any {
		return []any{&s.Password, &s.Uri, &s.PrivateUri, &s.UiPassword, &s.UiUri}
	}
	d.check, d.create, d.update, d.refresh, d.remove = checkCluster, d.make, d.alter, d.look, d.destroy
	return infer.Resource(d.resource)
}

func checkCluster(in *DatabaseClusterArgs) (failures []p.CheckFailure) {
	if value(in.Version) == "" {
		failures = append(failures, fails("version", "is required for engine %s", in.Engine))
	}
	return append(failures, checkTags(in.Tags)...)
}

// refuse is what the API answers to a cluster that it cannot make, and what this cloud cannot.
func (d clusters) refuse(in DatabaseClusterArgs) error {
	problems := []error{knownRegion(in.Region)}
	if in.Engine != "pg" {
		problems = append(problems, refused("engine: %q: this cloud has pg", in.Engine))
	}
	switch {
	case !slices.Contains(slug.DatabaseVersions, value(in.Version)):
		problems = append(problems, refused("invalid version for engine pg: %q", value(in.Version)))
	case *in.Version != bootableDatabase:
		problems = append(problems, fmt.Errorf("version: this cloud runs PostgreSQL %s only, not %s", bootableDatabase, *in.Version))
	}
	size, known := slug.Databases[in.Size]
	if !known {
		problems = append(problems, refused("invalid size: %q", in.Size))
	} else if in.NodeCount < 1 || in.NodeCount > size.Nodes() {
		problems = append(problems, refused("invalid node count of %s: %d; 1 to %d", in.Size, in.NodeCount, size.Nodes()))
	}
	if !validCluster.MatchString(*in.Name) {
		problems = append(problems, refused("name: %q: lower-case letters, digits and dashes, 3 to 63", *in.Name))
	}
	for _, window := range in.MaintenanceWindows {
		if !validHour.MatchString(window.Hour) {
			problems = append(problems, refused("maintenance_window: hour %q is no time of the form 04:00", window.Hour))
		}
	}
	if in.BackupRestore != nil {
		problems = append(problems, refused("backup_restore: this cloud keeps no database backups"))
	}
	return errors.Join(problems...)
}

// refuseChange is what the API answers to a change of a cluster that it cannot make.
func (d clusters) refuseChange(old, state DatabaseClusterState) error {
	from, to := slug.Databases[old.Size], slug.Databases[state.Size]
	switch known := slices.Contains(slug.DatabaseVersions, *state.Version); {
	case known && slices.Index(slug.DatabaseVersions, *state.Version) < slices.Index(slug.DatabaseVersions, *old.Version):
		return refused("error upgrading version for database cluster: cannot downgrade from %s to %s", *old.Version, *state.Version)
	case to.MemoryMB > 0 && to.MemoryMB < from.MemoryMB:
		return refused("error resizing database cluster: %s is smaller than %s", state.Size, old.Size)
	}
	return d.refuse(state.DatabaseClusterArgs)
}

var validHour = regexp.MustCompile(`^([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?$`)

func (d clusters) make(ctx context.Context, in DatabaseClusterArgs) (string, DatabaseClusterState, error) {
	if err := d.refuse(in); err != nil {
		return "", DatabaseClusterState{}, err
	}
	id := uuid.NewString()
	state := clusterState(id, in, "AVNS_"+randomText(14))
	authority, err := newAuthority(*in.Name)
	if err != nil {
		return "", DatabaseClusterState{}, err
	}
	spec := MachineSpec{
		Hostname: *in.Name, InstanceID: id, UserData: postgresUserData, MemoryMB: slug.Databases[in.Size].MemoryMB,
	}
	if err := d.cloud.change(func(c *Contents) error {
		clusters, err := all[DatabaseClusterState](c, d.name)
		if err != nil {
			return err
		}
		for _, other := range clusters {
			if *other.Name == *in.Name {
				return refused("name: cluster name %q is not available", *in.Name)
			}
		}
		spec.Name = c.machineName("db-"+*in.Name, id[:8])
		c.Machines[id] = Placement{Machine: spec.Name}
		return c.put("DatabaseAuthority", id, authority)
	}); err != nil {
		return "", DatabaseClusterState{}, err
	}
	err = d.boot(ctx, id, spec, state, authority)
	if err != nil {
		return "", DatabaseClusterState{}, errors.Join(err, d.undo(ctx, id, spec.Name))
	}
	return id, state, nil
}

// undo takes back a cluster that could not be made, as for a droplet.
func (d clusters) undo(ctx context.Context, id, machine string) error {
	ctx = context.WithoutCancel(ctx)
	if err := d.cloud.backend.RemoveMachine(ctx, machine); err != nil {
		return err
	}
	return d.forget(ctx, id)
}

func (d clusters) boot(ctx context.Context, id string, spec MachineSpec, state DatabaseClusterState, authority Authority) error {
	place, err := d.cloud.backend.CreateMachine(ctx, spec)
	if err != nil {
		return err
	}
	if err := d.cloud.backend.WaitMachine(ctx, place.Machine); err != nil {
		return err
	}
	server, err := authority.issue(state.Host, state.PrivateHost)
	if err != nil {
		return err
	}
	if err := setUpPostgres(ctx, d.cloud.backend, place.Machine, server, state, spec.MemoryMB); err != nil {
		return err
	}
	return d.cloud.changeNetwork(ctx, func(c *Contents) error {
		c.Machines[id] = place
		return c.put(d.name, id, state)
	})
}

func clusterState(id string, in DatabaseClusterArgs, password string) DatabaseClusterState {
	host := fmt.Sprintf("%s-do-user-1-0.%s.%s", *in.Name, id[:8], databaseDomain) // a cluster made anew has another one
	state := DatabaseClusterState{
		DatabaseClusterArgs: in, ClusterUrn: "do:dbaas:" + id,
		Database: databaseFirst, User: databaseAdmin, Password: password, Port: databasePort,
		Host: host, PrivateHost: "private-" + host, MetricsEndpoints: []string{},
	}
	state.Uri = databaseURI(databaseAdmin, password, state.Host)
	state.PrivateUri = databaseURI(databaseAdmin, password, state.PrivateHost)
	if state.StorageSizeMib == nil {
		state.StorageSizeMib = ptr(fmt.Sprint(max(slug.Databases[in.Size].MemoryMB*10, 10240)))
	}
	return state
}

func databaseURI(user, password, host string) string {
	return fmt.Sprintf("postgresql://%s:%s@%s:%d/%s?sslmode=require", user, password, host, databasePort, databaseFirst)
}

func (d clusters) alter(ctx context.Context, id string, old DatabaseClusterState, state *DatabaseClusterState) error {
	if err := d.refuseChange(old, *state); err != nil {
		return err
	}
	*state = clusterState(id, state.DatabaseClusterArgs, old.Password)
	if state.Size != old.Size {
		place, err := d.cloud.placement(id)
		if err != nil {
			return err
		}
		memory := slug.Databases[state.Size].MemoryMB
		if err := d.cloud.backend.ResizeMachine(ctx, place.Machine, memory, true); err != nil {
			return err
		}
		if err := tunePostgres(ctx, d.cloud.backend, place.Machine, memory); err != nil {
			return err
		}
	}
	return d.cloud.change(func(c *Contents) error { return c.put(d.name, id, *state) })
}

func (d clusters) look(ctx context.Context, id string, _ *DatabaseClusterState) error {
	place, err := d.cloud.placement(id)
	if err != nil {
		return err
	}
	status, err := d.cloud.backend.MachineStatus(ctx, place.Machine)
	if err == nil && status == "" {
		err = errNotFound
	}
	return err
}

func (d clusters) destroy(ctx context.Context, id string, _ DatabaseClusterState) error {
	place, err := d.cloud.placement(id)
	if err != nil {
		return err
	}
	if err := d.cloud.backend.RemoveMachine(ctx, place.Machine); err != nil {
		return err
	}
	return d.forget(ctx, id)
}

// forget takes a cluster out of the inventory, with all that was in it.
func (d clusters) forget(ctx context.Context, id string) error {
	return d.cloud.changeThenNetwork(ctx, func(c *Contents) error {
		delete(c.Machines, id)
		c.drop("DatabaseAuthority", id)
		c.drop(d.name, id)
		for _, kind := range []string{"DatabaseDb", "DatabaseUser", "DatabaseFirewall"} {
			for resource := range c.Resources[kind] {
				if strings.HasPrefix(resource, id+"/") {
					c.drop(kind, resource)
				}
			}
		}
		return nil
	})
}

func addDatabaseNames(c *Contents, network *Network) error {
	clusters, err := all[DatabaseClusterState](c, "DatabaseCluster")
	if err != nil {
		return err
	}
	for id, cluster := range clusters {
		for _, name := range []string{cluster.Host, cluster.PrivateHost} {
			network.Records = append(network.Records, Record{Name: name, Type: "A", Value: c.Machines[id].Address.String(), TTL: 30})
		}
	}
	return nil
}
