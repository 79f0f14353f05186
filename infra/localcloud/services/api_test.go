package services

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
)

// The API asks for its token, knows droplets by their numbers, carries out one action at a time on each,
// and says what DigitalOcean says.
func TestAPI(t *testing.T) {
	cloud := &network.Cloud{Name: "unit", Dir: t.TempDir()}
	for path, content := range map[string]any{
		filepath.Join(cloud.Dir, "machines", "server", "machine.json"): map[string]any{"Spec": machine.Spec{Name: "server", InstanceID: "410000001"}},
		filepath.Join(cloud.Dir, "machines", "other", "machine.json"):  map[string]any{"Spec": machine.Spec{Name: "other", InstanceID: "other-1"}},
	} {
		data, err := json.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	begun, finish := make(chan string), make(chan error)
	a := newAPI(cloud, func(_ context.Context, m *machine.Machine) error {
		begun <- m.Spec.Name
		return <-finish
	})
	server := httptest.NewServer(a.handler())
	defer server.Close()
	token := "secret"
	ask := func(method, path, body string) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		data, _ := io.ReadAll(response.Body)
		return fmt.Sprintf("%d %s", response.StatusCode, data)
	}
	expect := func(got, want string) {
		t.Helper()
		if !strings.Contains(got, want) {
			t.Errorf("answer %s, want %s", got, want)
		}
	}
	const droplet = "/v2/droplets/410000001"
	token = ""
	expect(ask("GET", droplet, ""), `401 {"id":"unauthorized","message":"Unable to authenticate you"}`) // there is no token yet
	token = "secret"
	if err := os.MkdirAll(filepath.Dir(APITokenFile(cloud)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(APITokenFile(cloud), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(ask("GET", droplet, ""), `"locked":false`)
	expect(ask("GET", droplet, ""), `"status":"off"`)
	expect(ask("GET", "/v2/droplets/other-1", ""), "404 ")
	expect(ask("GET", "/v2/droplets/7", ""), "404 ")
	expect(ask("POST", droplet+"/actions", `{"type": "power_off"}`), `422 {"id":"unprocessable_entity","message":"Droplet is already powered off."}`)
	expect(ask("POST", droplet+"/actions", `{"type": "resize"}`), "422 ")
	for number, failure := range []error{nil, io.ErrUnexpectedEOF} {
		expect(ask("POST", droplet+"/actions", `{"type": "power_on"}`), `"status":"in-progress"`)
		expect(<-begun, "server")
		expect(ask("GET", droplet, ""), `"locked":true`)
		expect(ask("POST", droplet+"/actions", `{"type": "shutdown"}`), "pending event")
		action := fmt.Sprintf("/v2/actions/%d", number+1)
		expect(ask("GET", action, ""), `"status":"in-progress"`)
		finish <- failure
		for strings.Contains(ask("GET", action, ""), "in-progress") {
			continue
		}
		expect(ask("GET", action, ""), map[bool]string{true: "completed", false: "errored"}[failure == nil])
	}
	token = "other"
	expect(ask("POST", droplet+"/actions", `{"type": "power_on"}`), "401 ")
}

func TestEveryCloudHasItsOwnEndpoint(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"demo", "test", "bench", "faults", "stacktest", "pairtest", "managedtest"} {
		endpoint := APIEndpoint(&network.Cloud{Name: name})
		if other, taken := seen[endpoint]; taken {
			t.Errorf("%s and %s are both at %s", name, other, endpoint)
		}
		seen[endpoint] = name
	}
}
