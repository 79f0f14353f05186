package infra

import (
	"crypto/ed25519"
	"encoding/pem"
	"maps"
	"slices"
	"testing"

	"golang.org/x/crypto/ssh"
)

// testHostKey is the same in every run, so that golden files are; it protects nothing.
func testHostKey(t *testing.T) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed([]byte("townsquare tests: no host has it")), "")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

const testSSHKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHfbs0vUWTEPDxbmPykCVkVU2LPX8u0FNr4SJr7sGJ5w ops@example.org"

// settings are a valid stack's, with changes: an empty value takes a key away.
func settings(t *testing.T, changes map[string]string) map[string]string {
	t.Helper()
	all := map[string]string{
		"townsquare:domain":            "example.org",
		"townsquare:region":            "fra1",
		"townsquare:sshKeys":           `["` + testSSHKey + `"]`,
		"townsquare:sshFrom":           `["203.0.113.0/24"]`,
		"townsquare:hostKey":           testHostKey(t),
		"townsquare:alertEmails":       `["ops@example.org"]`,
		"townsquare:backupPassword":    "correct horse battery staple",
		"digitalocean:spacesAccessId":  "access",
		"digitalocean:spacesSecretKey": "secret-of-spaces",
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
}

var testSecrets = []string{"townsquare:hostKey", "townsquare:backupPassword", "digitalocean:spacesAccessId", "digitalocean:spacesSecretKey"}

func testSource(all map[string]string) source {
	return source{
		get:    func(key string) (string, bool) { v, ok := all[key]; return v, ok },
		secret: func(key string) bool { return slices.Contains(testSecrets, key) },
		keys:   slices.Sorted(maps.Keys(all)),
		env:    func(string) string { return "" },
	}
}

func testConfig(t *testing.T, changes map[string]string) *Config {
	t.Helper()
	c, err := parse(testSource(settings(t, changes)), "prod")
	if err != nil {
		t.Fatal(err)
	}
	return c
}
