package infra

import (
	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Backups is a private, versioned bucket and a key that opens this bucket only.
type Backups struct {
	pulumi.ResourceState

	Bucket, Endpoint     pulumi.StringOutput // empty without backups
	AccessKey, SecretKey pulumi.StringOutput // secrets
	URNs                 pulumi.StringArray
}

// BackupsArgs are the settings of Backups.
type BackupsArgs struct {
	Config *Config // required
	Refuse refuser // required
}

// NewBackups registers the bucket and its key, or nothing with backups: false.
func NewBackups(ctx *pulumi.Context, name string, args *BackupsArgs, opts ...pulumi.ResourceOption) (*Backups, error) {
	b := &Backups{}
	if err := ctx.RegisterComponentResource("townsquare:infra:Backups", name, b, opts...); err != nil {
		return nil, err
	}
	c, parent := args.Config, pulumi.Parent(b)
	if !c.Backups {
		none := pulumi.String("").ToStringOutput()
		b.Bucket, b.Endpoint, b.AccessKey, b.SecretKey = none, none, none, none
		return b, ctx.RegisterResourceOutputs(b, pulumi.Map{})
	}
	steady, err := args.Refuse("backup bucket", refuseOtherBucket)
	if err != nil {
		return nil, err
	}
	// A default is for the first `pulumi up`. Another host, domain or table of regions later leaves the
	// bucket alone, and with it the backups.
	var defaults []string
	if !c.bucketNamed {
		defaults = append(defaults, "name")
	}
	if !c.bucketPlaced {
		defaults = append(defaults, "region")
	}
	bucket, err := do.NewSpacesBucket(ctx, name+"-bucket", &do.SpacesBucketArgs{
		Name:   pulumi.String(c.BackupBucket),
		Region: pulumi.String(c.BackupRegion),
		Acl:    pulumi.String("private"),
		// Whoever takes over the server can delete backups, but not for good before they expire. What
		// upgrade itself prunes takes the same way, so the bucket has that many days more than are kept.
		Versioning: do.SpacesBucketVersioningArgs{Enabled: pulumi.Bool(true)},
		LifecycleRules: do.SpacesBucketLifecycleRuleArray{do.SpacesBucketLifecycleRuleArgs{
			Id:                                 pulumi.String("expire"),
			Enabled:                            pulumi.Bool(true),
			AbortIncompleteMultipartUploadDays: pulumi.Int(7),
			Expiration: do.SpacesBucketLifecycleRuleExpirationArgs{
				ExpiredObjectDeleteMarker: pulumi.Bool(true),
			},
			NoncurrentVersionExpiration: do.SpacesBucketLifecycleRuleNoncurrentVersionExpirationArgs{
				Days: pulumi.Int(c.BackupKeepDays),
			},
		}},
		ForceDestroy: pulumi.Bool(!c.Protect),
	}, parent, pulumi.Protect(c.Protect), pulumi.IgnoreChanges(defaults), steady)
	if err != nil {
		return nil, err
	}
	key, err := do.NewSpacesKey(ctx, name+"-backup-key", &do.SpacesKeyArgs{
		Name: pulumi.String(name + "-backup"),
		Grants: do.SpacesKeyGrantArray{do.SpacesKeyGrantArgs{
			Bucket: bucket.Name, Permission: pulumi.String("readwrite"),
		}},
	}, parent, pulumi.AdditionalSecretOutputs([]string{"secretKey"}))
	if err != nil {
		return nil, err
	}
	b.Bucket = bucket.Name
	b.Endpoint = pulumi.Sprintf("https://%s", bucket.Endpoint)
	b.AccessKey = key.AccessKey
	b.SecretKey = secret(key.SecretKey)
	b.URNs = pulumi.StringArray{bucket.BucketUrn}
	return b, ctx.RegisterResourceOutputs(b, pulumi.Map{"bucket": b.Bucket, "endpoint": b.Endpoint})
}

// refuseOtherBucket keeps the name of a bucket. DigitalOcean's provider takes another name for a change
// in place: it renames nothing, and the server's key is then for a bucket that does not exist.
func refuseOtherBucket(before, after resource.PropertyMap) Problems {
	from, to, ok := changed(before, after, "name")
	if !ok {
		return nil
	}
	return refusal("backupBucket", from, to, "is not the stack's bucket, "+from+", and a bucket cannot be renamed",
		from+"; for another bucket see docs/digitalocean.md")
}
