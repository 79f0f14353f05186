package infra

import (
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

var days = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

var (
	resourceName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	hostLabel    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	topLevel     = regexp.MustCompile(`^([a-z]{2,63}|xn--[a-z0-9-]{1,59})$`)
	wholeHour    = regexp.MustCompile(`^([01][0-9]|2[0-3]):00$`)
	minor        = regexp.MustCompile(`^[1-9][0-9]?\.[0-9]{1,2}$`)
	bucket       = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)
	fingerprint  = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)
)

// Volumes have the strictest rule of all resources named after it: lower case, a letter first,
// 64 characters with what is appended.
func checkResourceName(v string) (string, string) {
	if len(v) > 40 || !resourceName.MatchString(v) {
		return "cannot name a resource", "up to 40 lower-case letters, digits and single dashes, a letter first"
	}
	return "", ""
}

func checkDomain(v string) (string, string) {
	const allowed = "a domain name in lower case, such as example.org (other scripts in their xn-- form)"
	labels := strings.Split(v, ".")
	if len(labels) < 2 || len(v) > 200 || !topLevel.MatchString(labels[len(labels)-1]) {
		return "is not a domain name", allowed
	}
	for _, label := range labels {
		if !hostLabel.MatchString(label) {
			return "is not a domain name", allowed
		}
	}
	return "", ""
}

func checkHost(v string) (string, string) {
	if v == "@" {
		return "", ""
	}
	for _, label := range strings.Split(v, ".") {
		if !hostLabel.MatchString(label) {
			return "is not a host name", "lower-case letters, digits and dashes, such as chat; or @ for the domain itself"
		}
	}
	return "", ""
}

// DigitalOcean: https://docs.digitalocean.com/products/networking/vpc/details/limits/
func checkVPCRange(v string) (string, string) {
	const allowed = "a private IPv4 range from /16 to /28, such as 10.20.0.0/24"
	p, err := netip.ParsePrefix(v)
	switch {
	case err != nil:
		return "is not an address range", allowed
	case !p.Addr().Is4() || !p.Addr().IsPrivate() || p.Bits() < 16 || p.Bits() > 28:
		return "cannot be a VPC's range", allowed
	case p != p.Masked():
		return fmt.Sprintf("is not the first address of its range (%s)", p.Masked()), allowed
	}
	return "", ""
}

func checkCIDR(v string) (string, string) {
	const allowed = "an address range, such as 203.0.113.7/32 or 2001:db8:7::/48"
	p, err := netip.ParsePrefix(v)
	if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
		return "is an IPv4 range in the form of IPv6", netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked().String()
	}
	if err != nil {
		if a, aerr := netip.ParseAddr(v); aerr == nil {
			return "has no length", fmt.Sprintf("%s/%d for this address alone", a, a.BitLen())
		}
		return "is not an address range", allowed
	}
	if p != p.Masked() {
		return fmt.Sprintf("is not the first address of its range (%s)", p.Masked()), allowed
	}
	return "", ""
}

func checkHour(v string) (string, string) {
	if !wholeHour.MatchString(v) {
		return "is not an hour", "a whole hour in UTC, 00:00 to 23:00"
	}
	return "", ""
}

func checkBucket(v string) (string, string) {
	if !bucket.MatchString(v) {
		return "cannot name a bucket", "3 to 63 lower-case letters, digits and dashes"
	}
	return "", ""
}

func checkEmail(v string) (string, string) {
	const allowed = "an e-mail address, such as ops@example.org"
	a, err := mail.ParseAddress(v)
	if err != nil || a.Address != v {
		return "is not an e-mail address", allowed
	}
	if wrong, _ := checkDomain(strings.ToLower(v[strings.LastIndex(v, "@")+1:])); wrong != "" {
		return "is not an e-mail address", allowed
	}
	return "", ""
}

// checkURL admits only what may stand in a Caddyfile or a shell file without quoting.
func checkURL(v string) (string, string) {
	const allowed = "an address that begins with https://"
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" ||
		strings.ContainsAny(v, " \t\r\n\"'`\\{}$<>") {
		return "is not such an address", allowed
	}
	return "", ""
}

func checkTrack(v string) (string, string) {
	if v != "esr" && v != "latest" && !minor.MatchString(v) {
		return "is not a track", "esr, latest, or a minor version such as 11.7"
	}
	return "", ""
}
