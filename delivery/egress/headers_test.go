package egress

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestCheckHeader(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, header, value, want string }{ // want "": accepted
		{"a token of the customer's", "Authorization", "Bearer abc", ""},
		{"a name of the customer's", "X-Tenant", "acme", ""},
		{"an empty value", "X-Tenant", "", ""},
		{"a tab within", "X-Tenant", "a\tb", ""},
		{"a name that only begins like ours", "X-AtoShipping", "1", ""},
		{"Contents is not Content-", "Contents", "1", ""},

		{"no name", "", "x", "no name"},
		{"a name with a space", "X Tenant", "x", "not allowed"},
		{"a name with a colon", "X:", "x", "not allowed"},
		{"a name with a line break", "X\r\nHost", "x", "not allowed"},
		{"a pseudo-header", ":authority", "x", "not allowed"},
		{"a long name", strings.Repeat("x", MaxHeaderNameBytes+1), "x", "129 bytes"},
		{"a long value", "X-Tenant", strings.Repeat("s3cr3t", MaxHeaderValueBytes), "at most 4096"},
		{"a carriage return", "X-Tenant", "s3cr3t\rb", "line break"},
		{"a line feed", "X-Tenant", "s3cr3t\nHost: internal", "line break"},
		{"a NUL", "X-Tenant", "s3cr3t\x00", "line break"},
		{"both, before a header of their own", "X-Tenant", "s3cr3t\r\nX-AtoShip-Signature: sha256=0", "line break"},
		{"a folded line, which HTTP has given up", "X-Tenant", "s3cr3t\r\n b", "line break"},
		{"a delete character", "X-Tenant", "s3cr3t\x7f", "line break"},
		{"a name with a NUL", "X\x00", "x", "not allowed"},
		{"a name that is not ASCII", "X-Größe", "x", "not allowed"},
		{"a name with a Kelvin sign, a k to some", "\u212aeep-Alive", "x", "not allowed"},

		// hop-by-hop: "Connection: X-AtoShip-Signature" would strip the signature on the way
		{"connection", "Connection", "X-AtoShip-Signature", "one connection"},
		{"keep-alive", "Keep-Alive", "x", "one connection"},
		{"proxy-authorization", "Proxy-Authorization", "x", "one connection"},
		{"proxy-connection", "Proxy-Connection", "x", "one connection"},
		{"te", "TE", "trailers", "one connection"},
		{"trailer", "Trailer", "x", "one connection"},
		{"transfer-encoding", "Transfer-Encoding", "chunked", "one connection"},
		{"upgrade", "Upgrade", "h2c", "one connection"},
		{"http2-settings, which goes with it", "HTTP2-Settings", "x", "one connection"},
		{"proxy-authenticate", "Proxy-Authenticate", "x", "one connection"},
		{"connection in capitals", "CONNECTION", "close", "one connection"},
		// what the gateway sets: a request for another site, or a body read differently
		{"host", "Host", "internal", "set by the gateway"},
		{"content-type", "Content-Type", "text/html", "set by the gateway"},
		{"content-length", "content-length", "0", "set by the gateway"},
		{"content-encoding", "CONTENT-ENCODING", "gzip", "set by the gateway"},
		{"expect", "Expect", "100-continue", "set by the gateway"},
		{"accept-encoding", "Accept-Encoding", "gzip", "set by the gateway"},
		{"user-agent", "User-Agent", "x", "set by the gateway"},
		{"cdn-loop, which ends loops", "CDN-Loop", "x", "set by the gateway"},
		{"our signature", "X-AtoShip-Signature", "x", "set by the gateway"},
		{"our event id in another case", "x-atoship-event-id", "x", "set by the gateway"},
		{"any other name under our prefix", "X-AtoShip-New", "x", "set by the gateway"},
		{"content-digest, which RFC 9421 signs", "Content-Digest", "x", "set by the gateway"},
		{"content-md5", "Content-MD5", "x", "set by the gateway"},
		// with underscores, which CGI and WSGI read as hyphens
		{"our signature with underscores", "X_AtoShip_Signature", "x", "set by the gateway"},
		{"content-type with an underscore", "Content_Type", "x", "set by the gateway"},
		{"transfer-encoding with an underscore", "Transfer_Encoding", "x", "one connection"},
		{"webhook-id with an underscore", "webhook_id", "x", "signatures"},
		// net/http would repeat the POST by itself
		{"idempotency-key", "Idempotency-Key", "x", "unrecorded"},
		{"x-idempotency-key", "X-Idempotency-Key", "x", "unrecorded"},
		// signatures of any scheme
		{"webhook-signature", "Webhook-Signature", "v1,x", "signatures"},
		{"webhook-id", "webhook-id", "x", "signatures"},
		{"signature", "Signature", "x", "signatures"},
		{"signature-input", "Signature-Input", "x", "signatures"},
		{"github's", "X-Hub-Signature-256", "x", "signatures"},
		{"stripe's", "Stripe-Signature", "x", "signatures"},
		{"shopify's", "X-Shopify-Hmac-Sha256", "x", "signatures"},
		{"ce-id", "ce-id", "x", "CloudEvents"},
		// traces
		{"traceparent", "traceparent", "x", "trace_context"},
		{"tracestate", "tracestate", "x", "trace_context"},
		// what metadata services and cloud load balancers act on
		{"aws token", "X-Aws-Ec2-Metadata-Token", "x", "infrastructure"},
		{"aws date", "X-Amz-Date", "x", "infrastructure"},
		{"google metadata", "Metadata-Flavor", "Google", "infrastructure"},
		{"google metadata, old", "X-Google-Metadata-Request", "True", "infrastructure"},
		{"azure metadata", "Metadata", "true", "infrastructure"},
		{"goog", "X-Goog-Iap-Jwt-Assertion", "x", "infrastructure"},
		{"gfe", "X-Gfe-Response", "x", "infrastructure"},
		{"azure", "X-Azure-ClientIP", "x", "infrastructure"},
		{"front door", "X-FD-HealthProbe", "1", "infrastructure"},
		{"aws load balancer", "X-Amzn-Trace-Id", "x", "infrastructure"},
		{"alibaba's metadata token", "X-Aliyun-Ecs-Metadata-Token", "x", "infrastructure"},
		{"linode's metadata token", "Metadata-Token", "x", "infrastructure"},
		{"the request for one", "Metadata-Token-Expiry-Seconds", "60", "infrastructure"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := CheckHeader(c.header, c.value, "X-AtoShip")
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

func TestCheckHeaders(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	for i := range MaxHeaders {
		h.Set("X-"+strconv.Itoa(i), "x")
	}
	if err := CheckHeaders(h, "X-AtoShip"); err != nil {
		t.Errorf("%d headers: %v", MaxHeaders, err)
	}
	h.Add("X-1", "again")
	if err := CheckHeaders(h, "X-AtoShip"); err == nil {
		t.Errorf("%d headers, one of them twice, were accepted", MaxHeaders+1)
	}
	if err := CheckHeaders(http.Header{"X-A": {"ok", "b\nad"}}, ""); err == nil {
		t.Error("a bad second value was accepted")
	}
	large := http.Header{"X-A": {strings.Repeat("a", MaxHeaderValueBytes)}, "X-B": {strings.Repeat("b", MaxHeaderBytes-MaxHeaderValueBytes-6)}}
	if err := CheckHeaders(large, ""); err != nil {
		t.Errorf("%d bytes: %v", MaxHeaderBytes, err)
	}
	large.Add("X-C", "")
	if err := CheckHeaders(large, ""); err == nil || !strings.Contains(err.Error(), "altogether") {
		t.Errorf("%d bytes: error %v", MaxHeaderBytes+3, err)
	}
	for range 20 { // whatever the order of the map
		err := CheckHeaders(http.Header{"Te": {"x"}, "Host": {"x"}, "Upgrade": {"x"}}, "")
		if err == nil || !strings.Contains(err.Error(), "Host") {
			t.Fatalf("error %v, want the first name's", err)
		}
	}
}

// Whatever is accepted adds one line to the request that is sent, under its
// canonical name, and changes no other line.
func FuzzHeaderOnTheWire(f *testing.F) {
	for name, value := range map[string]string{
		"X-Tenant": "acme", "authorization": "Bearer x", "Connection": "X-AtoShip-Signature", "X": "a\r\nHost: b",
		"host": "b", "Cookie": " a=b ", "Trailer": "X", "Date": "now", "content-length": "1", "x_y": "\u00e9", "Referer": "",
	} {
		f.Add(name, value)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		h := http.Header{}
		h.Add(name, value)
		if CheckHeaders(h, "X-AtoShip") != nil {
			return
		}
		bare, sent := onTheWire(t, nil), onTheWire(t, h)
		line := http.CanonicalHeaderKey(name) + ": " + strings.Trim(value, " \t")
		i := slices.Index(sent, line)
		if i < 0 || !slices.Equal(slices.Delete(sent, i, i+1), bare) {
			t.Errorf("%q: %q was sent as %q, without it %q", name, value, sent, bare)
		}
	})
}

// onTheWire returns the lines of a request as a receiver's socket gets them.
func onTheWire(t *testing.T, extra http.Header) []string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://hooks.example.com/in", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(req.Header, extra)
	maps.Copy(req.Header, http.Header{"Content-Type": {"application/json"}, "User-Agent": {"a/1"}, "X-Atoship-Signature": {"sha256=00"}})
	var b bytes.Buffer
	if err := req.Write(&b); err != nil {
		t.Fatal(err)
	}
	return strings.Split(b.String(), "\r\n")
}
