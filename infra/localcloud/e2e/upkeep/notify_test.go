//go:build machine

package upkeep

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"townsquare/infra/localcloud/network"
	"townsquare/infra/localcloud/stage"
)

// TestNotify tells people by a channel of the very server that is upgraded, by a webhook over TLS and
// by mail, and looks at what arrived, and that the webhooks' addresses are nowhere to be read.
func TestNotify(t *testing.T) {
	s := square.Upgraded(t)
	channel := s.People.Channels[0].ID
	var hook struct{ ID string }
	ask(t, s, http.MethodPost, "/api/v4/hooks/incoming", map[string]string{"channel_id": channel, "display_name": "Townsquare"}, &hook)
	const key = "0123456789keyofwebhook"
	received := receive(t, s.Cloud, "/"+key)
	s.Exec(t, "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends dma >/dev/null 2>&1")
	s.Input(t, strings.NewReader(fmt.Sprintf("mattermost: %s/hooks/%s\nwebhook: https://releases.%s:9443/%s\nemail: [root@localhost]\nannounce: 3s\n",
		s.URL, hook.ID, network.Zone, key)), "umask 077; cat >/etc/townsquare/notify.yaml")

	r := s.Upgrade(t.Context(), "notify", "test").Must(t)
	if !strings.Contains(r.Stdout, "email, mattermost, webhook") {
		t.Errorf("taken by: %s", r.Stdout)
	}
	wantPost(t, s, channel, "This is a test of Townsquare's notifications")
	if m := next(t, received); m["event"] != "test" || m["host"] != "chat.townsquare.test" {
		t.Errorf("the webhook got %v", m)
	}
	stage.Until(t, stage.Patience, func() error {
		if mail := s.Exec(t, "cat /var/mail/root || true"); !strings.Contains(mail, "Auto-Submitted: auto-generated") || !strings.Contains(mail, "This is a test") {
			return fmt.Errorf("the mail is\n%s", mail)
		}
		return nil
	})

	square.Localcloud(t.Context(), "mirror", "publish", stage.Patch).Must(t)
	for range 2 { // the second time nobody is told the same again
		s.Upgrade(t.Context(), "check", "--unattended").Must(t, 10)
	}
	// On the server itself, whatever the hour: the stack would bring its own window, which is the night.
	s.Exec(t, `sed -i '/^window:/d' /etc/townsquare/upgrade.yaml
echo 'window: daily 00:00-24:00' >>/etc/townsquare/upgrade.yaml
/usr/local/lib/townsquare/upgrade apply --unattended --watch 2s --local`)
	wantPost(t, s, channel, "Mattermost is upgraded in 0 minutes") // by the server itself, before it goes away
	post := wantPost(t, s, channel, "Mattermost is now "+stage.Patch)
	for _, row := range []string{"| Version | " + stage.After + " → " + stage.Patch + " |", "| Downtime |", "| Restarted | Mattermost |"} {
		if !strings.Contains(post, row) {
			t.Errorf("no %q in the post\n%s", row, post)
		}
	}
	if n := len(posts(t, s, channel, "Updates are available")); n != 1 {
		t.Errorf("what was found was said %d times", n)
	}
	if found := next(t, received); found["event"] != "found" || !strings.Contains(fmt.Sprint(found["facts"]), stage.Patch) {
		t.Errorf("the webhook got %v", found)
	}
	if said := next(t, received); said["event"] != "announced" {
		t.Errorf("the webhook got %v", said)
	}
	if done := next(t, received); done["event"] != "done" {
		t.Errorf("the webhook got %v", done)
	}
	secretsOf(t, s, hook.ID, key)
	unreachable(t, s)
}

// secretsOf looks for the addresses where others can read. Mattermost's own log names the addresses it
// is asked for, and is not ours.
func secretsOf(t *testing.T, s *stage.Server, secrets ...string) {
	t.Helper()
	found := s.Input(t, strings.NewReader(strings.Join(secrets, "\n")+"\n"), `
umask 077
cat >/run/patterns
journalctl --no-pager | grep -v ' mattermost\[[0-9]*\]: ' | grep -Ff /run/patterns || true
grep -lFf /run/patterns /proc/[0-9]*/cmdline /var/lib/townsquare/*.json /var/lib/townsquare/runs/* 2>/dev/null || true
find /etc /var/log /run /tmp /opt/townsquare /usr/local -xdev -type f -perm -o=r -size -20M -print0 | xargs -0 grep -lFf /run/patterns || true
rm /run/patterns`)
	if found != "" {
		t.Errorf("the address of a webhook is in\n%s", found)
	}
	if mode := s.Exec(t, "stat -c %a /etc/townsquare/notify.yaml /var/lib/townsquare/notify.json"); mode != "600\n600" {
		t.Errorf("modes %s", mode)
	}
	for _, secret := range secrets {
		if strings.Contains(square.Transcript(), secret) {
			t.Error("the address of a webhook is in what programs wrote")
		}
	}
}

// unreachable: that nobody can be told fails nothing, and status says so.
func unreachable(t *testing.T, s *stage.Server) {
	s.Exec(t, "sed -i 's/^webhook:.*/webhook: https:\\/\\/releases.townsquare.test:9444\\/gone/; s/^email:.*//; s/^mattermost:.*//' /etc/townsquare/notify.yaml")
	r := s.Upgrade(t.Context(), "notify", "test").Must(t, 1)
	if !strings.Contains(r.Stderr, "connection refused") {
		t.Errorf("it says\n%s", r)
	}
	if r := s.Upgrade(t.Context(), "status").Must(t, 13); !strings.Contains(r.Stdout, "notifications have not arrived") {
		t.Errorf("status says\n%s", r.Stdout)
	}
}

// ask calls Mattermost's API as the administrator.
func ask(t *testing.T, s *stage.Server, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.People.Token)
	resp, err := s.Visitor.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, answer, err)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		t.Fatal(err)
	}
}

// posts are those of the channel with some words in them.
func posts(t *testing.T, s *stage.Server, channel, words string) (found []string) {
	t.Helper()
	var list struct {
		Posts map[string]struct{ Message string }
	}
	ask(t, s, http.MethodGet, "/api/v4/channels/"+channel+"/posts", nil, &list)
	for _, p := range list.Posts {
		if strings.Contains(p.Message, words) {
			found = append(found, p.Message)
		}
	}
	return found
}

func wantPost(t *testing.T, s *stage.Server, channel, words string) string {
	t.Helper()
	var found []string
	stage.Until(t, stage.Patience, func() error {
		if found = posts(t, s, channel, words); len(found) != 1 {
			return fmt.Errorf("%d posts with %q", len(found), words)
		}
		return nil
	})
	return found[0]
}

// receive is a webhook in the cloud's network, with a certificate of the cloud's authority.
func receive(t *testing.T, cloud *network.Cloud, path string) <-chan map[string]any {
	t.Helper()
	listener, err := cloud.Listen("tcp", net.JoinHostPort(network.Gateway.String(), "9443"))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan map[string]any, 20)
	server := &http.Server{ReadHeaderTimeout: time.Minute, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate(t, cloud)}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var m map[string]any
			if r.URL.Path != path || json.NewDecoder(r.Body).Decode(&m) != nil {
				http.NotFound(w, r)
				return
			}
			got <- m
		})}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	return got
}

func next(t *testing.T, received <-chan map[string]any) map[string]any {
	t.Helper()
	select {
	case m := <-received:
		return m
	case <-time.After(stage.Patience):
		t.Fatal("the webhook got nothing")
		return nil
	}
}

func certificate(t *testing.T, cloud *network.Cloud) tls.Certificate {
	t.Helper()
	dir := filepath.Join(cloud.Dir, "ca")
	authority, err := tls.LoadX509KeyPair(filepath.Join(dir, "cloud.pem"), filepath.Join(dir, "cloud.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"releases." + network.Zone}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, authority.Leaf, key.Public(), authority.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
