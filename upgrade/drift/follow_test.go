package drift

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"townsquare/upgrade/state"
)

// followed makes before what the host was last brought to.
func followed(t *testing.T, h Host, before *state.Desired) {
	t.Helper()
	data, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	write(t, h, state.FollowedFile, string(data), 0o600)
}

// A key that the stack had goes with it, except the one of the operator's own connection, and only in a
// run that an operator's connection vouches for. One that was added by hand stays.
func TestFormerKeysGo(t *testing.T) {
	const byHand = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEhhbmRIYW5kSGFuZEhhbmRIYW5kSGFuZEhhbmRIYW5kSGFu guest"
	for _, test := range []struct {
		options Options
		left    string
	}{
		{Options{KeepKey: fingerprint(t, ours)}, byHand + "\n" + ours + "\n"},
		{Options{KeepKey: fingerprint(t, ours), Changed: true}, byHand + "\n" + ours + "\n"},
		{Options{KeepKey: fingerprint(t, theirs)}, theirs + "\n" + byHand + "\n" + ours + "\n"},
		{Options{}, theirs + "\n" + byHand + "\n" + ours + "\n"},
		{Options{Changed: true}, theirs + "\n" + byHand + "\n" + ours + "\n"},
	} {
		h, d, _ := made(t)
		before := *d
		before.Keys = []string{theirs}
		followed(t, h, &before)
		write(t, h, "/home/ops/.ssh/authorized_keys", theirs+"\n"+byHand+"\n", 0o600)
		c := compare(t, h, d, test.options)
		if len(c.files) != 1 {
			t.Fatalf("%+v: %q", test.options, c.Files())
		}
		if diff := cmp.Diff(test.left, c.files[0].Content); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.options, diff)
		}
		if err := c.Follow(); err != nil {
			t.Fatal(err)
		}
		now, err := state.LoadDesired(h.path(state.FollowedFile))
		if err != nil {
			t.Fatal(err)
		}
		if stays := strings.Contains(test.left, theirs); len(now.Keys) != 1+map[bool]int{true: 1}[stays] {
			t.Errorf("%+v: noted as the stack's are %q", test.options, now.Keys)
		}
	}
}

// What the stack changed is followed; what was changed by hand, and a file that both changed, is not.
func TestOnlyWhatTheStackChanged(t *testing.T) {
	h, d, answers := made(t)
	before := *d
	before.Files, before.Packages = slices.Clone(d.Files), []string{"caddy"}
	answers["dpkg-query"] = "caddy installed\n"
	for i := range before.Files[:2] { // the Caddyfile, and the firewall's
		before.Files[i].Content = "older\n"
		write(t, h, before.Files[i].Path, "older\n", before.Files[i].ModeBits())
	}
	answers["nft list ruleset"] = ""
	write(t, h, firewallFile, "by hand\n", 0o755)
	write(t, h, sshFile, "by hand\n", 0o600)
	followed(t, h, &before)
	got := lines(compare(t, h, d, Options{Changed: true}).Differences)
	if diff := cmp.Diff([]string{"the package restic is not installed", "/etc/caddy/Caddyfile differs in 3 lines"}, got); diff != "" {
		t.Error(diff)
	}
}

// A host that never followed its stack follows nothing unasked.
func TestNothingToFollow(t *testing.T) {
	h, d, _ := made(t)
	write(t, h, caddyFile, "by hand\n", 0o644)
	if got := lines(compare(t, h, d, Options{Changed: true}).Differences); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func TestVolumesGrow(t *testing.T) {
	const device = "/dev/disk/by-id/scsi-0DO_Volume_files"
	for size, want := range map[int64]string{
		60 << 30:            "the file system at /var/lib/mattermost has 50 GiB of its volume's 60 GiB",
		50<<30 + blockGroup: "",
		50<<30 + 512<<20:    "the file system at /var/lib/mattermost has 50 GiB of its volume's 50.5 GiB",
	} {
		for _, changed := range []bool{true, false} {
			h, d, answers := made(t)
			mount := state.File{Path: unitDir + "var-lib-mattermost.mount", Owner: d.Files[1].Owner, Mode: "0644",
				Content: "[Mount]\nWhat=" + device + "\nWhere=/var/lib/mattermost\nType=ext4\n"}
			d.Files = append(d.Files, mount)
			write(t, h, mount.Path, mount.Content, 0o644)
			answers["blockdev --getsize64 "+device] = fmt.Sprintln(size)
			answers["dumpe2fs -h "+device] = "Inode count: 3276800\nBlock count:              13107200\nReserved block count:     0\nBlock size:               4096\n"
			answers["resize2fs "+device] = ""
			write(t, h, "/proc/self/mounts", "/dev/vda1 / ext4 rw 0 0\n", 0o444)
			if got := rootTwice(lines(compare(t, h, d, Options{Changed: changed}).Differences)); len(got) > 0 {
				t.Errorf("not mounted: %q", got)
			}
			if err := os.Remove(h.path("/proc/self/mounts")); err != nil {
				t.Fatal(err)
			}
			write(t, h, "/proc/self/mounts", "/dev/sda /var/lib/mattermost ext4 rw 0 0\n", 0o444)
			c := compare(t, h, d, Options{Changed: changed})
			if got := strings.Join(rootTwice(lines(c.Differences)), "\n"); got != want {
				t.Errorf("%d bytes: %q, want %q", size, got, want)
			}
			if err := c.Grow(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

// The former name serves until the new one can; a Caddyfile that does not know the new one comes first.
func TestAddress(t *testing.T) {
	const now, next = "https://chat.example.org", "https://talk.example.org"
	h, d, _ := made(t)
	write(t, h, state.EnvFile, "MM_SERVICESETTINGS_SITEURL="+now+"\n", 0o600)
	write(t, h, formerFile("talk.example.org"), "talk.example.org {\n}\n", 0o644)
	own := Own{URL: next}
	c := compare(t, h, d, Options{Own: own, Changed: true})
	if diff := cmp.Diff(&Site{From: now, To: next}, c.Site()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{formerFile("chat.example.org"), formerFile("talk.example.org")}, c.Files()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(c.files[0].Content, "chat.example.org {\n\timport townsquare\n}") || strings.Contains(c.files[1].Content, "{") {
		t.Errorf("%+v", c.files)
	}
	write(t, h, caddyFile, "by hand\n", 0o644)
	if c := compare(t, h, d, Options{Own: own, Changed: true}); c.Site() != nil || len(c.Differences) != 1 || c.Differences[0].Risk == "" {
		t.Errorf("%+v", c.Differences)
	}
	if c := compare(t, h, d, Options{Own: own}); c.Site() == nil {
		t.Error("a repair that writes the Caddyfile does not change the address")
	}
	for _, none := range []Own{{}, {URL: now}} {
		if c := compare(t, h, d, Options{Own: none}); c.Site() != nil {
			t.Errorf("%+v: %+v", none, c.Site())
		}
	}
	if err := errors.Join(os.Remove(h.path(state.EnvFile))); err != nil {
		t.Fatal(err)
	}
	if c := compare(t, h, d, Options{Own: own}); c.Site() != nil {
		t.Errorf("without an address in use: %+v", c.Site())
	}
}
