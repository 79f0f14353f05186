package provider

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

type fakeBucket struct{ versioned, full bool }

func (f *fakeBackend) CreateBucket(_ context.Context, bucket string, versioned bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.buckets[bucket] != nil {
		return errors.New("BucketAlreadyExists")
	}
	f.buckets[bucket] = &fakeBucket{versioned: versioned}
	return nil
}

func (f *fakeBackend) SetVersioning(_ context.Context, bucket string, on bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buckets[bucket].versioned = on
	return nil
}

func (f *fakeBackend) BucketStatus(_ context.Context, bucket string) (exists, versioned bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.buckets[bucket]
	return b != nil, b != nil && b.versioned, f.fail["BucketStatus"]
}

func (f *fakeBackend) RemoveBucket(_ context.Context, bucket string, force bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.buckets[bucket]; b != nil && b.full && !force {
		return errors.New("BucketNotEmpty")
	}
	delete(f.buckets, bucket)
	return nil
}

func (f *fakeBackend) ApplyKeys(_ context.Context, _ []string, keys []AccessKey) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fail["ApplyKeys"]; err != nil {
		return err
	}
	f.keys = keys
	return nil
}

func (f *fakeBackend) HasKey(_ context.Context, id string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.keys, func(k AccessKey) bool { return k.ID == id }), nil
}

func versioning(on bool) property.Value { return object(in{"enabled": property.New(on)}) }

func TestBucket(t *testing.T) {
	a := newAccount(t)
	bucket := a.create("SpacesBucket", "backups", in{"name": text("backups"), "region": text("fra1"), "versioning": versioning(true)})
	if made := a.backend.buckets["backups"]; made == nil || !made.versioned {
		t.Fatalf("made %+v", made)
	}
	if got := bucket.state.Get("endpoint").AsString(); got != "fra1.spaces.townsquare.test" {
		t.Errorf("endpoint %s", got)
	}
	if _, err := a.try("SpacesBucket", "again", in{"name": text("backups")}); err == nil || !strings.Contains(err.Error(), "BucketAlreadyExists") {
		t.Errorf("one name twice: %v", err)
	}
	bucket = a.update(bucket, in{"versioning": versioning(false)})
	if a.backend.buckets["backups"].versioned {
		t.Error("versioning was not switched off")
	}
	a.backend.buckets["backups"].versioned = true
	if got := a.read(bucket).Properties.Get("versioning").AsMap().Get("enabled"); !got.AsBool() {
		t.Errorf("a refresh does not see that somebody switched versioning on: %v", got)
	}
	a.backend.buckets["backups"].full = true
	if err := a.tryDelete(bucket); err == nil || !strings.Contains(err.Error(), "BucketNotEmpty") {
		t.Errorf("a bucket with backups in it was removed: %v", err)
	}
	if len(a.contents().Resources["SpacesBucket"]) != 1 {
		t.Error("the bucket that stayed is forgotten")
	}
	a.delete(a.update(bucket, in{"forceDestroy": property.New(true)}))
	if len(a.backend.buckets)+len(a.contents().Resources) != 0 {
		t.Errorf("left behind: %v %v", a.backend.buckets, a.contents())
	}
}

func TestLostBucket(t *testing.T) {
	a := newAccount(t)
	bucket := a.create("SpacesBucket", "backups", in{"name": text("backups"), "region": text("fra1")})
	delete(a.backend.buckets, "backups")
	if got := a.read(bucket); got.ID != "" {
		t.Errorf("a bucket that is gone is still %s", got.ID)
	}
	a.create("SpacesBucket", "backups", in{"name": text("backups"), "region": text("fra1")})
	a.backend.fail["BucketStatus"] = errors.New("connection refused")
	if _, err := a.tryRead(bucket); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a storage that does not answer: %v", err)
	}
}

func grant(bucket, permission string) property.Value {
	return list(object(in{"bucket": text(bucket), "permission": text(permission)}))
}

func TestKey(t *testing.T) {
	a := newAccount(t)
	a.create("SpacesBucket", "backups", in{"name": text("backups")})
	key := a.create("SpacesKey", "key", in{"name": text("k"), "grants": grant("backups", "readwrite")})
	if len(a.backend.keys) != 1 {
		t.Fatalf("keys: %+v", a.backend.keys)
	}
	made := a.backend.keys[0]
	if made.ID != key.id || made.Full || made.Grants["backups"] != "readwrite" || made.Secret != key.state.Get("secretKey").AsString() {
		t.Errorf("made %+v", made)
	}
	key = a.update(key, in{"grants": grant("backups", "read")})
	if made := a.backend.keys[0]; made.Grants["backups"] != "read" || made.ID != key.id {
		t.Errorf("after the change: %+v", made)
	}
	if _, err := a.tryUpdate(key, in{"grants": grant("", "fullaccess")}); err == nil || !strings.Contains(err.Error(), "cannot become") {
		t.Errorf("a key to one bucket became one to all: %v", err)
	}
	a.backend.fail["ApplyKeys"] = errors.New("connection refused")
	if _, err := a.try("SpacesKey", "other", in{"grants": grant("backups", "read")}); err == nil || len(a.contents().Resources["SpacesKey"]) != 1 {
		t.Errorf("a key that was not made is recorded: %v", err)
	}
	a.backend.fail["ApplyKeys"] = nil
	a.delete(key)
	if len(a.backend.keys) != 0 {
		t.Errorf("left behind: %+v", a.backend.keys)
	}
	if got := a.read(key); got.ID != "" {
		t.Errorf("a key that is gone is still %s", got.ID)
	}
}
