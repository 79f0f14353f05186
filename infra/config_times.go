package infra

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // an operator's machine need not have the zones
)

// The form of a window: parts of days and times with ";" between them, and a zone at the end.
var (
	windowDays  = `(?:daily|DAY(?:-DAY)?(?:,DAY(?:-DAY)?)*)`
	windowTimes = `CLOCK-(?:CLOCK|24:00)(?:,CLOCK-(?:CLOCK|24:00))*`
	windowForms = strings.NewReplacer("DAY", `(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)`, "CLOCK", `(?:[01][0-9]|2[0-3]):[0-5][0-9]`)
	windowPart  = windowForms.Replace(windowDays + " " + windowTimes)
	window      = regexp.MustCompile(`^` + windowPart + `(?:; ?` + windowPart + `)*(?: ([A-Z][A-Za-z0-9_+/-]*))?$`)
	windowTime  = regexp.MustCompile(`([0-9:]{5})-([0-9:]{5})`)
)

// checkWindow refuses what upgrade would refuse on the server.
func checkWindow(v string) (string, string) {
	const allowed = `days and times, with a zone or else UTC, such as "Sun 03:00-05:00 Europe/Berlin" or "Mon-Fri 23:00-02:00; Sat,Sun 01:00-06:00"`
	m := window.FindStringSubmatch(v)
	if m == nil {
		return "is not a time window", allowed
	}
	for _, times := range windowTime.FindAllStringSubmatch(v, -1) {
		if times[1] == times[2] && times[1] != "00:00" {
			return "is empty", allowed
		}
	}
	if _, err := time.LoadLocation(m[1]); err != nil || m[1] == "Local" {
		return fmt.Sprintf("has a time zone that does not exist, %q", m[1]), allowed
	}
	return "", ""
}

func checkPeriod(v string) (string, string) {
	const allowed = "days such as 2026-12-20..2027-01-06, or one such as 2026-12-24"
	from, to, isRange := strings.Cut(v, "..")
	if !isRange {
		to = from
	}
	first, err1 := time.Parse(time.DateOnly, from)
	last, err2 := time.Parse(time.DateOnly, to)
	switch {
	case err1 != nil || err2 != nil:
		return "is not a day, or a range of days", allowed
	case last.Before(first):
		return "ends before it begins", allowed
	}
	return "", ""
}

func checkSecurityWithin(v string) (string, string) {
	if d, err := time.ParseDuration(v); err != nil || d < time.Hour || d > 90*24*time.Hour {
		return "is not such a time", "1h to 2160h, such as 72h"
	}
	return "", ""
}

// notify reads whom the server tells what it found and did. It is handed on as it is.
func (r *reader) notify(key string) string {
	const allowed = "mattermost and webhook (addresses with https), email (a list), announce, late, security_late (such as 10m), heartbeat (check, backup: addresses; fail: such as /fail)"
	const command = "pulumi config set --secret --path townsquare:notify.mattermost"
	v, ok := r.lookup(key)
	if !ok {
		return ""
	}
	if !r.secret(full(key)) {
		r.add(key, "", "is in the stack's file in clear: who knows a webhook's address can write there", "a secret", command)
		return ""
	}
	var n struct {
		Mattermost, Webhook string
		Email               []string
		Announce, Late      string
		SecurityLate        string `json:"security_late"`
		Heartbeat           struct{ Check, Backup, Fail string }
	}
	decoder := json.NewDecoder(strings.NewReader(v))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&n); err != nil { // the value is a secret, and the error may show it
		r.add(key, "", "cannot be read", allowed, command)
		return ""
	}
	for at, address := range map[string]string{"mattermost": n.Mattermost, "webhook": n.Webhook, "heartbeat.check": n.Heartbeat.Check, "heartbeat.backup": n.Heartbeat.Backup} {
		if address != "" && !postable(address) {
			r.add(key+"."+at, "", "is an address that cannot be used", "one that begins with https://, or http://127.0.0.1 on the server itself",
				strings.Replace(command, "notify.mattermost", "notify."+at, 1))
		}
	}
	if n.Heartbeat.Fail != "" && !failSuffix.MatchString(n.Heartbeat.Fail) {
		r.add(key+".heartbeat.fail", n.Heartbeat.Fail, "cannot be appended to an address", "such as /fail",
			strings.Replace(command, "notify.mattermost", "notify.heartbeat.fail", 1)+" /fail")
	}
	for _, to := range n.Email {
		if wrong, allowed := checkEmail(to); wrong != "" {
			r.add(key+".email", to, wrong, allowed, "pulumi config set --secret --path 'townsquare:notify.email[0]' ops@example.org")
		}
	}
	for at, d := range map[string]struct {
		text         string
		lowest, most time.Duration
	}{"announce": {n.Announce, 0, time.Hour}, "late": {n.Late, 24 * time.Hour, 1 << 62}, "security_late": {n.SecurityLate, 24 * time.Hour, 1 << 62}} {
		if got, err := time.ParseDuration(d.text); d.text != "" && (err != nil || got < d.lowest || got > d.most) {
			r.add(key+"."+at, d.text, "is not such a time", "announce: up to 1h; late and security_late: 24h and more",
				"pulumi config rm --path townsquare:notify."+at)
		}
	}
	return v
}

var failSuffix = regexp.MustCompile(`^(/[A-Za-z0-9._-]+){1,4}$`)

// postable is what a server may send messages to: plain HTTP within itself only.
func postable(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return false
	}
	ip, _ := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip.IsLoopback())
}
