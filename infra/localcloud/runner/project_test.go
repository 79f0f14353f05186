//go:build machine

package runner_test

import (
	"context"
	"strings"
	"testing"

	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"townsquare/infra"
	"townsquare/infra/localcloud/runner"
)

// withReservedAddress is the program with a project as releases before 2026-12 made it: the address is in
// it by the URN of its resource.
func withReservedAddress(ctx *pulumi.Context) error {
	err := ctx.RegisterStackTransformation(func(args *pulumi.ResourceTransformationArgs) *pulumi.ResourceTransformationResult {
		project, is := args.Props.(*do.ProjectArgs)
		if !is {
			return nil
		}
		project.Resources = project.Resources.ToStringArrayOutput().ApplyT(func(urns []string) []string {
			former := make([]string, len(urns))
			for i, urn := range urns {
				former[i] = strings.Replace(urn, "do:floatingip:", "do:reservedip:", 1)
			}
			return former
		}).(pulumi.StringArrayOutput)
		return &pulumi.ResourceTransformationResult{Props: project, Opts: args.Opts}
	})
	if err != nil {
		return err
	}
	return infra.New(ctx)
}

// A stack of an earlier release is brought up to date with the command in the documents, and replaces nothing.
func TestFormerProject(t *testing.T) {
	s := newPaperStack(t, "formerproject", map[string]any{"townsquare:protect": "true"})
	up := func(ctx context.Context, stack *runner.Stack) (runner.Changes, error) { return stack.Up(ctx) }
	for _, want := range []string{"create", "same"} {
		s.said.Reset()
		stack := stackOf(t, s.cloud, &s.said, withReservedAddress, s.set)
		changes, err := up(t.Context(), stack)
		stack.Close()
		if err != nil || len(changes) != 1 || changes[want] == 0 {
			t.Fatalf("%v, %v\n%s", changes, err, s.said.String())
		}
	}
	if _, err := s.tryUp(); err == nil || !strings.Contains(s.said.String(), "412: Cannot move a Reserved IP") {
		t.Errorf("without a refresh: %v\n%s", err, s.said.String())
	}
	command := strings.Replace(strings.TrimSpace(documented(t, "A stack of an earlier release")), "prod", "dev", 1)
	if said, err := s.pulumi(command); err != nil || strings.Contains(said, "replac") {
		t.Fatalf("%s: %v\n%s", command, err, said)
	}
	s.noDrift(command)
}
