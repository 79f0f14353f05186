package provider

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// resource is one resource type of the provider. I are its inputs; O, its state, embeds I as its
// first field. Fields left nil have the obvious meaning for a resource that is only recorded.
type resource[I, O any] struct {
	cloud *Cloud
	name  string // as in the program: Vpc; the token is digitalocean:index/vpc:Vpc

	// autoname points at the name, which the provider makes up when the program gives none.
	autoname func(*I) **string
	// check is what the real provider refuses already at preview. It may set defaults.
	check func(*I) []p.CheckFailure
	// create makes the resource, after refusing what DigitalOcean's API would refuse.
	create func(context.Context, I) (id string, state O, err error)
	// update changes the resource; state is the old one with the new inputs in it.
	update func(ctx context.Context, id string, old O, state *O) error
	// refresh brings state in line with reality; errNotFound when the resource is gone.
	refresh func(ctx context.Context, id string, state *O) error
	// secrets points at the parts of the state that are always secret.
	secrets func(*O) []any
	// remove undoes create. Whether a resource that is gone already is an error is as with the real
	// provider.
	remove func(ctx context.Context, id string, state O) error
}

// Annotate gives the type its name. infer also calls it on an empty value, to look for descriptions.
func (r *resource[I, O]) Annotate(a infer.Annotator) {
	if r.name != "" {
		a.SetToken(tokens.ModuleName("index/"+lowerFirst(r.name)), tokens.TypeName(r.name))
	}
}

// WireDependencies says what is secret, and what a preview of an update knows: the address of a
// droplet whose tags change stays what it is. Left to itself, infer would hold every output for
// unknown, and everything made from them for changed.
func (r *resource[I, O]) WireDependencies(fields infer.FieldSelector, args *I, state *O) {
	inputs, outputs := reflect.ValueOf(args).Elem(), reflect.ValueOf(state).Elem().Field(0)
	for i := range inputs.NumField() {
		input := fields.InputField(inputs.Field(i).Addr().Interface())
		fields.OutputField(outputs.Field(i).Addr().Interface()).DependsOn(input.Computed())
	}
	if r.secrets == nil {
		return
	}
	for _, field := range r.secrets(state) {
		fields.OutputField(field).AlwaysSecret()
	}
}

// Check fills in names and refuses what the real provider refuses before anything is created.
func (r *resource[I, O]) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[I], error) {
	in, failures, err := infer.DefaultCheck[I](ctx, req.NewInputs)
	if err != nil || len(failures) > 0 {
		return infer.CheckResponse[I]{Inputs: in, Failures: failures}, err
	}
	if r.autoname != nil && !req.NewInputs.Get("name").HasComputed() {
		if name := r.autoname(&in); *name == nil {
			*name = new(string)
			if old := req.OldInputs.Get("name"); old.IsString() {
				**name = old.AsString()
			} else {
				**name = req.Name + "-" + randomHex(4)[:7]
			}
		}
	}
	found := checkEnumerations(r.name, req.NewInputs)
	if r.check != nil {
		found = append(found, r.check(&in)...)
	}
	for _, failure := range found {
		// An input that is not known yet reads as empty here; it is checked when it is known.
		if !req.NewInputs.Get(failure.Property).HasComputed() {
			failures = append(failures, failure)
		}
	}
	return infer.CheckResponse[I]{Inputs: in, Failures: failures}, nil
}

// Create makes the resource.
func (r *resource[I, O]) Create(ctx context.Context, req infer.CreateRequest[I]) (infer.CreateResponse[O], error) {
	if req.DryRun {
		var state O
		setInputs(&state, req.Inputs)
		return infer.CreateResponse[O]{Output: state}, nil
	}
	if err := r.cloud.ready(); err != nil {
		return infer.CreateResponse[O]{}, err
	}
	id, state, err := r.create(ctx, req.Inputs)
	if err != nil {
		return infer.CreateResponse[O]{}, fmt.Errorf("create %s: %w", r.name, err)
	}
	return infer.CreateResponse[O]{ID: id, Output: state}, nil
}

// Update changes the resource in place. What cannot change in place never gets here: see diff.go.
func (r *resource[I, O]) Update(ctx context.Context, req infer.UpdateRequest[I, O]) (infer.UpdateResponse[O], error) {
	state := req.State
	setInputs(&state, req.Inputs)
	if req.DryRun {
		return infer.UpdateResponse[O]{Output: state}, nil
	}
	if err := r.cloud.ready(); err != nil {
		return infer.UpdateResponse[O]{}, err
	}
	if r.update != nil {
		err := r.update(ctx, req.ID, req.State, &state)
		if err != nil {
			err = fmt.Errorf("update %s %s: %w", r.name, req.ID, err)
		}
		return infer.UpdateResponse[O]{Output: state}, err // the state counts with a ResourceInitFailedError only
	}
	err := r.cloud.change(func(c *Contents) error {
		if _, ok := c.Resources[r.name][req.ID]; !ok {
			return errNotFound
		}
		return c.put(r.name, req.ID, state)
	})
	if err != nil {
		return infer.UpdateResponse[O]{}, fmt.Errorf("update %s %s: %w", r.name, req.ID, err)
	}
	return infer.UpdateResponse[O]{Output: state}, nil
}

// Read looks the resource up, for refresh and import. A resource that is gone has an empty id.
func (r *resource[I, O]) Read(ctx context.Context, req infer.ReadRequest[I, O]) (infer.ReadResponse[I, O], error) {
	var state O
	id, importing := req.ID, reflect.ValueOf(req.Inputs).IsZero()
	err := r.cloud.view(func(c *Contents) error {
		if importing {
			id = c.imported(r.name, req.ID)
		}
		return c.get(r.name, id, &state)
	})
	if err == nil && r.refresh != nil {
		err = r.refresh(ctx, id, &state)
	}
	if errors.Is(err, errNotFound) {
		return infer.ReadResponse[I, O]{}, nil
	}
	if err != nil {
		return infer.ReadResponse[I, O]{}, fmt.Errorf("read %s %s: %w", r.name, req.ID, err)
	}
	inputs := req.Inputs
	if importing {
		untold(&state)
		inputs = inputsOf[I](state)
	}
	overlay(reflect.ValueOf(&inputs).Elem(), reflect.ValueOf(inputsOf[I](state)))
	return infer.ReadResponse[I, O]{ID: id, Inputs: inputs, State: state}, nil
}

// overlay makes what the program has set as it was found. What it has not set stays so.
func overlay(given, found reflect.Value) {
	switch {
	case given.IsZero():
	case given.Kind() == reflect.Struct:
		for i := range given.NumField() {
			overlay(given.Field(i), found.Field(i))
		}
	case given.Kind() == reflect.Pointer && !found.IsNil():
		overlay(given.Elem(), found.Elem())
	case given.Kind() == reflect.Slice && given.Len() == found.Len():
		for i := range given.Len() {
			overlay(given.Index(i), found.Index(i))
		}
	default:
		given.Set(found)
	}
}

// Delete removes the resource.
func (r *resource[I, O]) Delete(ctx context.Context, req infer.DeleteRequest[O]) (infer.DeleteResponse, error) {
	remove := r.remove
	if remove == nil {
		remove = func(_ context.Context, id string, _ O) error {
			return r.cloud.change(func(c *Contents) error { c.drop(r.name, id); return nil })
		}
	}
	if err := r.cloud.ready(); err != nil {
		return infer.DeleteResponse{}, err
	}
	if err := remove(ctx, req.ID, req.State); err != nil {
		return infer.DeleteResponse{}, fmt.Errorf("delete %s %s: %w", r.name, req.ID, err)
	}
	return infer.DeleteResponse{}, nil
}

// record keeps a new resource that exists in the inventory only.
func (r *resource[I, O]) record(id string, state O) (string, O, error) {
	return id, state, r.cloud.change(func(c *Contents) error { return c.put(r.name, id, state) })
}

func setInputs[I, O any](state *O, in I) {
	reflect.ValueOf(state).Elem().Field(0).Set(reflect.ValueOf(in))
}

func inputsOf[I, O any](state O) I { return reflect.ValueOf(state).Field(0).Interface().(I) }

func lowerFirst(s string) string { return string(s[0]|0x20) + s[1:] }

func randomHex(bytes int) string {
	random := make([]byte, bytes)
	rand.Read(random) // never fails
	return hex.EncodeToString(random)
}

// now is the time as DigitalOcean's API writes it.
func now() string { return time.Now().UTC().Format(time.RFC3339) }

// refused is an answer of DigitalOcean's API to a request it does not accept.
func refused(format string, values ...any) error {
	return fmt.Errorf("422: "+format, values...)
}

// conflict is an answer of DigitalOcean's API to a request that something there is in the way of.
func conflict(format string, values ...any) error {
	return fmt.Errorf("409: "+format, values...)
}

func fails(property, format string, values ...any) p.CheckFailure {
	return p.CheckFailure{Property: property, Reason: fmt.Sprintf(format, values...)}
}

func value[T any](pointer *T) T {
	if pointer == nil {
		var zero T
		return zero
	}
	return *pointer
}

func ptr[T any](v T) *T { return &v }

func ignoreNotFound(err error) error {
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}
