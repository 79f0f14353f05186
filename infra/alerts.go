package infra

import (
	do "github.com/pulumi/pulumi-digitalocean/sdk/v4/go/digitalocean"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Alerts is who is told when the site, the server or the database is in trouble.
type Alerts struct {
	pulumi.ResourceState
}

// AlertsArgs are the settings of Alerts.
type AlertsArgs struct {
	Config  *Config               // required
	Droplet pulumi.IDOutput       // required
	Cluster pulumi.StringPtrInput // optional: the managed database
}

// measure is one value that is watched: above the limit for ten minutes is worth a message.
type measure struct {
	child, kind, text string
	percent           float64
}

// Types: https://docs.digitalocean.com/reference/api/digitalocean/#tag/Monitoring/operation/monitoring_create_alertPolicy
var (
	dropletMeasures = []measure{
		{"-cpu", "v1/insights/droplet/cpu", "CPU", 90},
		{"-memory", "v1/insights/droplet/memory_utilization_percent", "memory", 90},
		{"-disk", "v1/insights/droplet/disk_utilization_percent", "a disk", 80},
	}
	databaseMeasures = []measure{
		{"-database-cpu", "v1/dbaas/alerts/cpu_alerts", "CPU of the database", 90},
		{"-database-memory", "v1/dbaas/alerts/memory_utilization_alerts", "memory of the database", 95},
		{"-database-disk", "v1/dbaas/alerts/disk_utilization_alerts", "the disk of the database", 80},
	}
)

// NewAlerts registers the check of the public address and the alerts.
func NewAlerts(ctx *pulumi.Context, name string, args *AlertsArgs, opts ...pulumi.ResourceOption) (*Alerts, error) {
	a := &Alerts{}
	if err := ctx.RegisterComponentResource("townsquare:infra:Alerts", name, a, opts...); err != nil {
		return nil, err
	}
	c, parent := args.Config, pulumi.Parent(a)
	emails := pulumi.ToStringArray(c.AlertEmails)

	check, err := do.NewUptimeCheck(ctx, name+"-site", &do.UptimeCheckArgs{
		Name: pulumi.String(name + " site"),
		// The plain ping is 200 even when the database is down; this one is not.
		Target:  pulumi.String(c.URL() + "/api/v4/system/ping?get_server_status=true"),
		Type:    pulumi.String("https"),
		Regions: pulumi.ToStringArray([]string{"eu_west", "us_east"}),
		Enabled: pulumi.Bool(true),
	}, parent)
	if err != nil {
		return nil, err
	}
	for _, u := range []struct {
		child string
		args  do.UptimeAlertArgs
	}{
		{"-down", do.UptimeAlertArgs{
			// Its threshold and comparison mean nothing, and DigitalOcean refuses an empty comparison.
			Type: pulumi.String("down_global"), Threshold: pulumi.Int(1), Comparison: pulumi.String("less_than"), Period: pulumi.String("2m"),
		}},
		{"-certificate", do.UptimeAlertArgs{
			// Days. Certificates are renewed when a third of their time is left: 30 days of 90.
			Type: pulumi.String("ssl_expiry"), Threshold: pulumi.Int(14), Comparison: pulumi.String("less_than"), Period: pulumi.String("1h"),
		}},
	} {
		u.args.Name = pulumi.String(name + u.child)
		u.args.CheckId = check.ID().ToStringOutput()
		u.args.Notifications = do.UptimeAlertNotificationArray{do.UptimeAlertNotificationArgs{Emails: emails}}
		if _, err := do.NewUptimeAlert(ctx, name+u.child, &u.args, parent); err != nil {
			return nil, err
		}
	}

	monitor := func(m measure, entity pulumi.StringInput) error {
		_, err := do.NewMonitorAlert(ctx, name+m.child, &do.MonitorAlertArgs{
			Description: pulumi.Sprintf("%s: %s above %v %% for ten minutes", name, m.text, m.percent),
			Type:        pulumi.String(m.kind),
			Compare:     pulumi.String("GreaterThan"),
			Value:       pulumi.Float64(m.percent),
			Window:      pulumi.String("10m"),
			Enabled:     pulumi.Bool(true),
			Entities:    pulumi.StringArray{entity},
			Alerts:      do.MonitorAlertAlertsArgs{Emails: emails},
		}, parent)
		return err
	}
	for _, m := range dropletMeasures {
		if err := monitor(m, args.Droplet.ToStringOutput()); err != nil {
			return nil, err
		}
	}
	if args.Cluster != nil {
		for _, m := range databaseMeasures {
			if err := monitor(m, args.Cluster.ToStringPtrOutput().Elem()); err != nil {
				return nil, err
			}
		}
	}
	return a, ctx.RegisterResourceOutputs(a, pulumi.Map{"check": check.ID()})
}
