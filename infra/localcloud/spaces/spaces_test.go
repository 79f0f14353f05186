//go:build machine

package spaces_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/spaces"
	"townsquare/infra/localcloud/stage"
)

// program is the localcloud that scripts/test-machine.sh built.
const program = "../../../bin/localcloud"

func localcloud(t *testing.T, arguments ...string) {
	t.Helper()
	if output, err := exec.Command(program, append(arguments, "--cloud", "spacestest")...).CombinedOutput(); err != nil {
		t.Fatalf("localcloud %v: %v\n%s", arguments, err, output)
	}
}

// holder is somebody with a key, who knows the endpoint and trusts the cloud's authorities.
func holder(t *testing.T, transport http.RoundTripper, key spaces.Key) *minio.Client {
	t.Helper()
	client, err := minio.New("ams3."+spaces.Domain, &minio.Options{
		Creds: credentials.NewStaticV4(key.ID, key.Secret, ""), Secure: true, Transport: transport, MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestAccount(t *testing.T) {
	localcloud(t, "down")
	localcloud(t, "up")
	t.Cleanup(func() { localcloud(t, "down") })
	cloud, err := network.Open("spacestest")
	if err != nil {
		t.Fatal(err)
	}
	account, err := spaces.Open(cloud)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for bucket, versioned := range map[string]bool{"mine": true, "other": false} {
		if err := account.MakeBucket(ctx, bucket, versioned); err != nil {
			t.Fatal(err)
		}
		if got, err := account.Versioned(ctx, bucket); err != nil || got != versioned {
			t.Errorf("%s: versioned %v, %v; want %v", bucket, got, err, versioned)
		}
	}
	if err := account.MakeBucket(ctx, "mine", false); !errors.Is(err, spaces.ErrTaken) {
		t.Errorf("one name twice: %v", err)
	}
	writer := spaces.AccessKey{Key: spaces.Key{ID: "WRITER", Secret: strings.Repeat("w", 32)}, Grants: map[string]spaces.Permission{"mine": spaces.ReadWrite}}
	reader := spaces.AccessKey{Key: spaces.Key{ID: "READER", Secret: strings.Repeat("r", 32)}, Grants: map[string]spaces.Permission{"mine": spaces.Read}}
	owner := spaces.AccessKey{Key: spaces.Key{ID: "OWNER", Secret: strings.Repeat("o", 32)}, Full: true}
	apply := func(keys ...spaces.AccessKey) {
		t.Helper()
		if err := account.ApplyKeys(ctx, []string{"mine", "other", "gone"}, keys); err != nil {
			t.Fatal(err)
		}
	}
	apply(writer, reader, owner)
	apply(writer, reader, owner) // as it is: no error

	write, read, own := holder(t, transport(t, cloud), writer.Key), holder(t, transport(t, cloud), reader.Key), holder(t, transport(t, cloud), owner.Key)
	for _, content := range []string{"first", "second"} {
		if err := put(ctx, write, "mine", content); err != nil {
			t.Fatal(err)
		}
	}
	version := oldest(t, write)
	for _, c := range []struct {
		what string
		err  error
		want bool
	}{
		{"the writer reads its bucket", get(ctx, write, "mine", "second"), true},
		{"the reader reads it", get(ctx, read, "mine", "second"), true},
		{"the reader writes into it", put(ctx, read, "mine", "third"), false},
		{"the writer writes into another", put(ctx, write, "other", "x"), false},
		{"the owner writes into another", put(ctx, own, "other", "x"), true},
		{"the writer reads another", get(ctx, write, "other", "x"), false},
		{"the writer makes a bucket", write.MakeBucket(ctx, "third", minio.MakeBucketOptions{}), false},
		{"the writer removes an old version", write.RemoveObject(ctx, "mine", "it", minio.RemoveObjectOptions{VersionID: version}), false},
		{"the writer switches versions off", write.SuspendVersioning(ctx, "mine"), false},
		{"the writer deletes", write.RemoveObject(ctx, "mine", "it", minio.RemoveObjectOptions{}), true},
		{"the writer reads what was overwritten and deleted", getVersion(ctx, write, "mine", version, "first"), true},
	} {
		if (c.err == nil) != c.want {
			t.Errorf("%s: %v, want %v (%v)", c.what, c.err == nil, c.want, c.err)
		}
	}

	apply(reader)
	if err := get(ctx, write, "mine", "second"); err == nil {
		t.Error("a key that was taken back still opens the bucket")
	}
	if has, err := account.HasKey(ctx, "WRITER"); has || err != nil {
		t.Errorf("the key that was taken back: %v %v", has, err)
	}
	localcloud(t, "spaces", "stop")
	if err := account.RemoveBucket(ctx, "mine", false); err == nil || errors.Is(err, spaces.ErrNotEmpty) {
		t.Errorf("a storage that is away answered: %v", err)
	}
	localcloud(t, "spaces", "start")
	if err := account.RemoveBucket(ctx, "mine", false); !errors.Is(err, spaces.ErrNotEmpty) {
		t.Errorf("a bucket with old versions in it was removed: %v", err)
	}
	for range 2 {
		if err := account.RemoveBucket(ctx, "mine", true); err != nil {
			t.Error(err)
		}
	}
	if _, err := account.Versioned(ctx, "mine"); !errors.Is(err, spaces.ErrNotExist) {
		t.Errorf("after its removal: %v", err)
	}
}

func put(ctx context.Context, c *minio.Client, bucket, content string) error {
	_, err := c.PutObject(ctx, bucket, "it", strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	return err
}

func get(ctx context.Context, c *minio.Client, bucket, want string) error {
	return getVersion(ctx, c, bucket, "", want)
}

func getVersion(ctx context.Context, c *minio.Client, bucket, version, want string) error {
	object, err := c.GetObject(ctx, bucket, "it", minio.GetObjectOptions{VersionID: version})
	if err != nil {
		return err
	}
	defer object.Close()
	content, err := io.ReadAll(object)
	if err == nil && !bytes.Equal(content, []byte(want)) {
		err = errors.New("read " + string(content))
	}
	return err
}

// oldest is the id of the first version of the one object in bucket mine.
func oldest(t *testing.T, c *minio.Client) (id string) {
	t.Helper()
	count := 0
	for object := range c.ListObjects(t.Context(), "mine", minio.ListObjectsOptions{WithVersions: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		id = object.VersionID // newest first
		count++
	}
	if count != 2 {
		t.Fatalf("%d versions, want 2", count)
	}
	return id
}

// transport is a visitor's: the cloud's DNS, and its bundle of authorities.
func transport(t *testing.T, cloud *network.Cloud) http.RoundTripper {
	t.Helper()
	visitor, err := stage.Visitor(cloud, 0)
	if err != nil {
		t.Fatal(err)
	}
	return visitor.Transport
}
