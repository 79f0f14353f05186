package spaces

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// Permission is what a key may do.
type Permission string

// The permissions of a Spaces key.
// Source: https://docs.digitalocean.com/products/spaces/how-to/manage-access/
const (
	Read       Permission = "read"
	ReadWrite  Permission = "readwrite"
	FullAccess Permission = "fullaccess" // of all buckets, and to make more
)

// AccessKey is a key, and what it opens.
type AccessKey struct {
	Key
	Full   bool                  // all buckets
	Grants map[string]Permission // by bucket
}

// account is a key as the server's own API writes it.
type account struct {
	XMLName xml.Name `xml:"Account"`
	Access  string
	Secret  string
	Role    string
}

// HasKey says whether there is a key of that id.
func (a *Account) HasKey(ctx context.Context, id string) (bool, error) {
	all, err := a.keys(ctx)
	return all[id], err
}

// ApplyKeys makes the account's keys, and what they open of the buckets, exactly what is given. The
// key with full access that the account came with is not among them.
func (a *Account) ApplyKeys(ctx context.Context, buckets []string, keys []AccessKey) error {
	have, err := a.keys(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if !have[key.ID] {
			role := map[bool]string{true: "admin", false: "user"}[key.Full]
			if _, err := a.ask(ctx, "/create-user", account{Access: key.ID, Secret: key.Secret, Role: role}); err != nil {
				return fmt.Errorf("make key %s: %w", key.ID, err)
			}
		}
		delete(have, key.ID)
	}
	// Not before: a policy may name only keys that exist.
	for _, bucket := range buckets {
		policy, err := policyOf(bucket, keys)
		if err == nil {
			err = a.s3.SetBucketPolicy(ctx, bucket, policy)
		}
		// A bucket that somebody removed by hand opens to nobody.
		if err := told("open to its keys bucket", bucket, err); err != nil && !errors.Is(err, ErrNotExist) {
			return err
		}
	}
	for id := range have {
		if _, err := a.ask(ctx, "/delete-user?access="+url.QueryEscape(id), nil); err != nil {
			return fmt.Errorf("remove key %s: %w", id, err)
		}
	}
	return nil
}

func (a *Account) keys(ctx context.Context) (map[string]bool, error) {
	answer, err := a.ask(ctx, "/list-users", nil)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	var list struct{ Accounts []struct{ Access string } }
	if err := xml.Unmarshal(answer, &list); err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	found := map[string]bool{}
	for _, one := range list.Accounts {
		found[one.Access] = true
	}
	return found, nil
}

// ask is one request to the server's own API, which is no part of S3.
func (a *Account) ask(ctx context.Context, path string, body any) ([]byte, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = xml.Marshal(body); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, "https://"+endpoint+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	response, err := a.http.Do(signer.SignV4(*request, a.key.ID, a.key.Secret, "", region))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		return nil, fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(answer)))
	}
	return answer, nil
}

// reading and writing are what S3 calls the two permissions. A key that may write may delete, but
// not for good: it can remove no old version, and change nothing of the bucket itself.
var (
	readingBucket  = []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions"}
	readingObjects = []string{"s3:GetObject", "s3:GetObjectVersion"}
	writingBucket  = []string{"s3:ListBucketMultipartUploads"}
	writingObjects = []string{"s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}
)

type statement struct {
	Effect    string
	Principal map[string][]string
	Action    []string
	Resource  string
}

// policyOf is who may do what with one bucket besides its owner; empty when nobody may.
func policyOf(bucket string, keys []AccessKey) (string, error) {
	const prefix = "arn:aws:s3:::"
	statements := []statement{}
	for _, key := range keys {
		permission, ok := key.Grants[bucket]
		if !ok {
			continue
		}
		ofBucket, ofObjects := readingBucket, readingObjects
		switch permission {
		case ReadWrite:
			ofBucket = append(append([]string{}, ofBucket...), writingBucket...)
			ofObjects = append(append([]string{}, ofObjects...), writingObjects...)
		case FullAccess:
			ofBucket, ofObjects = []string{"s3:*"}, []string{"s3:*"}
		}
		who := map[string][]string{"AWS": {key.ID}}
		statements = append(statements,
			statement{"Allow", who, ofBucket, prefix + bucket},
			statement{"Allow", who, ofObjects, prefix + bucket + "/*"})
	}
	if len(statements) == 0 {
		return "", nil
	}
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	return string(policy), err
}
