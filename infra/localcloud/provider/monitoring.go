package provider

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"github.com/google/uuid"
)

// UptimeCheckArgs are the inputs of digitalocean.UptimeCheck.
type UptimeCheckArgs struct {
	Enabled *bool    `pulumi:"enabled,optional"`
	Name    *string  `pulumi:"name,optional"`
	Regions []string `pulumi:"regions,optional"`
	Target  string   `pulumi:"target"`
	Type    *string  `pulumi:"type,optional"`
}

// UptimeCheckState is a check from outside, several times a minute. It is recorded only.
type UptimeCheckState struct{ UptimeCheckArgs }

func newUptimeChecks(cloud *Cloud) infer.InferredResource {
	r := &resource[UptimeCheckArgs, UptimeCheckState]{cloud: cloud, name: "UptimeCheck"}
	r.autoname = func(in *UptimeCheckArgs) **string { return &in.Name }
	r.create = func(_ context.Context, in UptimeCheckArgs) (string, UptimeCheckState, error) {
		if target, err := url.Parse(in.Target); value(in.Type) != "ping" && (err != nil || target.Host == "") {
			return "", UptimeCheckState{}, refused("target: %q is no URL", in.Target)
		}
		return r.record(uuid.NewString(), UptimeCheckState{in})
	}
	return infer.Resource(r)
}

// Slack is a channel that alerts are posted to.
type Slack struct {
	Channel string `pulumi:"channel"`
	Url     string `pulumi:"url" provider:"secret"`
}

// UptimeAlertArgs are the inputs of digitalocean.UptimeAlert.
type UptimeAlertArgs struct {
	CheckId       string         `pulumi:"checkId"`
	Comparison    *string        `pulumi:"comparison,optional"`
	Name          *string        `pulumi:"name,optional"`
	Notifications []Notification `pulumi:"notifications"`
	Period        *string        `pulumi:"period,optional"`
	Threshold     *int           `pulumi:"threshold,optional"`
	Type          string         `pulumi:"type"`
}

// Notification is who is told.
type Notification struct {
	Emails []string `pulumi:"emails,optional"`
	Slacks []Slack  `pulumi:"slacks,optional"`
}

// UptimeAlertState tells someone when a check fails. It is recorded only.
type UptimeAlertState struct{ UptimeAlertArgs }

func newUptimeAlerts(cloud *Cloud) infer.InferredResource {
	r := &resource[UptimeAlertArgs, UptimeAlertState]{cloud: cloud, name: "UptimeAlert"}
	r.autoname = func(in *UptimeAlertArgs) **string { return &in.Name }
	save := func(id string, state UptimeAlertState) error {
		// The provider sends an empty text where the program gives none.
		if state.Comparison == nil {
			return refused("comparison: %q is not one of %s", "", strings.Join(comparisons(), ", "))
		}
		var emails []string
		var slacks []Slack
		for _, notification := range state.Notifications {
			emails, slacks = append(emails, notification.Emails...), append(slacks, notification.Slacks...)
		}
		if err := refuseRecipients(emails, slacks); err != nil {
			return err
		}
		return cloud.change(func(c *Contents) error {
			if _, ok := c.Resources["UptimeCheck"][state.CheckId]; !ok {
				return fmt.Errorf("check %q: %w", state.CheckId, errNotFound)
			}
			return c.put(r.name, id, state)
		})
	}
	r.create = func(_ context.Context, in UptimeAlertArgs) (string, UptimeAlertState, error) {
		id := uuid.NewString()
		return id, UptimeAlertState{in}, save(id, UptimeAlertState{in})
	}
	r.update = func(_ context.Context, id string, _ UptimeAlertState, state *UptimeAlertState) error {
		return save(id, *state)
	}
	return infer.Resource(r)
}

// MonitorAlertArgs are the inputs of digitalocean.MonitorAlert.
type MonitorAlertArgs struct {
	Alerts      Recipients `pulumi:"alerts"`
	Compare     string     `pulumi:"compare"`
	Description string     `pulumi:"description"`
	Enabled     *bool      `pulumi:"enabled,optional"`
	Entities    []string   `pulumi:"entities,optional"`
	Tags        []string   `pulumi:"tags,optional"`
	Type        string     `pulumi:"type"`
	Value       float64    `pulumi:"value"`
	Window      string     `pulumi:"window"`
}

// Recipients is who is told.
type Recipients struct {
	Emails []string `pulumi:"emails,optional"`
	Slacks []Slack  `pulumi:"slacks,optional"`
}

// MonitorAlertState tells someone when a droplet is in trouble. It is recorded only.
type MonitorAlertState struct {
	MonitorAlertArgs
	Uuid string `pulumi:"uuid"`
}

func newMonitorAlerts(cloud *Cloud) infer.InferredResource {
	r := &resource[MonitorAlertArgs, MonitorAlertState]{cloud: cloud, name: "MonitorAlert"}
	r.check = func(in *MonitorAlertArgs) []p.CheckFailure { return checkTags(in.Tags) }
	save := func(state MonitorAlertState) error {
		if err := refuseRecipients(state.Alerts.Emails, state.Alerts.Slacks); err != nil {
			return err
		}
		return cloud.change(func(c *Contents) error {
			for _, id := range state.Entities {
				if _, ok := c.Machines[id]; !ok {
					return refused("entities: droplet %q: %w", id, errNotFound)
				}
			}
			return c.put(r.name, state.Uuid, state)
		})
	}
	r.create = func(_ context.Context, in MonitorAlertArgs) (string, MonitorAlertState, error) {
		state := MonitorAlertState{in, uuid.NewString()}
		return state.Uuid, state, save(state)
	}
	r.update = func(_ context.Context, _ string, _ MonitorAlertState, state *MonitorAlertState) error {
		return save(*state)
	}
	return infer.Resource(r)
}

// refuseRecipients is what the API answers to an alert that would reach nobody.
func refuseRecipients(emails []string, slacks []Slack) error {
	if len(emails)+len(slacks) == 0 {
		return refused("alerts: must have at least one e-mail address or Slack channel")
	}
	var problems []error
	for _, email := range emails {
		if address, err := mail.ParseAddress(email); err != nil || address.Address != email {
			problems = append(problems, refused("alerts: %q is no e-mail address", email))
		}
	}
	return errors.Join(problems...)
}
