package spaces

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"townsquare/infra/localcloud/network"
)

var (
	// ErrTaken says that there is a bucket of that name.
	ErrTaken = errors.New("BucketAlreadyExists")
	// ErrNotEmpty says that a bucket has objects, or versions of some.
	ErrNotEmpty = errors.New("BucketNotEmpty")
	// ErrNotExist says that there is no such bucket.
	ErrNotExist = errors.New("NoSuchBucket")
)

// Account is the cloud's object storage as its owner uses it. The cloud must be up.
type Account struct {
	s3   *minio.Client
	http *http.Client
	key  Key
}

// endpoint is any of the regions', which are all the same.
const endpoint = "fra1." + Domain

// Open connects when something is asked for, not before.
func Open(cloud *network.Cloud) (*Account, error) {
	key, err := FullKey(cloud)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(filepath.Join(cloud.Dir, "ca", "cloud.pem"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open the object storage: %w (run: localcloud up --cloud %s)", network.ErrNotUp, cloud.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("open the object storage: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, kind, _ string) (net.Conn, error) {
			return cloud.DialContext(ctx, kind, net.JoinHostPort(network.Spaces.String(), "443"))
		},
		IdleConnTimeout: 10 * time.Second,
	}
	s3, err := minio.New(endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(key.ID, key.Secret, ""), Secure: true, Transport: transport,
		Region: region, BucketLookup: minio.BucketLookupPath, MaxRetries: 3,
	})
	if err != nil {
		return nil, fmt.Errorf("open the object storage: %w", err)
	}
	return &Account{s3: s3, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}, key: key}, nil
}

// MakeBucket makes an empty bucket; ErrTaken if there is one of that name.
func (a *Account) MakeBucket(ctx context.Context, bucket string, versioned bool) error {
	if err := a.s3.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: region}); err != nil {
		return told("make bucket", bucket, err)
	}
	if !versioned {
		return nil
	}
	return a.SetVersioning(ctx, bucket, true)
}

// SetVersioning keeps what is overwritten or deleted from now on, or no longer does.
func (a *Account) SetVersioning(ctx context.Context, bucket string, on bool) error {
	set := a.s3.SuspendVersioning
	if on {
		set = a.s3.EnableVersioning
	}
	if err := set(ctx, bucket); err != nil {
		return told("set the versioning of bucket", bucket, err)
	}
	return nil
}

// Versioned says whether a bucket keeps versions; ErrNotExist if there is no such bucket.
func (a *Account) Versioned(ctx context.Context, bucket string) (bool, error) {
	versioning, err := a.s3.GetBucketVersioning(ctx, bucket)
	if err != nil {
		return false, told("read the versioning of bucket", bucket, err)
	}
	return versioning.Enabled(), nil
}

// RemoveBucket removes a bucket, with all that is in it if force is set: else ErrNotEmpty. That it
// is gone already is no error.
func (a *Account) RemoveBucket(ctx context.Context, bucket string, force bool) error {
	if force {
		if err := a.empty(ctx, bucket); err != nil && !errors.Is(err, ErrNotExist) {
			return err
		}
	}
	err := told("remove bucket", bucket, a.s3.RemoveBucket(ctx, bucket))
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

// empty removes every version of every object.
func (a *Account) empty(ctx context.Context, bucket string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // else the listing would wait for its reader for ever
	versions := make(chan minio.ObjectInfo)
	var listing error
	go func() {
		defer close(versions)
		for object := range a.s3.ListObjects(ctx, bucket, minio.ListObjectsOptions{WithVersions: true, Recursive: true}) {
			if object.Err != nil {
				listing = object.Err
				return
			}
			select {
			case versions <- object:
			case <-ctx.Done():
				return
			}
		}
	}()
	for failed := range a.s3.RemoveObjects(ctx, bucket, versions, minio.RemoveObjectsOptions{}) {
		return told("empty bucket", bucket, failed.Err)
	}
	return told("empty bucket", bucket, listing)
}

// told puts an answer of the server into words that code can branch on.
func told(what, bucket string, err error) error {
	if err == nil {
		return nil
	}
	switch minio.ToErrorResponse(err).Code {
	case "BucketAlreadyExists", "BucketAlreadyOwnedByYou":
		err = ErrTaken
	case "BucketNotEmpty":
		err = ErrNotEmpty
	case "NoSuchBucket":
		err = ErrNotExist
	}
	return fmt.Errorf("%s %s: %w", what, bucket, err)
}
