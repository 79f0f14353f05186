package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/google/uuid"
)

// ProjectArgs are the inputs of digitalocean.Project.
type ProjectArgs struct {
	Description *string  `pulumi:"description,optional"`
	Environment *string  `pulumi:"environment,optional"`
	IsDefault   *bool    `pulumi:"isDefault,optional"`
	Name        *string  `pulumi:"name,optional"`
	Purpose     *string  `pulumi:"purpose,optional"`
	Resources   []string `pulumi:"resources,optional"`
}

// ProjectState is a project: a folder of resources in the control panel.
type ProjectState struct {
	ProjectArgs
	CreatedAt string `pulumi:"createdAt"`
	OwnerId   int    `pulumi:"ownerId"`
	OwnerUuid string `pulumi:"ownerUuid"`
	UpdatedAt string `pulumi:"updatedAt"`
}

func newProjects(cloud *Cloud) infer.InferredResource {
	r := &resource[ProjectArgs, ProjectState]{cloud: cloud, name: "Project"}
	r.autoname = func(in *ProjectArgs) **string { return &in.Name }
	r.check = func(in *ProjectArgs) (failures []p.CheckFailure) {
		if name := value(in.Name); name == "" || len(name) > 175 {
			failures = append(failures, fails("name", "must have 1 to 175 characters"))
		}
		return failures
	}
	save := func(id string, old []string, state ProjectState) (string, ProjectState, error) {
		state.UpdatedAt = now()
		err := cloud.change(func(c *Contents) error {
			if err := c.urnsExist(state.Resources); err != nil {
				return err
			}
			if err := c.movable(old, state.Resources); err != nil {
				return err
			}
			projects, err := all[ProjectState](c, r.name)
			if err != nil {
				return err
			}
			for other, project := range projects {
				if other != id && *project.Name == *state.Name {
					return refused("name: a project %q already exists", *state.Name)
				}
			}
			return c.put(r.name, id, state) // with the URNs as they are given, until a refresh
		})
		return id, state, err
	}
	r.create = func(_ context.Context, in ProjectArgs) (string, ProjectState, error) {
		return save(uuid.NewString(), nil, ProjectState{ProjectArgs: in, CreatedAt: now(), OwnerId: 1, OwnerUuid: uuid.Nil.String()})
	}
	r.update = func(_ context.Context, id string, old ProjectState, state *ProjectState) (err error) {
		// What is no longer to be in the project is moved to the account's default one, and the API finds
		// nothing to move once it is gone.
		if err := cloud.view(func(c *Contents) error { return c.urnsExist(without(old.Resources, state.Resources)) }); err != nil {
			return fmt.Errorf("error assigning resources to default project: %w", err)
		}
		_, *state, err = save(id, old.Resources, *state)
		return err
	}
	r.refresh = func(_ context.Context, _ string, state *ProjectState) error {
		return cloud.view(func(c *Contents) error { state.Resources = c.inProject(state.Resources); return nil })
	}
	return infer.Resource(r)
}

// inProject is what the API lists of a project: only what still exists, a reserved address by the name
// that it had before.
func (c *Contents) inProject(urns []string) []string {
	listed := slices.DeleteFunc(slices.Clone(urns), func(urn string) bool { return c.urnsExist([]string{urn}) != nil })
	for i, urn := range listed {
		listed[i] = strings.Replace(urn, "do:reservedip:", "do:floatingip:", 1)
	}
	return listed
}

// movable refuses a change of projects in which a reserved address moves without its droplet.
// Source: https://github.com/pulumi/pulumi-digitalocean/issues/946
func (c *Contents) movable(old, wanted []string) error {
	for from, to := range map[*[]string]*[]string{&old: &wanted, &wanted: &old} {
		for _, urn := range *from {
			address, is := strings.CutPrefix(urn, "do:reservedip:")
			if !is {
				address, is = strings.CutPrefix(urn, "do:floatingip:")
			}
			var reserved ReservedIpState
			if !is || slices.Contains(*to, urn) || c.get("ReservedIp", address, &reserved) != nil || reserved.DropletId == nil {
				continue
			}
			if droplet := "do:droplet:" + dropletID(*reserved.DropletId); !slices.Contains(*from, droplet) || slices.Contains(*to, droplet) {
				return errors.New("412: Cannot move a Reserved IP with an associated Droplet. Move the Droplet instead")
			}
		}
	}
	return nil
}

// without returns the elements of a list that are not in another.
func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(element string) bool { return slices.Contains(others, element) })
}

// urnsExist refuses names of resources that the cloud does not have.
func (c *Contents) urnsExist(urns []string) error {
	kinds := map[string]string{
		"droplet": "Droplet", "volume": "Volume", "dbaas": "DatabaseCluster", "domain": "Domain",
		"space": "SpacesBucket", "reservedip": "ReservedIp", "floatingip": "ReservedIp", "vpc": "Vpc",
	}
	for _, urn := range urns {
		parts := strings.SplitN(urn, ":", 3)
		if len(parts) != 3 || parts[0] != "do" || kinds[parts[1]] == "" {
			return refused("resources: %q is no URN of a resource", urn)
		}
		if _, ok := c.Resources[kinds[parts[1]]][parts[2]]; !ok {
			return fmt.Errorf("resources: %s: %w", urn, errNotFound)
		}
	}
	return nil
}

// ProjectResourcesArgs are the inputs of digitalocean.ProjectResources.
type ProjectResourcesArgs struct {
	Project   string   `pulumi:"project"`
	Resources []string `pulumi:"resources"`
}

// ProjectResourcesState puts resources into a project.
type ProjectResourcesState struct{ ProjectResourcesArgs }

func newProjectResources(cloud *Cloud) infer.InferredResource {
	r := &resource[ProjectResourcesArgs, ProjectResourcesState]{cloud: cloud, name: "ProjectResources"}
	save := func(state ProjectResourcesState) error {
		return cloud.change(func(c *Contents) error {
			if _, ok := c.Resources["Project"][state.Project]; !ok {
				return fmt.Errorf("project %q: %w", state.Project, errNotFound)
			}
			if err := c.urnsExist(state.Resources); err != nil {
				return err
			}
			return c.put(r.name, state.Project, state)
		})
	}
	r.create = func(_ context.Context, in ProjectResourcesArgs) (string, ProjectResourcesState, error) {
		return in.Project, ProjectResourcesState{in}, save(ProjectResourcesState{in})
	}
	r.update = func(_ context.Context, _ string, _ ProjectResourcesState, state *ProjectResourcesState) error {
		return save(*state)
	}
	return infer.Resource(r)
}
