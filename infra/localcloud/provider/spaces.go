package provider

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// SpacesBucketArgs are the inputs of digitalocean.SpacesBucket.
type SpacesBucketArgs struct {
	Acl            *string         `pulumi:"acl,optional"`
	CorsRules      []CorsRule      `pulumi:"corsRules,optional"`
	ForceDestroy   *bool           `pulumi:"forceDestroy,optional"`
	LifecycleRules []LifecycleRule `pulumi:"lifecycleRules,optional"`
	Name           *string         `pulumi:"name,optional"`
	Region         *string         `pulumi:"region,optional"`
	Versioning     *Versioning     `pulumi:"versioning,optional"`
}

// CorsRule lets web pages of other origins use a bucket.
type CorsRule struct {
	AllowedHeaders []string `pulumi:"allowedHeaders,optional"`
	AllowedMethods []string `pulumi:"allowedMethods"`
	AllowedOrigins []string `pulumi:"allowedOrigins"`
	MaxAgeSeconds  *int     `pulumi:"maxAgeSeconds,optional"`
}

// LifecycleRule deletes what is old.
type LifecycleRule struct {
	AbortIncompleteMultipartUploadDays *int           `pulumi:"abortIncompleteMultipartUploadDays,optional"`
	Enabled                            bool           `pulumi:"enabled"`
	Expiration                         *Expiration    `pulumi:"expiration,optional"`
	Id                                 *string        `pulumi:"id,optional"`
	NoncurrentVersionExpiration        *OldExpiration `pulumi:"noncurrentVersionExpiration,optional"`
	Prefix                             *string        `pulumi:"prefix,optional"`
}

// Expiration says when an object is deleted.
type Expiration struct {
	Date                      *string `pulumi:"date,optional"`
	Days                      *int    `pulumi:"days,optional"`
	ExpiredObjectDeleteMarker *bool   `pulumi:"expiredObjectDeleteMarker,optional"`
}

// OldExpiration says when a version that is no longer current is deleted.
type OldExpiration struct {
	Days *int `pulumi:"days,optional"`
}

// Versioning keeps what is overwritten or deleted.
type Versioning struct {
	Enabled *bool `pulumi:"enabled,optional"`
}

// SpacesBucketState is a bucket of objects. What it says of access from web pages, and when objects
// expire, is recorded only.
type SpacesBucketState struct {
	SpacesBucketArgs
	BucketDomainName string `pulumi:"bucketDomainName"`
	BucketUrn        string `pulumi:"bucketUrn"`
	Endpoint         string `pulumi:"endpoint"`
}

// spacesDomain is where the cloud's buckets are.
const spacesDomain = "spaces.townsquare.test"

var validBucket = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

func newSpacesBuckets(cloud *Cloud) infer.InferredResource {
	r := &resource[SpacesBucketArgs, SpacesBucketState]{cloud: cloud, name: "SpacesBucket"}
	r.autoname = func(in *SpacesBucketArgs) **string { return &in.Name }
	r.create = func(ctx context.Context, in SpacesBucketArgs) (string, SpacesBucketState, error) {
		if in.Region == nil {
			in.Region = ptr("nyc3")
		}
		endpoint := *in.Region + "." + spacesDomain
		state := SpacesBucketState{
			SpacesBucketArgs: in, BucketUrn: "do:space:" + *in.Name,
			Endpoint: endpoint, BucketDomainName: *in.Name + "." + endpoint,
		}
		if !validBucket.MatchString(*in.Name) {
			return "", state, refused("bucket: %q: 3 to 63 lower-case letters, digits and dashes", *in.Name)
		}
		if err := cloud.backend.CreateBucket(ctx, *in.Name, state.versioned()); err != nil {
			return "", state, err
		}
		// A key that names the bucket already, as after the loss of one of that name, opens it again.
		return *in.Name, state, cloud.changeKeys(ctx, func(c *Contents) error { return c.put(r.name, *in.Name, state) })
	}
	r.update = func(ctx context.Context, id string, old SpacesBucketState, state *SpacesBucketState) error {
		if state.versioned() != old.versioned() {
			if err := cloud.backend.SetVersioning(ctx, id, state.versioned()); err != nil {
				return err
			}
		}
		// Another name renames nothing; only what is made of the name changes.
		state.BucketUrn = "do:space:" + *state.Name
		state.BucketDomainName = *state.Name + "." + state.Endpoint
		return cloud.change(func(c *Contents) error { return c.put(r.name, id, state) })
	}
	r.refresh = func(ctx context.Context, id string, state *SpacesBucketState) error {
		exists, versioned, err := cloud.backend.BucketStatus(ctx, id)
		switch {
		case err != nil:
			return err
		case !exists:
			return errNotFound
		case versioned != state.versioned():
			state.Versioning = &Versioning{Enabled: &versioned}
		}
		return nil
	}
	r.remove = func(ctx context.Context, id string, state SpacesBucketState) error {
		if err := cloud.backend.RemoveBucket(ctx, id, value(state.ForceDestroy)); err != nil {
			return err
		}
		return cloud.change(func(c *Contents) error { c.drop(r.name, id); return nil })
	}
	return infer.Resource(r)
}

func (s SpacesBucketState) versioned() bool {
	return s.Versioning != nil && value(s.Versioning.Enabled)
}

// SpacesKeyArgs are the inputs of digitalocean.SpacesKey.
type SpacesKeyArgs struct {
	Grants []Grant `pulumi:"grants,optional"`
	Name   *string `pulumi:"name,optional"`
}

// Grant is what a key may do with a bucket; an empty bucket is all of them.
type Grant struct {
	Bucket     string `pulumi:"bucket"`
	Permission string `pulumi:"permission"`
}

// SpacesKeyState is a pair of keys to buckets.
type SpacesKeyState struct {
	SpacesKeyArgs
	AccessKey string `pulumi:"accessKey"`
	CreatedAt string `pulumi:"createdAt"`
	SecretKey string `pulumi:"secretKey"`
}

func newSpacesKeys(cloud *Cloud) infer.InferredResource {
	r := &resource[SpacesKeyArgs, SpacesKeyState]{cloud: cloud, name: "SpacesKey"}
	r.autoname = func(in *SpacesKeyArgs) **string { return &in.Name }
	r.secrets = func(s *SpacesKeyState) []any { return []any{&s.SecretKey} }
	r.create = func(ctx context.Context, in SpacesKeyArgs) (string, SpacesKeyState, error) {
		state := SpacesKeyState{
			SpacesKeyArgs: in, CreatedAt: now(), AccessKey: "DO" + strings.ToUpper(randomHex(9)), SecretKey: randomText(32),
		}
		return state.AccessKey, state, cloud.changeKeys(ctx, state.put)
	}
	r.update = func(ctx context.Context, _ string, old SpacesKeyState, state *SpacesKeyState) error {
		if old.full() != state.full() {
			return refused("grants: a key to all buckets cannot become one to some, nor the other way round")
		}
		return cloud.changeKeys(ctx, state.put)
	}
	r.refresh = func(ctx context.Context, id string, _ *SpacesKeyState) error {
		exists, err := cloud.backend.HasKey(ctx, id)
		if err == nil && !exists {
			return errNotFound
		}
		return err
	}
	r.remove = func(ctx context.Context, id string, _ SpacesKeyState) error {
		return cloud.changeKeys(ctx, func(c *Contents) error { c.drop(r.name, id); return nil })
	}
	return infer.Resource(r)
}

// full says that a key opens all buckets, those to come included.
func (s SpacesKeyState) full() bool {
	return slices.ContainsFunc(s.Grants, func(g Grant) bool { return g.Bucket == "" })
}

func (s SpacesKeyState) put(c *Contents) error {
	for _, grant := range s.Grants {
		_, known := c.Resources["SpacesBucket"][grant.Bucket]
		if !known && (grant.Bucket != "" || grant.Permission != "fullaccess") {
			return refused("grants: bucket %q: %w", grant.Bucket, errNotFound)
		}
	}
	return c.put("SpacesKey", s.AccessKey, s)
}

// changeKeys is change for keys to buckets. An error of the object storage leaves the inventory as
// it was.
func (c *Cloud) changeKeys(ctx context.Context, change func(*Contents) error) error {
	return c.change(func(contents *Contents) error {
		if err := change(contents); err != nil {
			return err
		}
		states, err := all[SpacesKeyState](contents, "SpacesKey")
		if err != nil {
			return err
		}
		var keys []AccessKey
		for _, state := range states {
			key := AccessKey{ID: state.AccessKey, Secret: state.SecretKey, Full: state.full(), Grants: map[string]string{}}
			for _, grant := range state.Grants {
				key.Grants[grant.Bucket] = grant.Permission
			}
			keys = append(keys, key)
		}
		buckets := slices.Sorted(maps.Keys(contents.Resources["SpacesBucket"]))
		return c.backend.ApplyKeys(ctx, buckets, keys)
	})
}

// randomText is a secret of that many random bytes, in letters and digits.
func randomText(bytes int) string {
	random := make([]byte, bytes)
	rand.Read(random) // never fails
	text := []byte(base64.RawStdEncoding.EncodeToString(random))
	return string(slices.DeleteFunc(text, func(c byte) bool { return c == '+' || c == '/' }))
}
