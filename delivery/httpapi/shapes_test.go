package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
	"github.com/atoship/caddy-webhooks/rules"
)

// TestTheClientKnowsEveryMemberOfEveryAnswer compares the shapes that the API shows with those that its client reads.
func TestTheClientKnowsEveryMemberOfEveryAnswer(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]any{
		{eventRecordView{}, client.EventRecord{}},
		{eventListView{}, client.ListedEvent{}},
		{deliveryView{}, client.Delivery{}},
		{deliveryRecordView{}, client.DeliveryRecord{}},
		{attemptListView{}, client.ListedAttempt{}},
		{endpointView{}, client.Endpoint{}},
		{newEndpointView{}, client.NewEndpoint{}},
		{rotatedView{}, client.Rotated{}},
		{checkView{}, client.Check{}},
		{statsView{}, client.Stats{}},
		{endpointStatsView{}, client.EndpointStats{}},
		{minuteView{}, client.Minute{}},
		{healthView{}, client.Health{}},
		{catalogView{}, client.Catalog{}},
		{egressView{}, client.Egress{}},
		{tokenView{}, client.Token{}},
		{portalView{}, client.PortalLink{}},
		{replayView{}, client.Replay{}},
		{erasureView{}, client.Erasure{}},
		{rulesView{}, client.Routes{}},
		{rules.Explanation{}, client.Explanation{}},
	} {
		shown, read := reflect.TypeOf(pair[0]), reflect.TypeOf(pair[1])
		had := members(read, "", nil)
		for _, name := range members(shown, "", nil) {
			if !slices.Contains(had, name) {
				t.Errorf("%s does not read %s of %s", read, name, shown)
			}
		}
	}
}

// members are the paths of a type's members in JSON. A type inside itself is gone into once.
func members(t reflect.Type, at string, inside []reflect.Type) (all []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && t != reflect.TypeFor[json.RawMessage]() {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() || t == reflect.TypeFor[moment]() || slices.Contains(inside, t) {
		return []string{at}
	}
	inside = append(slices.Clone(inside), t)
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-", !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			all = append(all, members(f.Type, at, inside)...)
		default:
			all = append(all, members(f.Type, at+"/"+name, inside)...)
		}
	}
	return all
}

// TestTheClientHasAMethodForEveryRow calls all its methods and looks at what they asked for.
func TestTheClientHasAMethodForEveryRow(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]bool{}
	mux := http.NewServeMux()
	table := NewAPI(nil, nil).routes()
	for _, rt := range table {
		mux.HandleFunc(rt.pattern, func(http.ResponseWriter, *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			asked[rt.pattern] = true
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range reflect.ValueOf(c).Methods() {
		out := method.Call(arguments(t.Context(), method.Type()))
		if seq := out[0]; seq.Kind() == reflect.Func {
			for range seq.Seq2() {
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, rt := range table {
		if !asked[rt.pattern] && !strings.HasPrefix(rt.pattern, "GET /health/") { // the same as /health, for other callers
			t.Errorf("no method asks for %s", rt.pattern)
		}
	}
}

// arguments are some for a method of the client.
func arguments(ctx context.Context, method reflect.Type) []reflect.Value {
	args := make([]reflect.Value, method.NumIn())
	for i := range args {
		switch in := method.In(i); {
		case in == reflect.TypeFor[context.Context]():
			args[i] = reflect.ValueOf(ctx)
		case in == reflect.TypeFor[json.RawMessage]():
			args[i] = reflect.ValueOf(json.RawMessage("{}"))
		case in.Kind() == reflect.String:
			args[i] = reflect.ValueOf("x")
		default:
			args[i] = reflect.Zero(in)
		}
	}
	return args
}
