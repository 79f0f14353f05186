package state

import (
	"strings"
	"testing"
	"time"
)

func TestRepositories(t *testing.T) {
	for text, want := range map[string]bool{
		"/mnt/backup/chat": true, "s3:https://fra1.digitaloceanspaces.com/chat-backups/townsquare": true, "s3:https://s3.example.org:9000/b": true,
		"sftp:backup@nas.example.org:/srv/chat": true, "sftp://backup@nas.example.org:2222//srv/chat": true, "sftp:b@nas:chat": true,
		"/": false, "/a/../b": false, "chat": false, "s3:http://s3.example.org/b": false, "s3:https://s3.example.org/": false, "s3:https://key:secret@s3.example.org/b": false,
		"sftp:nas.example.org:/srv": false, "sftp:-oProxyCommand=x@nas:/srv": false, "sftp://b:secret@nas//srv": false, "sftp:b@nas:/a b": false,
		"sftp:b@nas:/a';reboot;'": false, "rest:https://x/": false, "sftp://b@-oProxyCommand=x//srv": false,
	} {
		if got := isRepository(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestBackupsCheck(t *testing.T) {
	found := Backups{Repository: "rest:https://me:hunter2@x/", HostKey: "AAAA", Keep: Keep{Daily: -1}, StaleAfter: time.Minute}.check("upgrade.yaml")
	if len(found) != 4 || strings.Contains(found.Error(), "hunter2") {
		t.Errorf("%v", found)
	}
	c, err := ParseConfig("upgrade.yaml", []byte("backup:\n  repository: /mnt/b\n  keep: {last: 2, daily: 3}\n  stale_after: 12h\n"))
	if err != nil || c.Backup.Kept() != (Keep{Last: 2, Daily: 3}) || c.Backup.StaleAfter != 12*time.Hour {
		t.Errorf("%+v, %v", c.Backup, err)
	}
	if _, err := ParseConfig("upgrade.yaml", []byte("backup: {repositry: /mnt/b}\n")); err == nil || !strings.Contains(err.Error(), "backup.repositry") {
		t.Errorf("%v", err)
	}
	now := time.Now()
	if (Backups{}).Stale(now.Add(-35*time.Hour), now) || !(Backups{}).Stale(now.Add(-37*time.Hour), now) || (Backups{}).Kept().Daily != 7 {
		t.Error("the defaults are others")
	}
}
