package infra

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// SSHKey is one operator's public key.
type SSHKey struct {
	Line        string // "ssh-ed25519 AAAA… comment"
	Fingerprint string // SHA-256, as ssh-keygen -l shows it
	Comment     string // such as ops@example.org
}

// HostKey is the key by which the server proves who it is.
type HostKey struct {
	Private string // OpenSSH's PEM, ends in a line break; a secret
	Public  string // "ssh-ed25519 AAAA…"
}

const sshKeyAllowed = "one line of a public key: ssh-ed25519, ecdsa, a security key, or RSA of 3072 bits and more"

func (r *reader) sshKeys(key string) []SSHKey {
	const example = "ssh-ed25519 AAAA… you@example.org"
	lines, set := r.items(key, example)
	if len(lines) == 0 {
		if !set || lines != nil {
			r.add(key, "", "is not set", "a list of at least one: "+sshKeyAllowed,
				fmt.Sprintf(`pulumi config set --path '%s[0]' "$(cat ~/.ssh/id_ed25519.pub)"`, full(key)))
		}
		return nil
	}
	var keys []SSHKey
	seen, before := map[string]bool{}, len(r.problems)
	for i, line := range lines {
		k, wrong := parseSSHKey(line)
		at := fmt.Sprintf("%s[%d]", key, i)
		command := fmt.Sprintf(`pulumi config set --path '%s' "$(cat ~/.ssh/id_ed25519.pub)"`, full(at))
		if wrong == "" && seen[k.Fingerprint] {
			wrong, command = "is there twice", remove(at)
		}
		if wrong != "" {
			r.add(at, line, wrong, sshKeyAllowed, command)
			continue
		}
		seen[k.Fingerprint] = true
		keys = append(keys, k)
	}
	slices.Reverse(r.problems[before:])
	return keys
}

func parseSSHKey(line string) (SSHKey, string) {
	if strings.Contains(line, "PRIVATE") {
		return SSHKey{}, "is a private key; it must never be here, take the .pub file"
	}
	public, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || len(rest) > 0 || len(options) > 0 || strings.ContainsAny(line, "\r\n") {
		return SSHKey{}, "is not a public key"
	}
	switch public.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
	case ssh.KeyAlgoRSA:
		// The modulus is all but a few bytes of the wire format; 3072 bits are 384 bytes.
		if len(public.Marshal()) < 384 {
			return SSHKey{}, "is an RSA key of less than 3072 bits"
		}
	default:
		return SSHKey{}, "is of a kind that is not accepted"
	}
	text := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	if comment != "" {
		text += " " + comment
	}
	return SSHKey{Line: text, Fingerprint: ssh.FingerprintSHA256(public), Comment: comment}, ""
}

func (r *reader) hostKey(key string) HostKey {
	const command = "scripts/new-host-key.sh STACK"
	const allowed = "an ed25519 private key in OpenSSH's format without a passphrase, set as a secret"
	v, ok := r.lookup(key)
	if !ok {
		r.add(key, "", "is not set", allowed, command)
		return HostKey{}
	}
	if !r.secret(full(key)) {
		r.add(key, "", "is in the stack's file in clear", "a secret", command)
		return HostKey{}
	}
	parsed, err := ssh.ParseRawPrivateKey([]byte(v + "\n"))
	private, isEd25519 := parsed.(*ed25519.PrivateKey)
	if err != nil || !isEd25519 {
		r.add(key, "", "cannot be used", allowed, command)
		return HostKey{}
	}
	signer, err := ssh.NewSignerFromKey(*private)
	if err != nil {
		r.add(key, "", "cannot be used", allowed, command)
		return HostKey{}
	}
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	return HostKey{Private: v + "\n", Public: public}
}

func (r *reader) backupPassword(key string, wanted bool) string {
	const command = "scripts/new-backup-password.sh STACK"
	const allowed = "a secret of 20 characters and more; whoever loses it loses the backups"
	v, ok := r.lookup(key)
	switch {
	case !ok && !wanted:
		return ""
	case !ok:
		r.add(key, "", "is not set", allowed, command)
	case !r.secret(full(key)):
		r.add(key, "", "is in the stack's file in clear", allowed, command)
	case len(v) < 20 || strings.ContainsAny(v, "\r\n"):
		r.add(key, "", "is too short, or has more than one line", allowed, command)
	}
	return v
}

// keep reads how many backups stay. None at all would be removed as soon as they are made.
func (r *reader) keep(key string, fallback Keep) Keep {
	const allowed = `last, daily, weekly and monthly, each 0 to 1000 and one of them more than 0`
	v, ok := r.lookup(key)
	if !ok {
		return fallback
	}
	command := fmt.Sprintf("pulumi config set --path '%s.daily' 7", full(key))
	decoder := json.NewDecoder(strings.NewReader(v))
	decoder.DisallowUnknownFields()
	var k Keep
	if err := decoder.Decode(&k); err != nil {
		r.add(key, v, "cannot be read", allowed, command)
		return fallback
	}
	least, most := min(k.Last, k.Daily, k.Weekly, k.Monthly), max(k.Last, k.Daily, k.Weekly, k.Monthly)
	if least < 0 || most < 1 || most > 1000 {
		r.add(key, v, "is out of range", allowed, command)
	}
	if k.Last == 0 {
		k.Last = fallback.Last
	}
	return k
}

// credentials asks for what the provider only asks for at `up`: the account's token, and what makes a bucket.
func (r *reader) credentials(bucket bool) {
	type credential struct {
		key, wrong, allowed string
		instead             string   // of the credential
		environment         []string // variables from which the provider reads it, too
	}
	wanted := []credential{{
		key: "digitalocean:token", wrong: "is not set, and nothing can be built without it",
		allowed: "an API token of the account", environment: tokenVariables,
	}}
	for _, half := range [][2]string{{"digitalocean:spacesAccessId", "SPACES_ACCESS_KEY_ID"}, {"digitalocean:spacesSecretKey", "SPACES_SECRET_ACCESS_KEY"}} {
		if bucket {
			wanted = append(wanted, credential{
				key: half[0], wrong: "is not set, and the backup bucket needs it",
				allowed: "a Spaces key with full access, or no bucket", environment: half[1:],
				instead: "   # or: " + set("backups", "false"),
			})
		}
	}
	for _, c := range wanted {
		v, ok := r.get(c.key)
		set := "pulumi config set --secret " + c.key
		switch {
		case ok && v != "" && !r.secret(c.key):
			r.problems = append(r.problems, Problem{Key: c.key, Wrong: "is in the stack's file in clear", Allowed: "a secret", Type: set})
		case v == "" && !slices.ContainsFunc(c.environment, func(name string) bool { return r.env(name) != "" }):
			r.problems = append(r.problems, Problem{Key: c.key, Wrong: c.wrong, Type: set + c.instead,
				Allowed: c.allowed + "; in the environment: " + strings.Join(c.environment, " or ")})
		}
	}
}

// authorities reads who may issue certificates. Only the default authority has a default here: a
// record that names the wrong one would prevent every certificate.
func (r *reader) authorities(key, directory string) []string {
	list, ok := r.items(key, "letsencrypt.org")
	if !ok {
		if directory == LetsEncrypt {
			return []string{"letsencrypt.org"}
		}
		return nil
	}
	return r.each(key, "letsencrypt.org", list, checkDomain, []func(string) string{plainName})
}

func (r *reader) releases(key string) Releases {
	var rel Releases
	v, ok := r.lookup(key)
	if !ok {
		return rel
	}
	decoder := json.NewDecoder(strings.NewReader(v))
	decoder.DisallowUnknownFields()
	const allowed = "archive, policy, github and key (addresses), fingerprint (40 hex digits)"
	if err := decoder.Decode(&rel); err != nil {
		r.add(key, v, "cannot be read", allowed, "pulumi config rm "+full(key))
		return Releases{}
	}
	fields := reflect.ValueOf(rel)
	for field, value := range fields.Fields() {
		at := key + "." + field.Tag.Get("json")
		text := value.String()
		switch {
		case text == "":
		case field.Name == "Fingerprint":
			if !fingerprint.MatchString(text) {
				r.add(at, text, "is not a fingerprint", "40 hex digits", fmt.Sprintf("pulumi config rm --path '%s'", full(at)))
			}
		default:
			if wrong, allowed := checkURL(text); wrong != "" {
				r.add(at, text, wrong, allowed, fmt.Sprintf("pulumi config rm --path '%s'", full(at)))
			}
		}
	}
	if (rel.Key == "") != (rel.Fingerprint == "") {
		r.add(key, "", "has a key without its fingerprint, or the other way round", "both or neither", "pulumi config rm "+full(key))
	}
	return rel
}

// whole checks what no single key shows.
func (r *reader) whole(c *Config) {
	if c.Database == DatabaseLocal {
		for _, key := range []string{"databaseSize", "databaseNodes", "databaseVersion", "maintenanceDay", "maintenanceHour"} {
			if v, ok := r.lookup(key); ok {
				r.add(key, v, "is set, but the database is on the droplet", "nothing, with database: local", "pulumi config rm "+full(key))
			}
		}
	} else if v, ok := r.lookup("databaseVolumeGB"); ok {
		r.add("databaseVolumeGB", v, "is set, but the database is managed", "nothing, with database: managed", "pulumi config rm "+full("databaseVolumeGB"))
	}
	if host := c.SiteHost(); c.Domain != "" && len(host) > 253 {
		r.add("host", c.Host, "makes the site's name longer than 253 characters", "a shorter one", set("host", "chat"))
	}
	// Rendered only if all else is right; what is too large then is the operators' keys.
	if len(r.problems) > 0 {
		return
	}
	data, err := userData(newHostData(c))
	switch {
	case err != nil:
		r.add("hostKey", "", "cannot be put into the first-boot script: "+err.Error(), "another", "scripts/new-host-key.sh STACK")
	case len(data) > userDataLimit:
		r.add("sshKeys", "", fmt.Sprintf("makes the first-boot script %d bytes long", len(data)),
			fmt.Sprintf("%d bytes in all: fewer or shorter keys", userDataLimit), "pulumi config rm --path '"+full("sshKeys")+"[0]'")
	}
}
