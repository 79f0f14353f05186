package drift

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"townsquare/upgrade/state"
)

type account struct {
	name     string
	uid, gid uint32
	home     string
	shell    string
}

// accounts are those of /etc/passwd.
type accounts []account

func (h Host) accounts() (list accounts, err error) {
	data, err := os.ReadFile(h.path("/etc/passwd"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 7 {
			continue
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 == nil && err2 == nil {
			list = append(list, account{f[0], uint32(uid), uint32(gid), f[5], f[6]})
		}
	}
	return list, nil
}

func (a accounts) named(name string) (account, bool) {
	i := slices.IndexFunc(a, func(one account) bool { return one.name == name })
	if i < 0 {
		return account{}, false
	}
	return a[i], true
}

// ids are the numbers of an owner and of the group of another account, or the name of the one who is missing.
func (a accounts) ids(owner, group string) (uid, gid uint32, missing string) {
	first, known := a.named(owner)
	if !known {
		return 0, 0, owner
	}
	second, known := a.named(group)
	if !known {
		return 0, 0, group
	}
	return first.uid, second.gid, ""
}

func (a accounts) name(uid uint32) string {
	for _, one := range a {
		if one.uid == uid {
			return one.name
		}
	}
	return fmt.Sprintf("nobody's number %d", uid)
}

// service is Mattermost's account and unit. Whether it runs is said by the rest of a status.
const service = "mattermost"

// People's accounts, by Debian's numbers (login.defs(5)).
const firstPerson, lastPerson = 1000, 60000

// compareAccounts looks for those that first boot makes, and for others that people could use.
func (c *Comparison) compareAccounts(all accounts) {
	for _, name := range []string{service, c.want.User} {
		if _, known := all.named(name); !known && name != "" {
			c.add(Difference{Kind: KindAccount, Name: "the account " + name, Found: "is missing"})
			c.accounts = append(c.accounts, name)
		}
	}
	for _, one := range all {
		person := one.uid >= firstPerson && one.uid <= lastPerson && !strings.HasSuffix(one.shell, "/nologin") && !strings.HasSuffix(one.shell, "/false")
		if one.name == c.want.User || one.name == "root" || !person && one.uid != 0 {
			continue
		}
		found, risk := "was added", ""
		if one.uid == 0 {
			found, risk = "was added, and is root", "a second account with root's rights"
		}
		c.add(Difference{Kind: KindAccount, Name: "the account " + one.name, Found: found,
			Left: "unmanaged", Risk: risk, Hint: "sudo deluser " + one.name})
	}
}

// keyFiles are those that Debian's sshd reads (AuthorizedKeysFile of sshd_config(5)).
var keyFiles = []string{".ssh/authorized_keys", ".ssh/authorized_keys2"}

// compareKeys looks at which keys open the operators' account. A key of the stack is added, and one that
// the stack does not have any more is removed; one that was added by hand is removed only on request.
// The key of the operator's own connection stays.
func (c *Comparison) compareKeys(ctx context.Context, all accounts, o Options) error {
	user, known := all.named(c.want.User)
	if c.want.User == "" || len(c.want.Keys) == 0 {
		return nil
	}
	if !known {
		user.home = "/home/" + c.want.User // where it will be
	}
	wanted := map[string]string{} // by the key itself
	for _, line := range c.want.Keys {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return fmt.Errorf("key %q of the stack: %w", line, err)
		}
		wanted[string(key.Marshal())] = line
	}
	for i, name := range keyFiles {
		path := filepath.Join(user.home, name)
		text, mode, err := c.host.read(path)
		if err != nil {
			return err
		}
		var lines []string
		changed, there := false, map[string]bool{}
		for line := range bytes.Lines(text) {
			line := strings.TrimRight(string(line), "\n")
			key, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
			if err != nil { // empty, a comment, or not understood by sshd either
				lines = append(lines, line)
				continue
			}
			there[string(key.Marshal())] = true
			if _, ok := wanted[string(key.Marshal())]; ok || !c.extraKey(path, key, comment, o) {
				lines = append(lines, line)
			} else {
				changed = true
			}
		}
		for _, line := range c.want.Keys {
			key, comment, _, _, _ := ssh.ParseAuthorizedKey([]byte(line)) // it was parsed above
			if i == 0 && !there[string(key.Marshal())] && (!o.Changed || !hasKey(c.before.Keys, key)) {
				lines, changed = append(lines, line), true
				c.add(Difference{Kind: KindKey, Name: keyName(key, comment), Found: "is missing in " + path})
			}
		}
		if changed {
			c.files = append(c.files, state.File{Path: path, Owner: c.want.User, Mode: mode, Content: strings.Join(lines, "\n") + "\n"})
		}
	}
	return nil
}

// extraKey notes a key that the stack does not know, and tells whether it goes.
func (c *Comparison) extraKey(path string, key ssh.PublicKey, comment string, o Options) bool {
	d := Difference{Kind: KindKey, Name: keyName(key, comment), Found: "was added to " + path + ": the stack does not know it"}
	former := hasKey(c.before.Keys, key)
	if former {
		d.Found = "is still in " + path + ": the stack does not have it any more"
	}
	switch {
	case ssh.FingerprintSHA256(key) == o.KeepKey:
		d.Left, d.Hint = "you connected with it", "add it to townsquare:sshKeys of the stack, then: pulumi up"
	case former && o.KeepKey != "":
	case former && !o.RemoveKeys:
		d.Left, d.Hint = "removed by a command with --stack, over SSH", "upgrade repair …"
		d.Risk = "its holder has root's rights"
	case !o.RemoveKeys:
		d.Left, d.Hint = "unmanaged", "upgrade repair --remove-keys …"
		d.Risk = "its holder has root's rights"
	}
	if o.Changed && !former { // the stack has not changed it
		return false
	}
	if former && d.Left != "" {
		c.formerKeys = append(c.formerKeys, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))))
	}
	c.add(d)
	return d.Left == ""
}

func keyName(key ssh.PublicKey, comment string) string {
	name := "the SSH key " + ssh.FingerprintSHA256(key)
	if comment != "" {
		name += " (" + comment + ")"
	}
	return name
}

// read gives a file and its mode; one that is not there is empty and will be private.
func (h Host) read(path string) ([]byte, string, error) {
	info, err := os.Stat(h.path(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "0600", nil
	}
	if err != nil {
		return nil, "", err
	}
	data, err := os.ReadFile(h.path(path))
	return data, fmt.Sprintf("%04o", info.Mode().Perm()), err
}

// Accounts makes those that are missing, as first boot does.
func (c *Comparison) Accounts(ctx context.Context) error {
	for _, name := range c.accounts {
		if name == service {
			if err := c.firstBoot(ctx, "users_and_volumes"); err != nil {
				return err
			}
			continue
		}
		_, err := c.host.ask(ctx, "useradd", "--create-home", "--user-group", "--shell", "/bin/bash", "--comment", "Operators", name)
		if err != nil {
			return fmt.Errorf("make the account %s: %w", name, err)
		}
	}
	return nil
}
