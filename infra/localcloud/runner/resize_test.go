//go:build machine

package runner_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"

	"townsquare/infra/localcloud/runner"
	"townsquare/infra/localcloud/services"
)

// paperAPI answers DigitalOcean's API for the one server of a cloud without machines.
type paperAPI struct {
	stack *paperStack

	mu      sync.Mutex
	actions []string
}

func (a *paperAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	token, err := os.ReadFile(services.APITokenFile(a.stack.cloud))
	if err != nil || r.Header.Get("Authorization") != "Bearer "+string(token) {
		http.Error(w, `{"message": "Unable to authenticate you"}`, http.StatusUnauthorized)
		return
	}
	var asked struct{ Type string }
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, `{"message": "no JSON"}`, http.StatusBadRequest)
			return
		}
		a.actions = append(a.actions, asked.Type)
	}
	status := ""
	err = changeSheet(a.stack.cloud.Dir, func(s *sheet) error {
		server := s.Machines["townsquare-dev"]
		if server == nil {
			return nil
		}
		if r.Method == http.MethodPost {
			server.Status = map[string]string{"shutdown": "off", "power_on": "active"}[asked.Type]
		}
		status = server.Status
		return nil
	})
	if err != nil || status == "" {
		http.Error(w, `{"message": "no such droplet"}`, http.StatusNotFound)
		return
	}
	if r.Method == http.MethodPost {
		w.WriteHeader(http.StatusCreated)
	}
	if err := json.NewEncoder(w).Encode(map[string]any{"droplet": map[string]any{"status": status}}); err != nil {
		a.stack.t.Error(err)
	}
}

// A resize shuts the server down before the provider cuts its power, is refused at preview where the disk
// would shrink, and ends with a server that is on, whatever DigitalOcean answers.
func TestResize(t *testing.T) {
	s := newPaperStack(t, "resized", map[string]any{})
	api := s.api
	s.up()
	read := func() sheet {
		t.Helper()
		var found sheet
		if err := changeSheet(s.cloud.Dir, func(on *sheet) error { found = *on; return nil }); err != nil {
			t.Fatal(err)
		}
		return found
	}
	machine := func() paperMachine { return *read().Machines["townsquare-dev"] }
	says := func(what string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(s.said.String(), part) {
				t.Errorf("%s does not say %q:\n%s", what, part, s.said.String())
			}
		}
	}

	s.set["townsquare:size"] = "g-4vcpu-16gb"
	if _, err := s.tryPreview(); err == nil {
		t.Errorf("a smaller disk is planned:\n%s", s.said.String())
	}
	says("preview", `townsquare:size: "g-4vcpu-16gb" has a disk of 50 GB`, "pulumi config set townsquare:size s-4vcpu-8gb")
	if _, err := s.tryUp(); err == nil || len(api.actions) > 0 || machine().Status != "active" {
		t.Errorf("up with a smaller disk: %v, %q, %+v", err, api.actions, machine())
	}

	s.set["townsquare:size"] = "s-8vcpu-16gb"
	if changes, err := s.tryPreview(); err != nil || changes["update"] == 0 || len(api.actions) > 0 {
		t.Errorf("preview: %v, %v, %q\n%s", changes, err, api.actions, s.said.String())
	}
	says("preview", "resize from s-4vcpu-8gb to s-8vcpu-16gb: Mattermost is down for several minutes")
	if changes := s.up(); changes["update"] != 1 {
		t.Errorf("up: %v\n%s", changes, s.said.String())
	}
	if got := machine(); got.PowerCuts != 0 || got.Status != "active" || got.MemoryMB != 16384 {
		t.Errorf("after the resize: %+v", got)
	}
	if changes := s.up(); len(changes) != 1 || changes["same"] == 0 {
		t.Errorf("up again: %v\n%s", changes, s.said.String())
	}

	// What DigitalOcean refuses for reasons of its own leaves a server that is on, and what it tells to
	// type works.
	refuse := func(words string) {
		t.Helper()
		if err := changeSheet(s.cloud.Dir, func(on *sheet) error { on.Refuses = words; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	refuse("Size is too large to fit on your droplet's server")
	s.set["townsquare:size"] = "s-4vcpu-8gb-amd"
	if _, err := s.tryUp(); err == nil {
		t.Errorf("up: no error\n%s", s.said.String())
	}
	says("up", "Size is too large", "the server is on again", "pulumi up --refresh --stack dev")
	if got := machine(); got.Status != "active" || got.MemoryMB != 16384 {
		t.Errorf("after the failed resize: %+v", got)
	}
	refuse("")
	if changes, err := s.try(func(ctx context.Context, stack *runner.Stack) (runner.Changes, error) {
		return stack.Up(ctx, optup.Refresh())
	}); err != nil || changes["update"] != 1 {
		t.Errorf("up --refresh: %v, %v\n%s", changes, err, s.said.String())
	}
	if got := machine(); got.PowerCuts != 0 || got.MemoryMB != 8192 || got.Status != "active" {
		t.Errorf("after the second attempt: %+v", got)
	}

	// Without the API nothing is begun.
	if err := os.WriteFile(services.APITokenFile(s.cloud), []byte("another token"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.set["townsquare:size"] = "s-8vcpu-16gb"
	if _, err := s.tryUp(); err == nil {
		t.Errorf("up: no error\n%s", s.said.String())
	}
	says("up", "nothing was changed: DigitalOcean answers 401: Unable to authenticate you")
	if got := machine(); got.PowerCuts != 0 || got.MemoryMB != 8192 || got.Status != "active" {
		t.Errorf("after no attempt: %+v", got)
	}
	if diff := cmp.Diff([]string{"shutdown", "shutdown", "power_on", "shutdown"}, api.actions); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}
