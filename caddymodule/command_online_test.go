package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// told is what a gateway was asked.
type told struct {
	method, path, query, body, token string
}

// cannedGateway answers each "METHOD /path" with a text, and keeps what it was asked. Texts that begin with a number have it as
// their status.
func cannedGateway(t *testing.T, answers map[string]string) (address string, asked *[]told) {
	t.Helper()
	asked = &[]told{}
	var mu sync.Mutex // commands may run beside each other
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		*asked = append(*asked, told{r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header.Get("Authorization")})
		mu.Unlock()
		answer, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			answer = `404 {"status":404,"detail":"there is no such thing"}`
		}
		if status, rest, ok := strings.Cut(answer, " "); ok && len(status) == 3 && status[0] >= '2' && status[0] <= '5' {
			if status == "429" {
				w.Header().Set("Retry-After", "7")
			}
			w.WriteHeader(map[string]int{"400": 400, "404": 404, "409": 409, "401": 401, "429": 429}[status])
			answer = rest
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

const (
	cannedEndpoint = `{"id":"orders","source":"config","state":"active","url":"https://example.com/\u001b[2J","backups":[],"breaker":{"state":"open"},` +
		`"hold":{"reason":"breaker_open","until":"2024-01-15T10:30:00Z"},"concurrency":{"limit":16,"now":2,"in_flight":1}}`
	cannedDelivery = `{"id":"dlv_1","endpoint":"orders","backups":["dr"],"route":"labels","state":"exhausted","reason":"schedule","target":"orders","attempts_count":1,` +
		`"event":{"id":"evt_1","type":"label.created","accepted":"2024-01-15T10:30:00Z"},"attempts":[{"n":1,"endpoint":"orders","started":"2024-01-15T10:30:00Z",` +
		`"duration_ms":12,"status":503,"outcome":"unavailable","timing":{"dns_ms":1.5,"first_byte_ms":0.25},` +
		`"request":{"method":"POST","url":"https://example.com/hooks","headers":{"User-Agent":["AtoShip"]}},` +
		`"response":{"headers":{"Server":["nginx\u001b[2J"]},"headers_truncated":true,"excerpt":"busy"}}],"transitions":[{"kind":"attempted","attempt":1,"target":"orders"}]}`
	cannedReplay = `{"id":"rep_1","status":"done","endpoint":"orders","state":"exhausted","matched":3,"replayed":3}`
)

func TestOnlineCommandsShowWhatTheGatewaySays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args    []string
		answers map[string]string
		says    []string // in what is printed, or in the error
		fails   bool
		asks    told // the last request, as far as set
	}{
		"endpoints list": {
			[]string{"endpoints", "list"},
			map[string]string{"GET /endpoints": `{"items":[` + cannedEndpoint + `],"next":""}`},
			[]string{"ENDPOINT", "orders", "breaker_open until", "·[2J"},
			false,
			told{},
		},
		"endpoints check that fails": {
			[]string{"endpoints", "check", "orders", "--event", "label.created"},
			map[string]string{"POST /endpoints/orders/check": `{"endpoint":"orders","result":"fail","steps":[{"name":"dns","result":"ok","summary":"found"},{"name":"tls","result":"fail","summary":"expired","advice":"renew"}]}`},
			[]string{"✓ dns", "✗ tls", "next: renew", "deliveries do not arrive at orders"},
			true,
			told{method: "POST", body: `{"event":"label.created"}`},
		},
		"endpoints test that fails": {
			[]string{"endpoints", "test", "orders", "--data", `{"a":1}`},
			map[string]string{"POST /endpoints/orders/test": cannedDelivery},
			[]string{"503 unavailable", "busy", "did not accept"},
			true,
			told{body: `{"data":{"a":1}}`},
		},
		"endpoints add": {
			[]string{"endpoints", "add", "https://example.com/in", "--events", "label.*,order.imported", "--set", `{"timeout":"10s"}`},
			map[string]string{"POST /endpoints": `{"id":"ep_1","secrets":[{"value":"whsec_shown"}]}`},
			[]string{"ep_1", "whsec_shown"},
			false,
			told{body: `{"events":["label.*","order.imported"],"timeout":"10s","url":"https://example.com/in"}`},
		},
		"endpoints delete with something pending": {
			[]string{"endpoints", "delete", "ep_1"},
			map[string]string{"DELETE /endpoints/ep_1": `409 {"status":409,"detail":"7 are pending","pending":7}`},
			[]string{"7 deliveries wait", "--yes"},
			true,
			told{},
		},
		"endpoints delete that is confirmed": {
			[]string{"endpoints", "delete", "ep_1", "--yes"},
			map[string]string{"DELETE /endpoints/ep_1": `{"id":"ep_1","cancelled":0}`},
			[]string{"ep_1 is deleted"},
			false,
			told{},
		},
		"deliveries list": {
			[]string{"deliveries", "list", "--state", "exhausted", "--endpoint", "orders"},
			map[string]string{"GET /deliveries": `{"items":[` + cannedDelivery + `],"next":""}`},
			[]string{"dlv_1", "label.created", "exhausted"},
			false,
			told{query: "endpoint=orders&state=exhausted"},
		},
		"deliveries show": {
			[]string{"deliveries", "show", "dlv_1"},
			map[string]string{"GET /deliveries/dlv_1": cannedDelivery},
			[]string{"attempt 1 at orders: 503 unavailable", "dns 1.5ms, first byte 250µs", "busy"},
			false,
			told{},
		},
		"deliveries show with headers": {
			[]string{"deliveries", "show", "dlv_1", "--headers"},
			map[string]string{"GET /deliveries/dlv_1": cannedDelivery},
			[]string{"> POST https://example.com/hooks", "> User-Agent: AtoShip", "< 503", "< Server: nginx·[2J", "< …"},
			false,
			told{},
		},
		"deliveries show as JSON": {
			[]string{"deliveries", "show", "dlv_1", "--json"},
			map[string]string{"GET /deliveries/dlv_1": cannedDelivery},
			[]string{`"reason": "schedule"`},
			false,
			told{},
		},
		"deliveries redeliver": {
			[]string{"deliveries", "redeliver", "dlv_1"},
			map[string]string{"POST /deliveries/dlv_1/redeliver": `{"id":"dlv_2","endpoint":"orders"}`},
			[]string{"dlv_2 to orders is on its way"},
			false,
			told{},
		},
		"attempts": {
			[]string{"attempts", "--status", "5xx"},
			map[string]string{"GET /attempts": `{"items":[],"next":""}`},
			[]string{"no attempt matches"},
			false,
			told{query: "status=5xx"},
		},
		"events of a wrong time": {
			[]string{"events", "list", "--since", "yesterday"}, nil, []string{"--since is a time"}, true, told{},
		},
		"replay": {
			[]string{"replay", "--endpoint", "orders", "--since", "2024-01-15T10:30:00Z", "--rate", "20/s"},
			map[string]string{"POST /replays": strings.Replace(cannedReplay, "done", "running", 1), "GET /replays/rep_1": cannedReplay},
			[]string{"rep_1 done: 3 matched, 3 sent again"},
			false,
			told{method: "GET"},
		},
		"replay of everything by mistake": {
			[]string{"replay"}, nil, []string{"--endpoint and --since"}, true, told{},
		},
		"egress": {
			[]string{"egress"},
			map[string]string{"GET /egress": `{"prefixes":[{"ip_prefix":"203.0.113.10/32","profile":"default","status":"active"}]}`},
			[]string{"203.0.113.10/32"},
			false,
			told{},
		},
		"store backup": {
			[]string{"store", "backup", "/var/backups/monday"},
			map[string]string{"POST /store/backup": `{"directory":"/var/backups/monday"}`},
			[]string{"backed up to /var/backups/monday"},
			false,
			told{body: `{"directory":"/var/backups/monday"}`},
		},
		"store erase of a tenant": {
			[]string{"store", "erase", "--tenant", "acme"},
			map[string]string{"POST /store/erase": `{"erased":3,"cancelled":1,"pending":2}`},
			[]string{"erased 3 payloads, cancelled 1 delivery; left", "2 events", "--cancel-pending"},
			false,
			told{body: `{"cancel_pending":false,"next":"","tenant":"acme"}`},
		},
		"store erase of an event": {
			[]string{"store", "erase", "--event", "evt_1", "--tenant", "acme", "--cancel-pending"},
			map[string]string{"POST /events/evt_1/erase": `{"erased":1,"cancelled":2}`},
			[]string{"erased 1 payload, cancelled 2 deliveries"},
			false,
			told{query: "tenant=acme", body: `{"cancel_pending":true}`},
		},
		"store erase of everything by mistake": {
			[]string{"store", "erase"}, nil, []string{"--tenant <name> or --event <id>"}, true, told{},
		},
		"store stats": {
			[]string{"store", "stats"},
			map[string]string{
				"GET /stats":           `{"events":7,"deliveries":{"pending":2},"lost":1,"store":{"kind":"embedded","size_bytes":2500000},"oldest_event":"2024-01-15T10:30:00Z"}`,
				"GET /stats/endpoints": `{"items":[{"endpoint":"orders","pending":2}],"total":9}`,
			},
			[]string{"7 events", "pending    2", "embedded store of 2.5 MB", "lost       1", "1 of 9 endpoints", "orders"},
			false,
			told{query: "limit=20"},
		},
		"endpoints rotate-secret to a known one": {
			[]string{"endpoints", "rotate-secret", "ep_1", "--overlap", "0s", "--secret", "whsec_known"},
			map[string]string{"POST /endpoints/ep_1/rotate-secret": `{"id":"ep_1","secret":{"value":"whsec_known"}}`},
			[]string{"whsec_known"},
			false,
			told{body: `{"secret":"whsec_known","overlap":"0s"}`},
		},
		"an endpoint that is not there": {
			[]string{"endpoints", "pause", "nope"},
			map[string]string{"POST /endpoints/nope/pause": `404 {"status":404,"detail":"there is no such endpoint"}`},
			[]string{"there is no such endpoint", "caddy webhooks endpoints list"},
			true,
			told{},
		},
		"something that is not there": {
			[]string{"deliveries", "show", "dlv_none"}, nil, []string{"there is no such thing"}, true, told{},
		},
		"no token": {
			[]string{"endpoints", "list"},
			map[string]string{"GET /endpoints": `401 {"status":401,"detail":"a bearer token"}`},
			[]string{"--token"},
			true,
			told{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, asked := cannedGateway(t, tc.answers)
			out, err := runCommand(t, "", append(tc.args, "--address", address)...)
			if err != nil {
				out += err.Error()
			}
			if (err != nil) != tc.fails {
				t.Errorf("error %v, want one: %v\n%s", err, tc.fails, out)
			}
			for _, word := range tc.says {
				if !strings.Contains(out, word) {
					t.Errorf("no %q in:\n%s", word, out)
				}
			}
			if strings.Contains(out, "\x1b") {
				t.Errorf("control characters are printed: %q", out)
			}
			if len(*asked) == 0 {
				return
			}
			last := (*asked)[len(*asked)-1]
			if tc.asks.body != "" && last.body != tc.asks.body || tc.asks.query != "" && last.query != tc.asks.query || tc.asks.method != "" && last.method != tc.asks.method {
				t.Errorf("asked %+v, want %+v", last, tc.asks)
			}
		})
	}
}

func TestOnlineCommandsShowTheirTokenToADashboardAlone(t *testing.T) {
	t.Parallel()
	address, asked := cannedGateway(t, map[string]string{"GET /endpoints": `{"items":[]}`, "GET /webhooks/endpoints": `{"items":[]}`})
	token := "@" + writeFile(t, "token", "secret-token\n")
	for _, to := range []string{address, strings.TrimPrefix(address, "http://")} {
		if out, err := runCommand(t, "", "endpoints", "list", "--address", to, "--token", token); err != nil {
			t.Errorf("%s: %v\n%s", to, err, out)
		}
	}
	if len(*asked) != 2 || (*asked)[0].token != "Bearer secret-token" || (*asked)[1].token != "" || (*asked)[1].path != "/webhooks/endpoints" {
		t.Errorf("asked %+v", *asked)
	}
}

func TestARefusedConnectionSaysWhereToLook(t *testing.T) {
	t.Parallel()
	for _, address := range []string{freeAddress(t), "unix/" + t.TempDir() + "/none.sock"} {
		_, err := runCommand(t, "", "endpoints", "list", "--address", address)
		if err == nil || !strings.Contains(err.Error(), "does Caddy run? --address or --config") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAttemptsAreFollowedAsTheyAreMade(t *testing.T) {
	t.Parallel()
	address, _ := cannedGateway(t, map[string]string{
		"GET /stream": ": following\n\nevent: accepted\ndata: {\"event_type\":\"a\"}\n\n" +
			"event: attempted\ndata: {\"delivery\":\"dlv_1\",\"event_type\":\"label.created\",\"endpoint\":\"orders\",\"n\":1,\"status\":200,\"outcome\":\"delivered\"}\n\n",
	})
	out, _ := runCommand(t, "", "attempts", "--follow", "--json", "--address", address) // it ends with the stream
	var item struct{ Delivery, Outcome string }
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&item); err != nil || item.Delivery != "dlv_1" || strings.Count(out, "\n") != 1 {
		t.Errorf("%s (%v)", out, err)
	}
}
