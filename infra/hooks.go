package infra

import (
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// changeRule compares the inputs of a resource in the stack's record with those that the program asks
// for. It returns what is wrong with the change, or nothing.
type changeRule func(before, after resource.PropertyMap) Problems

// hooks are what the program has of the engine's hooks. They are parameters of the components, as the
// SDK's mocks panic on a hook.
type hooks struct {
	refuse refuser
	resize pulumi.ResourceOption // of the droplet
}

// refuser returns the option that makes a resource obey rules. The name is unique in the program and is
// shown with the refusal.
type refuser func(name string, rules ...changeRule) (pulumi.ResourceOption, error)

// refuseChanges returns the refuser of the real engine: a hook before the update of a resource, at
// preview and at `up`. DigitalOcean's provider plans such a change and fails half way through it. A
// resource that is created or replaced is not judged.
func refuseChanges(ctx *pulumi.Context) refuser {
	return func(name string, rules ...changeRule) (pulumi.ResourceOption, error) {
		hook, err := ctx.RegisterResourceHook(name, func(args *pulumi.ResourceHookArgs) error {
			if problems := judge(rules, args.OldInputs, args.NewInputs); len(problems) > 0 {
				return problems.in(ctx.Stack())
			}
			return nil
		}, &pulumi.ResourceHookOptions{OnDryRun: true})
		if err != nil {
			return nil, err
		}
		return pulumi.ResourceHooks(&pulumi.ResourceHookBinding{BeforeUpdate: []*pulumi.ResourceHook{hook}}), nil
	}
}

// refusal is what is wrong with the change of a setting from a value that the command in it keeps.
func refusal(key, from, to, wrong, allowed string) Problems {
	return Problems{{Key: full(key), Value: to, Wrong: wrong, Allowed: allowed, Type: set(key, from)}}
}

func judge(rules []changeRule, before, after resource.PropertyMap) (all Problems) {
	for _, rule := range rules {
		all = append(all, rule(before, after)...)
	}
	return all
}

// changed returns the text of an input before and after, and whether it is another one. An input that
// is not known yet has not changed.
func changed(before, after resource.PropertyMap, key resource.PropertyKey) (from, to string, ok bool) {
	old, given := before[key], after[key]
	if !old.IsString() || !given.IsString() {
		return "", "", false
	}
	from, to = old.StringValue(), given.StringValue()
	return from, to, from != to
}
