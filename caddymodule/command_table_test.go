package caddymodule

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// terminal is one of 80 columns.
type terminal struct{ bytes.Buffer }

func (*terminal) Width() int { return 80 }

// shownAt runs `caddy webhooks` and returns what it prints on stdout alone, for scripts, or there on a screen.
func shownAt(t *testing.T, screen io.Writer, args ...string) error {
	t.Helper()
	spec := caddycmd.Commands()[appID]
	cmd := &cobra.Command{Use: spec.Name, SilenceUsage: true, SilenceErrors: true}
	spec.CobraFunc(cmd)
	cmd.SetOut(screen)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(args)
	return cmd.Execute()
}

const (
	longEndpoint = "ep_6z497rq30dyap0p721jzsdqf5c"
	longDelivery = "dlv_nalc5fmg3pq7mi42mozzy5m26u"
	longEvent    = "evt_01m8parb1pnw7ghg0shagay93d"

	oneEvent    = `"id":"` + longEvent + `","type":"shipment.exception","environment":"production","tenant":"acme","routing":"routed","accepted":"2024-01-15T10:30:00Z"`
	oneDelivery = `"id":"` + longDelivery + `","endpoint":"` + longEndpoint + `","backups":[],"route":"endpoint:` + longEndpoint + `","state":"exhausted",` +
		`"target":"` + longEndpoint + `","attempts_count":6,"replay":"rpl_1","due":"2024-01-15T10:30:00Z","event":{` + oneEvent + `}`
	oneAttempt = `"n":6,"delivery":"` + longDelivery + `","endpoint":"` + longEndpoint + `","started":"2024-01-15T10:30:00Z","duration_ms":30000,"outcome":"connection_refused",` +
		`"event":{` + oneEvent + `},"response":{}`
	aRecord = `{` + oneDelivery + `,"attempts":[{` + oneAttempt + `}],"transitions":[]}`
)

// everyAnswer is what the gateway of these tests says, with ids and names of the length they have.
var everyAnswer = map[string]string{
	"GET /endpoints": `{"items":[{"id":"` + longEndpoint + `","source":"api","state":"active","url":"https://example.com/a/path/to/the/hooks","backups":[],` +
		`"breaker":{"state":"half_open"},"hold":{"reason":"breaker_open","until":"2024-01-15T10:30:00Z"},"concurrency":{"limit":16,"now":2,"in_flight":1}}],"next":""}`,
	"GET /endpoints/orders":                cannedEndpoint,
	"POST /endpoints":                      `{"id":"` + longEndpoint + `","secrets":[{"value":"whsec_shown"}],"backups":[]}`,
	"DELETE /endpoints/orders":             `{"id":"orders","cancelled":0}`,
	"POST /endpoints/orders/pause":         cannedEndpoint,
	"POST /endpoints/orders/resume":        cannedEndpoint,
	"POST /endpoints/orders/test":          strings.Replace(aRecord, "exhausted", "delivered", 1),
	"POST /endpoints/orders/check":         `{"endpoint":"orders","result":"ok","steps":[{"name":"dns","result":"ok","summary":"found"}]}`,
	"POST /endpoints/orders/rotate-secret": `{"id":"orders","secret":{"value":"whsec_next"},"old_until":"2024-01-15T10:30:00Z"}`,
	"GET /events":                          `{"items":[{` + oneEvent + `,"deliveries":{"total":1,"delivered":1}}],"next":""}`,
	"GET /events/evt_1":                    `{` + oneEvent + `,"payload":{"event":"a"},"deliveries":[{` + oneDelivery + `}]}`,
	"POST /events/evt_1/replay":            `{` + oneEvent + `,"deliveries":[{` + oneDelivery + `}]}`,
	"POST /events/evt_1/erase":             `{"erased":1,"cancelled":0}`,
	"GET /deliveries":                      `{"items":[{` + oneDelivery + `}],"next":""}`,
	"GET /deliveries/" + longDelivery:      aRecord,
	"POST /deliveries/dlv_1/redeliver":     `{` + oneDelivery + `}`,
	"POST /deliveries/dlv_1/cancel":        `{` + oneDelivery + `}`,
	"GET /attempts":                        `{"items":[{` + oneAttempt + `}],"next":""}`,
	"POST /replays":                        cannedReplay,
	"GET /egress":                          `{"prefixes":[{"ip_prefix":"203.0.113.12/32","profile":"default","status":"upcoming","not_before":"2026-12-24"}],"ipv6_prefixes":[]}`,
	"POST /store/backup":                   `{"directory":"/var/backups/monday"}`,
	"GET /stats":                           `{"events":7,"deliveries":{"pending":2},"store":{"kind":"embedded","size_bytes":2500000}}`,
	"GET /stats/endpoints":                 `{"items":[{"endpoint":"` + longEndpoint + `","pending":1234567,"delivered":1234567,"exhausted":1234567,"cancelled":7,"oldest_due":"2024-01-15T10:30:00Z"}],"total":1}`,
	"POST /ingest":                         `{"id":"` + longEvent + `","duplicate":false,"deliveries":[{` + oneDelivery + `}]}`,
}

// everyCommand is each command that prints JSON when it is asked to, with arguments that it takes. listen, which does not
// end, has a test of its own.
func everyCommand(t *testing.T) map[string][]string {
	t.Helper()
	config := []string{"--config", writeFile(t, "Caddyfile", routedCaddyfile)}
	const event = `{"event":"label.created","data":{}}`
	tests := writeFile(t, "tests.yaml", "- {name: a, event: {event: price.changed, data: {}}, expect: [{endpoint: audit}]}\n")
	address, _ := cannedGateway(t, everyAnswer)
	online := func(args ...string) []string { return append(args, "--address", address) }
	return map[string][]string{
		"endpoints list":          online(),
		"endpoints show":          online("orders"),
		"endpoints add":           online("https://example.com/in", "--events", "*"),
		"endpoints delete":        online("orders"),
		"endpoints pause":         online("orders"),
		"endpoints resume":        online("orders"),
		"endpoints test":          online("orders"),
		"endpoints check":         online("orders"),
		"endpoints rotate-secret": online("orders"),
		"events list":             online(),
		"events show":             online("evt_1"),
		"events replay":           online("evt_1"),
		"deliveries list":         online(),
		"deliveries show":         online(longDelivery),
		"deliveries redeliver":    online("dlv_1"),
		"deliveries cancel":       online("dlv_1"),
		"attempts":                online(),
		"replay":                  online("--endpoint", "orders", "--since", "1h"),
		"egress":                  online(),
		"store backup":            online("/var/backups/monday"),
		"store erase":             online("--event", "evt_1"),
		"store stats":             online(),
		"send":                    {"label.created", "--to", address + "/ingest"},
		"verify":                  {"--secret", deskSecret, "--body", "{}", "--headers", "@" + writeFile(t, "h", "X-AtoShip-Event-Id: evt_1\nX-AtoShip-Signature: "+deskSignature("{}"))},
		"routes explain":          append(config, "--event", event),
		"routes test":             append(config, tests),
		"routes lint":             config,
		"routes diff":             append(config, append(config, "--events", event)...),
	}
}

// leaves are the commands below one that have a flag, by their words.
func leaves(cmd *cobra.Command, flag, words string) (found []string) {
	if cmd.Flags().Lookup(flag) != nil {
		found = append(found, strings.TrimSpace(words))
	}
	for _, sub := range cmd.Commands() {
		found = append(found, leaves(sub, flag, words+" "+sub.Name())...)
	}
	return found
}

func TestEveryCommandPrintsJSONThatAScriptCanRead(t *testing.T) {
	t.Parallel()
	spec := caddycmd.Commands()[appID]
	top := new(cobra.Command)
	spec.CobraFunc(top)
	cases := everyCommand(t)
	for _, words := range leaves(top, "json", "") {
		if cases[words] == nil && words != "listen" {
			t.Errorf("%s has --json and no case here", words)
		}
	}
	for words, args := range cases {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := shownAt(t, &out, slices.Concat(strings.Fields(words), args, []string{"--json"})...); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			var v any
			d := json.NewDecoder(&out)
			if err := d.Decode(&v); err != nil {
				t.Fatalf("no JSON: %v", err)
			}
			if v == nil || d.More() {
				t.Errorf("printed %v, and more: %v", v, d.More())
			}
		})
	}
}

func TestEveryListFitsATerminalAndKeepsIdsWhole(t *testing.T) {
	t.Parallel()
	cases := everyCommand(t)
	for words, ids := range map[string][]string{
		"endpoints list":  {longEndpoint},
		"events list":     {longEvent},
		"deliveries list": {longDelivery, longEndpoint},
		"attempts":        {longDelivery, longEndpoint},
		"store stats":     {longEndpoint},
		"send":            {longEvent, longDelivery, longEndpoint},
		"egress":          {"203.0.113.12/32"},
	} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			var screen terminal
			var pipe bytes.Buffer
			for _, out := range []io.Writer{&screen, &pipe} {
				if err := shownAt(t, out, slices.Concat(strings.Fields(words), cases[words])...); err != nil {
					t.Fatal(err)
				}
			}
			for line := range strings.Lines(screen.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 || strings.HasSuffix(line, " \n") {
					t.Errorf("a line of %d characters: %q", n, line)
				}
			}
			for _, id := range ids {
				if !strings.Contains(screen.String(), id) {
					t.Errorf("no %s in\n%s", id, screen.String())
				}
			}
			// What reads a pipe gets a line for each item, with every column that the screen shows.
			if screen, pipe := strings.Fields(screen.String()), strings.Fields(pipe.String()); !slices.Equal(screen, pipe) {
				t.Errorf("the screen shows %q, a pipe %q", screen, pipe)
			}
			if n := strings.Count(pipe.String(), "\n"); words != "store stats" && words != "send" && n != 2 {
				t.Errorf("%d lines for one item:\n%s", n, &pipe)
			}
		})
	}
}

func TestWrongArgumentsAreToldByTheirName(t *testing.T) {
	t.Parallel()
	gateway, _ := cannedGateway(t, map[string]string{
		"GET /deliveries":              `400 {"status":400,"detail":"must be one of pending, delivered","parameter":"state"}`,
		"POST /endpoints/orders/check": `429 {"status":429,"detail":"too many"}`,
	})
	for says, args := range map[string][]string{
		"endpoints show takes one <endpoint>, not 0":                {"endpoints", "show"},
		"deliveries redeliver takes one <delivery>, not 2":          {"deliveries", "redeliver", "a", "b"},
		"send takes one <event type>":                               {"send", "--to", "http://127.0.0.1:1/"},
		"--limit is a number from 1":                                {"deliveries", "list", "--limit", "-3", "--address", gateway},
		"--state must be one of pending, delivered":                 {"deliveries", "list", "--state", "lost", "--address", gateway},
		"429: too many; try again in 7s":                            {"endpoints", "check", "orders", "--address", gateway},
		"reading an argument: open /nonexistent/x":                  {"endpoints", "test", "orders", "--data", "@/nonexistent/x", "--address", gateway},
		"--data is not JSON":                                        {"endpoints", "test", "orders", "--data", "x", "--address", gateway},
		"--to is not a URL such as http://localhost:8080/events":    {"send", "a", "--to", "localhost:8080/events"},
		"is --to its ingest route?":                                 {"send", "a", "--to", "http://127.0.0.1:1/"},
		"--set is not a JSON object":                                {"endpoints", "add", "https://example.com/", "--set", "[]", "--address", gateway},
		"a replay needs --endpoint and --since":                     {"replay", "--address", gateway},
		`unknown command "now" for "webhooks egress"`:               {"egress", "now", "--address", gateway},
		`invalid argument "x" for "--limit" flag`:                   {"events", "list", "--limit", "x"},
		"--follow is narrowed by --endpoint and --tenant alone":     {"attempts", "--follow", "--status", "5xx", "--address", gateway},
		"no address of an admin endpoint":                           {"egress", "--address", "localhost:1-9"},
		"say what to erase: --tenant <name> or --event <id>":        {"store", "erase", "--address", gateway},
		"there is no such thing":                                    {"deliveries", "show", "dlv_none", "--address", gateway},
		"--since is a time such as 2024-01-15T10:30:00Z, or how lo": {"replay", "--endpoint", "a", "--since", "yesterday", "--address", gateway},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := shownAt(t, &out, args...)
			if err == nil || !strings.Contains(err.Error(), says) || out.Len() > 0 {
				t.Errorf("%v\n%s", err, &out)
			}
		})
	}
}
