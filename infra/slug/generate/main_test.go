package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The generated file is what the SDK in go.mod makes of it.
func TestGeneratedIsCurrent(t *testing.T) {
	want, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../generated.go")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("infra/slug/generated.go is not current (-want +got); type: go generate ./infra/slug\n%s", diff)
	}
}

func TestDropletSize(t *testing.T) {
	// Source: the output of `doctl compute size list`
	for slug, want := range map[string]size{
		"s-1vcpu-512mb-10gb":       {1, 512, 10},
		"s-4vcpu-8gb":              {4, 8192, 160},
		"s-4vcpu-16gb-amd":         {4, 16384, 200},
		"s-8vcpu-32gb-640gb-intel": {8, 32768, 640},
		"c-16":                     {16, 32768, 200},
		"c-60-intel":               {60, 122880, 750},
		"c2-4vcpu-8gb-intel":       {4, 8192, 100},
		"g-2vcpu-8gb":              {2, 8192, 25},
		"g-60vcpu-240gb-intel":     {60, 245760, 900},
		"gd-16vcpu-64gb-intel":     {16, 65536, 480},
		"m-48vcpu-384gb-intel":     {48, 393216, 1200},
		"m3-24vcpu-192gb":          {24, 196608, 1800},
		"m6-32vcpu-256gb":          {32, 262144, 4800},
		"so-48vcpu-384gb-intel":    {48, 393216, 7000},
		"so1_5-2vcpu-16gb":         {2, 16384, 450},
		"x9-2vcpu-16gb":            {2, 16384, 0},
	} {
		got, err := dropletSize(slug)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v; want %+v", slug, got, err, want)
		}
	}
	if got, err := dropletSize("nanode"); err == nil {
		t.Errorf("a slug of an unknown form is %+v", got)
	}
}
