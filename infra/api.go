package infra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// api is DigitalOcean's API, for what its provider does not do: a clean shutdown before a resize. Two
// calls of net/http, as the vendor's client would bring a dozen modules with it.
// Source: https://docs.digitalocean.com/reference/api/digitalocean/#tag/Droplet-Actions
type api struct {
	endpoint, token string
	client          *http.Client
}

// tokenVariables are those of the environment from which the provider takes the account's token, too.
var tokenVariables = []string{"DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"}

// newAPI takes address and token from where the provider takes them.
func newAPI(get func(key string) (string, bool), env func(name string) string) api {
	setting := func(key, fallback string, names ...string) string {
		if value, ok := get(key); ok && value != "" {
			return value
		}
		for _, name := range names {
			if value := env(name); value != "" {
				return value
			}
		}
		return fallback
	}
	return api{
		endpoint: strings.TrimRight(setting("digitalocean:apiEndpoint", "https://api.digitalocean.com", "DIGITALOCEAN_API_URL"), "/"),
		token:    setting("digitalocean:token", "", tokenVariables...),
		client:   &http.Client{Timeout: 30 * time.Second},
	}
}

// The states of a droplet and the actions that lead to them.
const (
	dropletActive, actionPowerOn = "active", "power_on"
	dropletOff, actionShutdown   = "off", "shutdown" // the power button: systemd stops every service
)

// apiError is an answer that is not a success.
type apiError struct {
	code    int
	message string
}

func (e *apiError) Error() string {
	return fmt.Sprintf("DigitalOcean answers %d: %s", e.code, e.message)
}

// passing reports whether the same request may succeed later. 422 is the answer while another action
// on the droplet is in progress.
func passing(err error) bool {
	var answer *apiError
	return !errors.As(err, &answer) || answer.code == http.StatusTooManyRequests ||
		answer.code == http.StatusUnprocessableEntity || answer.code >= 500
}

// answerLimit is how long the API may give no useful answer before the first action.
const answerLimit = 2 * time.Minute

// reach leads a droplet to a state: once it is unlocked and in another one, the action is asked for.
// With an error, asked reports whether the action may have begun.
func (a api) reach(ctx context.Context, id, state, action string) (asked bool, err error) {
	began, accepted := time.Now(), false
	for {
		var now struct {
			Droplet struct {
				Status string `json:"status"`
				Locked bool   `json:"locked"` // by an action in progress
			} `json:"droplet"`
		}
		err = a.do(ctx, http.MethodGet, id, nil, &now)
		switch {
		case err != nil:
		case now.Droplet.Locked:
			err = errors.New("another action on the droplet is in progress")
			began = time.Now()
		case now.Droplet.Status == state:
			return asked, nil
		case accepted:
			err = fmt.Errorf("the droplet is still %s", now.Droplet.Status)
		default:
			err = a.do(ctx, http.MethodPost, id+"/actions", map[string]string{"type": action}, nil)
			accepted = err == nil
			var refused *apiError
			asked = asked || !errors.As(err, &refused) // the answer may have been lost
		}
		if err != nil && (!passing(err) || !asked && time.Since(began) > answerLimit) {
			return asked, err
		}
		select {
		case <-ctx.Done():
			return asked, err
		case <-time.After(2 * time.Second):
		}
	}
}

func (a api) do(ctx context.Context, method, path string, body, answer any) error {
	var text io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text = strings.NewReader(string(data))
	}
	request, err := http.NewRequestWithContext(ctx, method, a.endpoint+"/v2/droplets/"+path, text)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(request)
	var failed *url.Error
	if errors.As(err, &failed) {
		return fmt.Errorf("ask %s: %w", a.endpoint, failed.Err)
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("ask %s: %w", a.endpoint, err)
	}
	if response.StatusCode >= 300 {
		var wrong struct{ Message string }
		if json.Unmarshal(data, &wrong) != nil || wrong.Message == "" {
			wrong.Message = http.StatusText(response.StatusCode)
		}
		return &apiError{response.StatusCode, wrong.Message}
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("ask %s: %w", a.endpoint, err)
	}
	return nil
}
