package machine

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/infra/localcloud/network"
)

func TestPathIn(t *testing.T) {
	const hybrid = "9:name=systemd:/a\n4:memory:/b\n2:cpu,cpuacct:/c\n0::/d\n"
	for mount, want := range map[string]string{"systemd": "/a", "memory": "/b", "cpuacct": "/c", "unified": "/d", "cgroup": "/d"} {
		if got := pathIn(hybrid, mount); got != want {
			t.Errorf("%s: %s, want %s", mount, got, want)
		}
	}
}

func TestNetworkFileNamesBothGateways(t *testing.T) {
	got := networkFile(Spec{Address: netip.MustParseAddr("10.91.0.10"), Address6: netip.MustParseAddr("fd91::10")})
	for _, want := range []string{"Address=10.91.0.10/32\n", "Address=fd91::10/128\n", "Gateway=10.91.0.1\n", "Gateway=fe80::1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestWriteIfChangedFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	outside, inside := filepath.Join(dir, "outside"), filepath.Join(dir, "root", "etc", "file")
	if err := errors.Join(os.MkdirAll(filepath.Dir(inside), 0o755), os.WriteFile(outside, []byte("mine"), 0o600), os.Symlink(outside, inside)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if wrote, err := writeIfChanged(inside, "theirs", 0o644); err != nil || wrote != want {
			t.Errorf("wrote %v, %v; want %v", wrote, err, want)
		}
	}
	if data, _ := os.ReadFile(outside); string(data) != "mine" {
		t.Errorf("a machine's link made the host's file %q", data)
	}
}

func TestCreateRefuses(t *testing.T) {
	cloud := &network.Cloud{Name: "unit", Dir: t.TempDir()}
	for _, name := range []string{"", "UPPER", "../up", "a/b", "-a"} {
		if _, err := Create(context.Background(), cloud, Spec{Name: name}); err == nil {
			t.Errorf("machine %q was made", name)
		}
		if err := CreateVolume(context.Background(), cloud, name, 1, "", ""); err == nil {
			t.Errorf("volume %q was made", name)
		}
	}
	if _, err := Create(context.Background(), cloud, Spec{Name: "a", From: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "holds no snapshot") {
		t.Errorf("from an empty directory: %v", err)
	}
	if err := CreateVolume(context.Background(), cloud, "v", 1, "xfs", ""); err == nil || !strings.Contains(err.Error(), "want ext4") {
		t.Errorf("xfs: %v", err)
	}
	if _, err := Open(cloud, "a"); !errors.Is(err, ErrNotExist) {
		t.Errorf("open: %v", err)
	}
}

func TestVolumesOfNobody(t *testing.T) {
	cloud := &network.Cloud{Name: "unit", Dir: t.TempDir()}
	ctx := context.Background()
	if err := CreateVolume(ctx, cloud, "v", 1, "", ""); err != nil {
		t.Fatal(err)
	}
	if err := CreateVolume(ctx, cloud, "v", 1, "", ""); err == nil {
		t.Error("the same volume was made twice")
	}
	if err := errors.Join(GrowVolume(ctx, cloud, "v", 2), GrowVolume(ctx, cloud, "v", 2)); err != nil {
		t.Error(err)
	}
	if err := GrowVolume(ctx, cloud, "v", 1); err == nil {
		t.Error("a volume shrank")
	}
	m := &Machine{Cloud: cloud, Spec: Spec{Name: "m"}, dir: directory(cloud, "m")}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := m.save(record{Spec: Spec{Name: "m", Volumes: []Volume{{Name: "v"}}}}); err != nil {
		t.Fatal(err)
	}
	if err := RemoveVolume(ctx, cloud, "v"); err == nil || !strings.Contains(err.Error(), "attached to machine m") {
		t.Errorf("an attached volume: %v", err)
	}
	if err := errors.Join(m.Detach(ctx, "v"), m.Detach(ctx, "v"), RemoveVolume(ctx, cloud, "v"), RemoveVolume(ctx, cloud, "v")); err != nil {
		t.Error(err)
	}
	if err := m.Attach(ctx, Volume{Name: "v"}); err == nil {
		t.Error("a volume that is gone was attached")
	}
}

func TestExecErrorQuotesTheLastLine(t *testing.T) {
	err := &ExecError{Machine: "m", Program: "psql", Code: 2, Stderr: "NOTICE: x\nERROR: no table\n"}
	if got := err.Error(); got != "psql on machine m: exit code 2: ERROR: no table" {
		t.Error(got)
	}
}
