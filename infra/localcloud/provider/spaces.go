package provider

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
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

// SpacesBucketState is a bucket of objects. It is recorded only: nothing listens at its endpoint.
type SpacesBucketState struct {
	SpacesBucketArgs
	BucketDomainName string `pulumi:"bucketDomainName"`
	BucketUrn        string `pulumi:"bucketUrn"`
	Endpoint         string `pulumi:"endpoint"`
}

// spacesDomain is where the cloud's buckets would be.
const spacesDomain = "spaces.townsquare.test"

var validBucket = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

func newSpacesBuckets(cloud *Cloud) infer.InferredResource {
	r := &resource[SpacesBucketArgs, SpacesBucketState]{cloud: cloud, name: "SpacesBucket"}
	r.autoname = func(in *SpacesBucketArgs) **string { return &in.Name }
	r.check = func(in *SpacesBucketArgs) (failures []p.CheckFailure) {
		if in.Region != nil {
			failures = append(failures, oneOf("region", strings.ToLower(*in.Region), spacesRegions()...)...)
		}
		if in.Acl != nil {
			failures = append(failures, oneOf("acl", *in.Acl, "private", "public-read")...)
		}
		return failures
	}
	r.create = func(_ context.Context, in SpacesBucketArgs) (string, SpacesBucketState, error) {
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
		return *in.Name, state, cloud.change(func(c *Contents) error {
			if _, taken := c.Resources[r.name][*in.Name]; taken {
				return refused("BucketAlreadyExists: %s", *in.Name)
			}
			return c.put(r.name, *in.Name, state)
		})
	}
	return infer.Resource(r)
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
	r.check = func(in *SpacesKeyArgs) (failures []p.CheckFailure) {
		for _, grant := range in.Grants {
			failures = append(failures, oneOf("grants", grant.Permission, "read", "readwrite", "fullaccess")...)
		}
		return failures
	}
	save := func(state SpacesKeyState) error {
		return cloud.change(func(c *Contents) error {
			for _, grant := range state.Grants {
				_, known := c.Resources["SpacesBucket"][grant.Bucket]
				if !known && (grant.Bucket != "" || grant.Permission != "fullaccess") {
					return refused("grants: bucket %q: %w", grant.Bucket, errNotFound)
				}
			}
			return c.put(r.name, state.AccessKey, state)
		})
	}
	r.create = func(_ context.Context, in SpacesKeyArgs) (string, SpacesKeyState, error) {
		state := SpacesKeyState{
			SpacesKeyArgs: in, CreatedAt: now(), AccessKey: "DO" + strings.ToUpper(randomHex(9)), SecretKey: randomText(32),
		}
		return state.AccessKey, state, save(state)
	}
	r.update = func(_ context.Context, _ string, _ SpacesKeyState, state *SpacesKeyState) error {
		return save(*state)
	}
	return infer.Resource(r)
}

// randomText is a secret of that many random bytes, in letters and digits.
func randomText(bytes int) string {
	random := make([]byte, bytes)
	rand.Read(random) // never fails
	text := []byte(base64.RawStdEncoding.EncodeToString(random))
	return string(slices.DeleteFunc(text, func(c byte) bool { return c == '+' || c == '/' }))
}
