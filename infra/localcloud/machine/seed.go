package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"townsquare/infra/localcloud/network"
)

func (m *Machine) instanceID() string {
	if m.Spec.InstanceID != "" {
		return m.Spec.InstanceID
	}
	return m.Spec.Name
}

// seed writes into a machine's root what a cloud provider tells a server from
// outside: who it is, its addresses, whom it trusts. It runs before every boot
// and changes nothing that is right already.
func (m *Machine) seed(root string) error {
	spec := m.Spec
	meta := map[string]any{
		"instance-id": m.instanceID(), "local-hostname": spec.Hostname,
	}
	if len(spec.PublicKeys) > 0 {
		meta["public-keys"] = spec.PublicKeys
	}
	metaJSON, err := json.MarshalIndent(meta, "", "  ") // JSON is YAML
	if err != nil {
		return err
	}
	userData := spec.UserData
	if userData == "" {
		userData = "#cloud-config\n{}\n"
	}
	files := []struct {
		path, content string
		mode          os.FileMode
	}{
		{"/var/lib/cloud/seed/nocloud/meta-data", string(metaJSON) + "\n", 0o600},
		{"/var/lib/cloud/seed/nocloud/user-data", userData, 0o600},
		{"/etc/systemd/network/10-eth0.network", networkFile(spec), 0o644},
		{"/etc/resolv.conf", "nameserver " + network.Gateway.String() + "\n", 0o644},
	}
	for _, f := range files {
		if _, err := writeIfChanged(filepath.Join(root, f.path), f.content, f.mode); err != nil {
			return fmt.Errorf("seed machine %s: %w", spec.Name, err)
		}
	}
	return m.seedTrust(root)
}

func networkFile(spec Spec) string {
	return fmt.Sprintf(`[Match]
Name=eth0

[Network]
Address=%s/32
Address=%s/128
LinkLocalAddressing=ipv6
IPv6AcceptRA=no
IPv6DuplicateAddressDetection=0

[Route]
Gateway=%s
GatewayOnLink=yes

[Route]
Gateway=%s
`, spec.Address, spec.Address6, network.Gateway, linkLocalGateway)
}

// authorities are the names of the cloud's own in its directory.
var authorities = []string{"cloud", "acme"}

func (m *Machine) authority(name string) (pem []byte, path string, err error) {
	pem, err = os.ReadFile(filepath.Join(m.Cloud.Dir, "ca", name+".pem"))
	if err != nil {
		return nil, "", fmt.Errorf("read the cloud's authority: %w", err)
	}
	return pem, "/usr/local/share/ca-certificates/townsquare-" + name + ".crt", nil
}

// seedTrust makes the cloud's authorities trusted, as public ones are on a
// real server.
func (m *Machine) seedTrust(root string) error {
	changed := false
	for _, name := range authorities {
		pem, path, err := m.authority(name)
		if err != nil {
			return err
		}
		wrote, err := writeIfChanged(filepath.Join(root, path), string(pem), 0o644)
		if err != nil {
			return err
		}
		changed = changed || wrote
	}
	if !changed {
		return nil
	}
	cmd := exec.Command("chroot", root, "update-ca-certificates")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"} // this computer's TMPDIR is nowhere in there
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("trust the cloud's authority: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// RenewTrust does the same in a running machine: a new daemon has a new ACME
// server with a new root.
func (m *Machine) RenewTrust(ctx context.Context) error {
	for _, name := range authorities {
		pem, path, err := m.authority(name)
		if err != nil {
			return err
		}
		if _, err := m.ExecInput(ctx, bytes.NewReader(pem), "tee", path); err != nil {
			return fmt.Errorf("renew trust: %w", err)
		}
	}
	if _, err := m.Exec(ctx, "update-ca-certificates"); err != nil {
		return fmt.Errorf("renew trust: %w", err)
	}
	return nil
}

func writeIfChanged(path, content string, mode os.FileMode) (wrote bool, err error) {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, []byte(content)) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	// Not through a link that the machine may have put there: it could point
	// out of the machine.
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return false, err
	}
	return true, os.WriteFile(path, []byte(content), mode)
}
