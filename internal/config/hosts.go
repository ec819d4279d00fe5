package config

import (
	"net/netip"
	"strings"
)

// monitorHosts reads MONITOR_HOSTS.
func (p *parser) monitorHosts() {
	for entry := range strings.SplitSeq(p.raw.MonitorHosts, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		host, ok := HostName(entry)
		if !ok {
			p.problem("MONITOR_HOSTS", "has "+quote(entry)+", which is no name of a host", "write names or addresses with commas between them, without scheme, port and *, as in ci.example.com,192.0.2.7")
			continue
		}
		p.config.MonitorHosts = append(p.config.MonitorHosts, host)
	}
}

// HostName reads the name or address of a host, as it stands before the port of an
// address: lower case, without the brackets of IPv6 and without a last dot.
func HostName(text string) (host string, ok bool) {
	host = strings.TrimSuffix(strings.ToLower(text), ".")
	inner, bracketed := strings.CutPrefix(host, "[")
	if ip, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err == nil && bracketed == strings.HasSuffix(host, "]") {
		return ip.Unmap().WithZone("").String(), true
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool { return !isWord(r) }) {
			return "", false
		}
	}
	return host, len(host) <= 253
}
