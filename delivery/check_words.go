package delivery

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// What the steps of a check say. Each takes facts and gives a step; nothing here goes out or waits.

const (
	// certificateWarning is when a certificate that nobody renewed begins to be a worry: the usual tools renew a month ahead.
	certificateWarning = 14 * 24 * time.Hour
	// slowShare of an endpoint's timeout is close to it: one busy day more and attempts fail.
	slowShare = 1.0 / 3
)

func noWayOut() CheckStep {
	return CheckStep{
		Name: "egress", Result: CheckFail,
		Summary: "the gateway has no way out at the moment: its source addresses or proxies are down",
		Advice:  "nothing is wrong with the endpoint; what is pending is delivered when the gateway's operator has mended this",
	}
}

// resolvedStep tells what the name led to. Of blocked addresses only their number is told.
func resolvedStep(host string, in *egress.Inspection) CheckStep {
	s := CheckStep{Name: "dns", Result: CheckOK, Took: in.ResolveTook}
	if in.ResolveErr != nil {
		s.Result = CheckFail
		v := retry.Classify(retry.Result{Err: in.ResolveErr, Now: time.Now()})
		switch v.Detail {
		case "not_found":
			s.Summary = "the name " + host + " does not exist in DNS"
			s.Advice = "check the spelling of the URL; the name needs an A or AAAA record that the whole internet sees"
		case "timeout":
			s.Summary = "the name servers of " + host + " did not answer in time"
			s.Advice = "check that every name server of the domain answers, from outside your network too"
		default:
			s.Summary = "the name " + host + " could not be resolved"
			s.Advice = "check the domain's name servers"
		}
		return s
	}
	var open []string
	for _, r := range in.Resolved {
		if r.Blocked == nil {
			open = append(open, r.Addr.String())
		}
	}
	blocked := len(in.Resolved) - len(open)
	switch {
	case len(open) == 0:
		s.Result = CheckFail
		s.Summary = host + " leads to no address that deliveries may go to"
		s.Advice = "deliveries go to public addresses only: point the name to one that the whole internet reaches"
		return s
	case blocked > 0:
		s.Result = CheckWarn
		s.Summary = fmt.Sprintf("%s leads to %s; %s more that deliveries may not go to", host, strings.Join(open, ", "), count(blocked, "address", "addresses"))
		s.Advice = "remove private addresses from the public name"
	case host == open[0]:
		s.Summary = "the URL has an address instead of a name"
	default:
		s.Summary = host + " leads to " + strings.Join(open, ", ")
	}
	s.Facts = map[string]string{"addresses": strings.Join(open, " ")}
	return s
}

// connectSteps tells of the connection by each address family, and whether one came up.
func connectSteps(u *url.URL, in *egress.Inspection) (steps []CheckStep, connected bool) {
	for _, r := range in.Reached {
		connected = connected || r.Err == nil
	}
	for _, r := range in.Reached {
		family, other := "IPv6", "IPv4"
		if r.Addr.Addr().Is4() {
			family, other = other, family
		}
		s := CheckStep{Name: "connect_" + strings.ToLower(family), Took: r.Took, Facts: map[string]string{"address": r.Addr.String()}}
		if in.Proxy != "" {
			s.Facts["proxy"] = in.Proxy
		}
		if r.Err == nil {
			s.Result = CheckOK
			s.Summary = fmt.Sprintf("%s accepts connections", r.Addr)
			steps = append(steps, s)
			continue
		}
		s.Result = CheckFail
		s.Summary, s.Advice = unreached(u, r, in.Sources)
		if connected {
			s.Result = CheckWarn
			s.Summary += "; deliveries get through over " + other
			s.Advice = fmt.Sprintf("make %s work or remove the address from DNS: each new connection may lose time on it. Then: %s", family, s.Advice)
		}
		steps = append(steps, s)
	}
	return steps, connected
}

// unreached tells why a connection did not come up.
func unreached(u *url.URL, r egress.Reached, sources []netip.Addr) (summary, advice string) {
	v := retry.Classify(retry.Result{Err: r.Err, Now: time.Now()})
	firewall := "let the gateway's addresses in at the firewall" + listed(sources)
	switch v.Outcome {
	case retry.ConnectionRefused:
		summary = fmt.Sprintf("%s refuses connections", r.Addr)
		advice = fmt.Sprintf("check that the server runs and listens on port %d, and %s", r.Addr.Port(), firewall)
		if u.Port() != "" {
			advice += "; check the port in the URL"
		}
	case retry.Timeout:
		summary = fmt.Sprintf("%s does not answer at all: most likely a firewall drops our packets", r.Addr)
		advice = firewall
	case retry.Unreachable:
		summary = fmt.Sprintf("there is no route to %s", r.Addr)
		advice = "check that the address is right and announced to the internet"
	case retry.AddressBlocked:
		summary = "the address is one that deliveries may not go to"
		advice = "deliveries go to public addresses only"
	case retry.Local:
		summary = fmt.Sprintf("the gateway could not connect to %s for a reason on its own side", r.Addr)
		advice = "nothing is known to be wrong with the endpoint; tell the gateway's operator"
	default:
		summary = fmt.Sprintf("the connection to %s broke off", r.Addr)
		advice = firewall
	}
	return summary, advice
}

// listed names the addresses to let in.
func listed(sources []netip.Addr) string {
	if len(sources) == 0 {
		return " (they are in the published list of addresses)"
	}
	names := make([]string, len(sources))
	for i, a := range sources {
		names[i] = a.String()
	}
	return ": " + strings.Join(names, ", ")
}

// handshakeStep tells what the server's certificate is worth.
func handshakeStep(u *url.URL, h *egress.Handshake, now time.Time) CheckStep {
	s := CheckStep{Name: "tls", Took: h.Took, Facts: certificateFacts(h, now)}
	if h.Err != nil {
		s.Result = CheckFail
		s.Summary, s.Advice = untrusted(u, h, now)
		return s
	}
	leaf := h.Certificates[0]
	left := leaf.NotAfter.Sub(now)
	s.Summary = fmt.Sprintf("%s, certificate of %s is good for %s", tls.VersionName(h.Version), u.Hostname(), days(left))
	// One made for hours is renewed by a machine, in its last third as a rule.
	if s.Result = CheckOK; left < min(certificateWarning, leaf.NotAfter.Sub(leaf.NotBefore)/3) {
		s.Result = CheckWarn
		s.Advice = "renew the certificate before " + leaf.NotAfter.UTC().Format(time.DateOnly) + ": afterwards nothing is delivered"
	}
	return s
}

func certificateFacts(h *egress.Handshake, now time.Time) map[string]string {
	facts := make(map[string]string)
	if h.Version != 0 {
		facts["version"] = tls.VersionName(h.Version)
	}
	if len(h.Certificates) == 0 {
		return facts
	}
	leaf := h.Certificates[0]
	maps.Copy(facts, map[string]string{
		"names":        names(leaf),
		"issuer":       leaf.Issuer.String(),
		"not_after":    leaf.NotAfter.UTC().Format(time.RFC3339),
		"days_left":    strconv.Itoa(int(leaf.NotAfter.Sub(now).Hours() / 24)),
		"chain_length": strconv.Itoa(len(h.Certificates)),
	})
	return facts
}

// maxNames bounds the names of a certificate that are shown: shared hosts have hundreds.
const maxNames = 10

func names(c *x509.Certificate) string {
	all := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) > maxNames {
		all = append(all[:maxNames:maxNames], "…")
	}
	return strings.Join(all, " ")
}

// untrusted tells why a handshake is not to be relied on.
func untrusted(u *url.URL, h *egress.Handshake, now time.Time) (summary, advice string) {
	v := retry.Classify(retry.Result{Err: h.Err, Now: now})
	host := u.Hostname()
	var leaf *x509.Certificate
	if len(h.Certificates) > 0 {
		leaf = h.Certificates[0]
	}
	switch {
	case v.Detail == "not_tls":
		return "the server speaks plain HTTP on this port, not HTTPS",
			"serve HTTPS there, or put the port that does into the URL; deliveries go over HTTPS only"
	case v.Detail == "certificate_expired" && leaf != nil:
		return "the certificate expired on " + leaf.NotAfter.UTC().Format(time.DateOnly), "renew the certificate"
	case v.Detail == "certificate_not_yet_valid" && leaf != nil:
		return "the certificate is valid only from " + leaf.NotBefore.UTC().Format(time.RFC3339), "check the server's certificate and clock"
	case v.Detail == "hostname_mismatch" && leaf != nil:
		return fmt.Sprintf("the certificate is for %s, not for %s", cut(names(leaf)), host),
			"use the name of the certificate in the URL, or get a certificate for " + host
	case v.Detail == "unknown_authority" && leaf != nil && len(h.Certificates) == 1 && leaf.Issuer.String() != leaf.Subject.String():
		return "the server shows its certificate without the intermediate certificates that lead to an authority",
			"configure the full chain at the server (fullchain.pem instead of cert.pem); browsers hide this mistake"
	case v.Detail == "unknown_authority":
		return "the certificate comes from an authority that is not trusted",
			"use a certificate of a public authority; for a private one, the gateway's operator can trust it for this endpoint"
	case v.Outcome == retry.Timeout:
		return "the server accepts connections and then says nothing: no TLS handshake in ten seconds",
			"check the server behind the load balancer, and that this port is the HTTPS one"
	}
	return "the TLS handshake failed", "the server must speak TLS 1.2 or newer, and ask for a client certificate only if one was agreed on"
}

// cut keeps what a stranger's certificate says to a readable length.
func cut(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// answerStep tells what the signed test event came to.
func answerStep(ep *Endpoint, a *Attempt) CheckStep {
	s := CheckStep{Name: "test_event", Result: CheckFail, Took: a.Duration, Facts: map[string]string{"outcome": a.Outcome}}
	if a.Status != 0 {
		s.Facts["status"] = strconv.Itoa(a.Status)
	}
	took := max(a.Duration.Round(time.Millisecond), time.Millisecond)
	switch {
	case retry.Outcome(a.Outcome) == retry.Delivered && a.Duration > time.Duration(slowShare*float64(ep.Timeout)):
		s.Result = CheckWarn
		s.Summary = fmt.Sprintf("a signed test event was answered %d, but only after %s (limit %s)", a.Status, took, ep.Timeout)
		s.Advice = "answer 2xx as soon as the event is stored, and process it afterwards"
	case retry.Outcome(a.Outcome) == retry.Delivered:
		s.Result = CheckOK
		s.Summary = fmt.Sprintf("a signed test event was answered %d in %s (limit %s)", a.Status, took, ep.Timeout)
	case a.Status != 0:
		s.Summary = fmt.Sprintf("a signed test event was answered %d %s", a.Status, http.StatusText(a.Status))
		s.Advice = statusAdvice(ep, a)
	case retry.Outcome(a.Outcome) == retry.Timeout:
		s.Summary = fmt.Sprintf("a signed test event was not answered within %s", ep.Timeout)
		s.Advice = "answer 2xx as soon as the event is stored, and process it afterwards"
	case retry.Outcome(a.Outcome) == retry.TransformError:
		s.Summary = "the test event could not be transformed: " + cut(a.Detail)
		s.Advice = "correct the transform; deliveries that it fails for wait until it has changed"
	case retry.Outcome(a.Outcome) == retry.Local:
		s.Summary = "the test event could not be sent for a reason on the gateway's side"
		s.Advice = "nothing is known to be wrong with the endpoint; tell the gateway's operator"
	default:
		s.Summary = "a signed test event failed: " + strings.ReplaceAll(a.Outcome, "_", " ")
		s.Advice = "look at the server's own log for this moment"
	}
	return s
}

// statusAdvice is what usually is behind a status.
func statusAdvice(ep *Endpoint, a *Attempt) string {
	switch {
	case a.Status >= 300 && a.Status < 400:
		if to := location(ep.URL, a.location); to != "" {
			return "redirects are not followed: set the URL to " + cut(to)
		}
		return "redirects are not followed: set the URL to where it redirects"
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		return "check that the receiver has this endpoint's signing secret and verifies the raw body as it came; something before it (a login, a firewall) may also refuse us"
	case a.Status == http.StatusNotFound:
		return "check the path of the URL"
	case a.Status == http.StatusMethodNotAllowed:
		return "the receiver must take POST at this path"
	case a.Status == http.StatusGone:
		return "410 means that no more is wanted: a delivery answered so disables the endpoint"
	case a.Status == http.StatusRequestEntityTooLarge || a.Status == http.StatusUnsupportedMediaType || a.Status == http.StatusBadRequest:
		return "the receiver refuses the request itself: it must take a JSON body as documented, and ignore members that it does not know"
	case a.Status == http.StatusTooManyRequests:
		return "the receiver limits our rate: set a rate_limit for the endpoint that it can bear"
	case a.Status >= 500:
		return "the receiver failed: look at its own log for this moment"
	}
	return "answer any 2xx status to accept an event"
}

// forgedStep tells whether the receiver verifies signatures.
func forgedStep(got said) CheckStep {
	s := CheckStep{Name: "wrong_signature", Result: CheckOK, Took: got.took, Facts: map[string]string{"status": strconv.Itoa(got.status)}}
	switch {
	case got.err != nil || got.status == 0:
		s.Result, s.Facts = CheckWarn, nil
		s.Summary = "a wrongly signed event was not answered"
		s.Advice = "answer 401 to a wrong signature"
	case got.status >= 200 && got.status < 300:
		s.Result = CheckWarn
		s.Summary = fmt.Sprintf("a wrongly signed event was answered %d: the receiver does not verify signatures, or does so later", got.status)
		s.Advice = "verify the signature before trusting an event: anyone who knows the URL could send one"
	case got.status >= 500:
		s.Result = CheckWarn
		s.Summary = fmt.Sprintf("a wrongly signed event was answered %d: it is refused, but looks like a failure", got.status)
		s.Advice = "answer 401 to a wrong signature"
	default:
		s.Summary = fmt.Sprintf("a wrongly signed event was refused with %d", got.status)
	}
	return s
}

// repeatedStep tells whether the receiver bears an event it knows.
func repeatedStep(got said) CheckStep {
	s := CheckStep{Name: "repeated_event", Result: CheckOK, Took: got.took, Facts: map[string]string{"status": strconv.Itoa(got.status)}}
	switch {
	case got.err != nil || got.status == 0:
		s.Result, s.Facts = CheckWarn, nil
		s.Summary = "the same event sent once more was not answered"
		s.Advice = "answer 2xx to an event that was received before: events may arrive twice"
	case got.status >= 200 && got.status < 300:
		s.Summary = fmt.Sprintf("the same event sent once more was answered %d, which is right; whether it was processed twice only the receiver knows", got.status)
	default:
		s.Result = CheckWarn
		s.Summary = fmt.Sprintf("the same event sent once more was answered %d", got.status)
		s.Advice = "answer 2xx to an event that was received before, and skip it: any other answer makes us send it again"
	}
	return s
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Hour).String()
	}
	return count(int(d.Hours()/24), "day", "days")
}
