package local

import (
	"context"
	"errors"

	"townsquare/infra/localcloud/provider"
	"townsquare/infra/localcloud/spaces"
)

func (l *local) CreateBucket(ctx context.Context, bucket string, versioned bool) error {
	account, err := spaces.Open(l.cloud)
	if err != nil {
		return err
	}
	return account.MakeBucket(ctx, bucket, versioned)
}

func (l *local) SetVersioning(ctx context.Context, bucket string, on bool) error {
	account, err := spaces.Open(l.cloud)
	if err != nil {
		return err
	}
	return account.SetVersioning(ctx, bucket, on)
}

func (l *local) BucketStatus(ctx context.Context, bucket string) (exists, versioned bool, err error) {
	account, err := spaces.Open(l.cloud)
	if err != nil {
		return false, false, err
	}
	versioned, err = account.Versioned(ctx, bucket)
	if errors.Is(err, spaces.ErrNotExist) {
		return false, false, nil
	}
	return err == nil, versioned, err
}

func (l *local) RemoveBucket(ctx context.Context, bucket string, force bool) error {
	account, err := spaces.Open(l.cloud)
	if err != nil {
		return err
	}
	return account.RemoveBucket(ctx, bucket, force)
}

func (l *local) ApplyKeys(ctx context.Context, buckets []string, keys []provider.AccessKey) error {
	account, err := spaces.Open(l.cloud)
	if err != nil {
		return err
	}
	wanted := make([]spaces.AccessKey, len(keys))
	for i, key := range keys {
		grants := make(map[string]spaces.Permission, len(key.Grants))
		for bucket, permission := range key.Grants {
			grants[bucket] = spaces.Permission(permission)
		}
		wanted[i] = spaces.AccessKey{Key: spaces.Key{ID: key.ID, Secret: key.Secret}, Full: key.Full, Grants: grants}
	}
	return account.ApplyKeys(ctx, buckets, wanted)
}

func (l *local) HasKey(ctx context.Context, id string) (bool, error) {
	account, err := spaces.Open(l.cloud)
	if err != nil {
		return false, err
	}
	return account.HasKey(ctx, id)
}
