package services

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"townsquare/infra/localcloud/machine"
	"townsquare/infra/localcloud/network"
)

// APIEndpoint is where a cloud answers DigitalOcean's API, for the program that runs on this computer: a
// loopback address of the cloud's own, so that it takes no other program's port.
func APIEndpoint(cloud *network.Cloud) string { return "http://" + apiAddress(cloud) }

func apiAddress(cloud *network.Cloud) string {
	hash := fnv.New32a()
	_, _ = io.WriteString(hash, cloud.Name) // never fails
	sum := hash.Sum32()
	return fmt.Sprintf("127.78.%d.%d:8080", sum>>8&0xff, sum&0xff)
}

// APITokenFile has the token that opens the API.
func APITokenFile(cloud *network.Cloud) string {
	return filepath.Join(cloud.Dir, "secrets", "api-token")
}

// api is the part of DigitalOcean's API that switches droplets on and off; the rest of it is the Pulumi
// provider's. A droplet is the machine that has its ID as InstanceID.
// Source: https://docs.digitalocean.com/reference/api/digitalocean/#tag/Droplet-Actions
type api struct {
	cloud *network.Cloud
	power map[string]func(context.Context, *machine.Machine) error // by type of action

	mu      sync.Mutex
	actions []*action // an action's ID is its place, from 1
}

type action struct {
	ID       int    `json:"id"`
	Status   string `json:"status"` // in-progress, completed, errored
	Type     string `json:"type"`
	Resource int    `json:"resource_id"`
}

// powerLimit is the longest that an action takes.
const powerLimit = 5 * time.Minute

func newAPI(cloud *network.Cloud, start func(context.Context, *machine.Machine) error) *api {
	return &api{cloud: cloud, power: map[string]func(context.Context, *machine.Machine) error{
		"shutdown":  func(ctx context.Context, m *machine.Machine) error { return m.PowerOff(ctx) },
		"power_off": func(ctx context.Context, m *machine.Machine) error { return m.Kill(ctx) },
		"power_on":  start,
	}}
}

func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/droplets/{id}", a.droplet)
	mux.HandleFunc("POST /v2/droplets/{id}/actions", a.act)
	mux.HandleFunc("GET /v2/actions/{id}", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || id < 1 || id > len(a.actions) {
			notFound(w)
			return
		}
		respond(w, http.StatusOK, map[string]any{"action": a.actions[id-1]})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := os.ReadFile(APITokenFile(a.cloud))
		given := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if err != nil || len(token) == 0 || subtle.ConstantTimeCompare(token, []byte(given)) != 1 {
			refuse(w, http.StatusUnauthorized, "unauthorized", "Unable to authenticate you")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// pending returns the droplet's action that is in progress, if there is one. a.mu is held.
func (a *api) pending(droplet int) *action {
	for _, one := range a.actions {
		if one.Resource == droplet && one.Status == "in-progress" {
			return one
		}
	}
	return nil
}

func (a *api) droplet(w http.ResponseWriter, r *http.Request) {
	id, m, ok := a.find(w, r)
	if !ok {
		return
	}
	a.mu.Lock()
	locked := a.pending(id) != nil
	a.mu.Unlock()
	respond(w, http.StatusOK, map[string]any{"droplet": map[string]any{
		"id": id, "name": m.Spec.Hostname, "memory": m.Spec.MemoryMB, "status": status(m), "locked": locked,
	}})
}

func status(m *machine.Machine) string {
	if m.Running() {
		return "active"
	}
	return "off"
}

// act begins an action and answers at once, as DigitalOcean does.
func (a *api) act(w http.ResponseWriter, r *http.Request) {
	id, m, ok := a.find(w, r)
	if !ok {
		return
	}
	var asked struct{ Type string }
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, "bad_request", "The request body is no JSON")
		return
	}
	do := a.power[asked.Type]
	a.mu.Lock()
	defer a.mu.Unlock()
	now := status(m)
	switch {
	case do == nil:
		refuse(w, http.StatusUnprocessableEntity, "unprocessable_entity", "The action "+asked.Type+" is the Pulumi provider's in this cloud")
	case a.pending(id) != nil:
		refuse(w, http.StatusUnprocessableEntity, "unprocessable_entity", "Droplet already has a pending event.")
	case asked.Type == "power_off" && now == "off":
		refuse(w, http.StatusUnprocessableEntity, "unprocessable_entity", "Droplet is already powered off.")
	case asked.Type == "power_on" && now == "active":
		refuse(w, http.StatusUnprocessableEntity, "unprocessable_entity", "Droplet is already powered on.")
	default:
		begun := &action{ID: len(a.actions) + 1, Status: "in-progress", Type: asked.Type, Resource: id}
		a.actions = append(a.actions, begun)
		respond(w, http.StatusCreated, map[string]any{"action": begun})
		go a.carryOut(begun, m, do)
	}
}

func (a *api) carryOut(begun *action, m *machine.Machine, do func(context.Context, *machine.Machine) error) {
	ctx, cancel := context.WithTimeout(context.Background(), powerLimit)
	defer cancel()
	err := do(ctx, m)
	a.mu.Lock()
	defer a.mu.Unlock()
	begun.Status = "completed"
	if err != nil {
		begun.Status = "errored"
		fmt.Fprintf(os.Stderr, "droplet %d: %s: %v\n", begun.Resource, begun.Type, err)
	}
}

// find returns the droplet that a request names, or answers that there is none.
func (a *api) find(w http.ResponseWriter, r *http.Request) (id int, m *machine.Machine, ok bool) {
	all, err := machine.List(a.cloud)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "server_error", err.Error())
		return 0, nil, false
	}
	id, err = strconv.Atoi(r.PathValue("id"))
	for _, m := range all {
		if err == nil && m.Spec.InstanceID == strconv.Itoa(id) {
			return id, m, true
		}
	}
	notFound(w)
	return 0, nil, false
}

func notFound(w http.ResponseWriter) {
	refuse(w, http.StatusNotFound, "not_found", "The resource you were accessing could not be found.")
}

func refuse(w http.ResponseWriter, code int, id, message string) {
	respond(w, code, map[string]string{"id": id, "message": message})
}

func respond(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(errors.Join(http.ErrAbortHandler, err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(data)
}
