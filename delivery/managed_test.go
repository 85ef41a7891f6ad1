package delivery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
	"github.com/atoship/caddy-webhooks/rules"
)

// maker makes endpoints of the few settings these tests need.
type maker struct {
	w      *world
	inUse  atomic.Int64 // made and not released
	rate   gate.RateSettings
	refuse string // a host that this configuration cannot reach
	same   bool   // see Same
	made   atomic.Int64
}

type settings struct {
	URL    string   `json:"url"`
	Events []string `json:"events"`
	Tenant string   `json:"tenant"`
	Backup []string `json:"backup"`
	When   string   `json:"when"`
}

func (m *maker) Same(delivery.EndpointMaker) bool { return m.same }

func (*maker) Forms([]byte) ([]sign.Form, error) { return []sign.Form{sign.SharedSecret}, nil }

func (m *maker) Make(name string, text []byte, secrets []sign.Secret) (*delivery.MadeEndpoint, error) {
	var s settings
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, &delivery.SettingError{Pointer: "", Err: err}
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Host == m.refuse {
		return nil, &delivery.SettingError{Pointer: "/url", Err: errors.New("cannot be reached")}
	}
	scheme, _ := sign.Lookup("standard")
	signer, err := scheme.NewSigner(secrets, sign.Options{})
	if err != nil {
		return nil, err
	}
	ep := m.w.endpoint(name)
	ep.URL, ep.Signer, ep.Tenant, ep.Backups = u, signer, s.Tenant, s.Backup
	ep.Rate = m.rate
	made := &delivery.MadeEndpoint{Endpoint: ep, Release: func() { m.inUse.Add(-1) }, Lasting: s.Tenant != "guest"}
	if s.Events != nil {
		made.Subscription = &rules.Subscription{Endpoint: name, Types: s.Events, Tenant: s.Tenant, When: rules.Expr{Text: s.When}}
	}
	m.inUse.Add(1)
	m.made.Add(1)
	return made, nil
}

const (
	oldKey = "an old key that has thirty-two bytes and more"
	newKey = "a new key that has thirty-two bytes and more"
)

// managedPlan is one whose API may make endpoints.
func (w *world) managedPlan(m *maker, keys []string, eps ...*delivery.Endpoint) *delivery.Plan {
	w.t.Helper()
	var c rules.Config
	for _, ep := range eps {
		c.Endpoints = append(c.Endpoints, ep.Name)
	}
	set, err := rules.Compile(c)
	if err != nil {
		w.t.Fatal(err)
	}
	p := w.plan(delivery.RuleRouter{Set: set}, eps...)
	p.Maker = m
	if keys != nil {
		if p.Keys, err = delivery.NewKeys(keys...); err != nil {
			w.t.Fatal(err)
		}
	}
	return p
}

func inManagedWorld(t *testing.T, f func(t *testing.T, w *world, m *maker)) {
	t.Helper()
	m := new(maker)
	inWorld(t, func(t *testing.T, w *world) {
		m.w = w
		w.apply(w.managedPlan(m, []string{newKey}))
		f(t, w, m)
	})
	if n := m.inUse.Load(); n != 0 {
		t.Errorf("%d made endpoints were never released", n)
	}
}

// create makes an endpoint whose host names it in the world.
func (w *world) create(host, more string) (name string, secrets []sign.Secret) {
	w.t.Helper()
	name, secrets, err := w.e.CreateEndpoint(context.Background(), json.RawMessage(`{"url":"https://`+host+`/"`+more+`}`), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return name, secrets
}

func setURL(host string) func(json.RawMessage) (json.RawMessage, error) {
	return func(json.RawMessage) (json.RawMessage, error) {
		return json.RawMessage(`{"url":"https://` + host + `/","events":["*"]}`), nil
	}
}

func TestAManagedEndpointWorksAtOnceAndAfterARestart(t *testing.T) {
	t.Parallel()
	inManagedWorld(t, func(t *testing.T, w *world, m *maker) {
		name, secrets := w.create("a", `, "events": ["label.*"]`)
		if !strings.HasPrefix(name, "ep_") || len(secrets) != 1 || !strings.HasPrefix(secrets[0].Value, "whsec_") {
			t.Fatalf("made %s with %d secrets", name, len(secrets))
		}
		w.publish("one")
		pass(time.Second)
		if n := len(w.seen("a")); n != 1 {
			t.Fatalf("%d deliveries", n)
		}
		before, err := w.e.Endpoint(name)
		if err != nil || before.Managed.Version != 1 || string(before.Managed.Settings) != `{"url":"https://a/","events":["label.*"]}` {
			t.Errorf("status %+v, %v", before.Managed, err)
		}
		w.crash()
		w.apply(w.managedPlan(m, []string{newKey}))
		w.publish("two")
		pass(time.Second)
		if n := len(w.seen("a")); n != 2 {
			t.Errorf("%d deliveries after the restart", n)
		}
		again, err := w.e.Secrets(name)
		if err != nil || len(again) != 1 || again[0] != secrets[0] {
			t.Errorf("its secrets are others after the restart, %v", err)
		}
	})
}

func TestAChangeGoesForTheNextAttemptAndForOneEditorOnly(t *testing.T) {
	t.Parallel()
	inManagedWorld(t, func(t *testing.T, w *world, _ *maker) {
		name, _ := w.create("a", `,"events":["*"]`)
		w.answer("a", always(500))
		w.publish("one")
		pass(time.Second)
		if err := w.e.ChangeEndpoint(t.Context(), name, 1, setURL("b")); err != nil {
			t.Fatal(err)
		}
		if err := w.e.ChangeEndpoint(t.Context(), name, 1, setURL("c")); !errors.Is(err, delivery.ErrRevision) {
			t.Errorf("the second editor of version 1: %v", err)
		}
		pass(2 * time.Minute)
		if len(w.seen("a")) != 1 || len(w.seen("b")) != 1 || len(w.seen("c")) != 0 {
			t.Errorf("attempts: %d %d %d", len(w.seen("a")), len(w.seen("b")), len(w.seen("c")))
		}
		for what, err := range map[string]error{
			"no such endpoint": w.e.ChangeEndpoint(t.Context(), "ep_none", 0, setURL("b")),
			"a wrong setting": w.e.ChangeEndpoint(t.Context(), name, 2, func(json.RawMessage) (json.RawMessage, error) {
				return json.RawMessage(`{"url":"https://b/","events":["*"],"when":"dat.x"}`), nil
			}),
		} {
			if err == nil {
				t.Errorf("%s: taken", what)
			}
		}
		s, _ := w.e.Endpoint(name)
		if s.Managed.Version != 2 || s.Endpoint.URL.Host != "b" {
			t.Errorf("after refused changes it is %+v at %s", s.Managed, s.Endpoint.URL)
		}
	})
}

func TestReloadsAndChangesByAPIDoNotLoseEachOther(t *testing.T) {
	t.Parallel()
	inManagedWorld(t, func(t *testing.T, w *world, m *maker) {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if i%2 == 0 {
					w.apply(w.managedPlan(m, []string{newKey}, w.endpoint(fmt.Sprint("config", i))))
				} else {
					w.create(fmt.Sprint("a", i), `,"events":["*"]`)
				}
			})
		}
		wg.Wait()
		w.apply(w.managedPlan(m, []string{newKey}, w.endpoint("last")))
		w.publish("one")
		pass(time.Second)
		for i := range 8 {
			if n := len(w.seen(fmt.Sprint("a", i))); n != i%2 {
				t.Errorf("endpoint a%d got %d", i, n)
			}
		}
		if plan := w.e.Plan(); plan.Endpoints["last"] == nil || len(plan.Endpoints) != 5 {
			t.Errorf("the plan has %d endpoints", len(plan.Endpoints))
		}
	})
}

func TestAReloadKeepsWhatWouldComeOutTheSame(t *testing.T) {
	t.Parallel()
	inManagedWorld(t, func(t *testing.T, w *world, m *maker) {
		name, _ := w.create("a", `,"events":["*"],"tenant":""`)
		w.create("guest", `,"tenant":"guest"`)
		other := w.endpoint("config")
		reload := func(same bool, made int64) {
			t.Helper()
			m.same = same
			before := m.made.Load()
			w.apply(w.managedPlan(m, []string{newKey}, other))
			if n := m.made.Load() - before; n != made {
				t.Errorf("a reload (the same: %v) made %d endpoints", same, n)
			}
			if n := m.inUse.Load(); n != 2 {
				t.Errorf("%d made endpoints are in use", n)
			}
		}
		reload(true, 1) // the one that does not last
		reload(true, 1)
		kept := w.e.Plan().Endpoints[name]
		w.publish("one")
		pass(time.Second)
		if len(w.seen("a")) != 1 {
			t.Errorf("a kept endpoint got %d", len(w.seen("a")))
		}
		if err := w.e.ChangeEndpoint(t.Context(), name, 0, setURL("b")); err != nil || m.inUse.Load() != 2 {
			t.Errorf("changing a kept endpoint: %v, %d in use", err, m.inUse.Load())
		}
		reload(true, 1)
		if w.e.Plan().Endpoints[name] == kept {
			t.Error("the change is lost")
		}
		reload(false, 2)
		w.publish("two")
		pass(time.Second)
		if len(w.seen("a")) != 1 || len(w.seen("b")) != 1 {
			t.Errorf("after all that %d and %d", len(w.seen("a")), len(w.seen("b")))
		}
	})
}

// What holds an endpoint is its lane's, whether the endpoint is made anew or kept.
func TestAReloadLeavesAManagedEndpointsStateAlone(t *testing.T) {
	t.Parallel()
	for _, same := range []bool{true, false} {
		inManagedWorld(t, func(t *testing.T, w *world, m *maker) {
			m.same, m.rate = same, gate.RateSettings{N: 10, Unit: time.Hour, Burst: 10}
			name, _ := w.create("a", `,"events":["*"]`)
			w.answer("a", always(500))
			for i := range 12 {
				w.publish(fmt.Sprint("evt", i))
			}
			pass(time.Second)
			before, err := w.e.Endpoint(name)
			if err != nil || before.Breaker != gate.StateOpen {
				t.Fatalf("before: %+v, %v", before, err)
			}
			tried := len(w.seen("a"))
			for range 3 {
				w.apply(w.managedPlan(m, []string{newKey}))
			}
			after, err := w.e.Endpoint(name)
			if err != nil || after.Breaker != before.Breaker || after.Probe != before.Probe || after.State.FailingSince != before.State.FailingSince || after.Pending != 12 {
				t.Errorf("after: %+v, %v; before %+v", after, err, before)
			}
			w.answer("a", always(200))
			pass(time.Minute + 30*time.Second) // past the probe and the first retries
			if n := len(w.seen("a")); n <= tried || n > 10 {
				t.Errorf("%d attempts, %d before the reload, against a limit of 10 an hour", n, tried)
			}
		})
	}
}

func TestDeletingTellsWhatIsPendingAndThenCancelsIt(t *testing.T) {
	t.Parallel()
	inManagedWorld(t, func(t *testing.T, w *world, _ *maker) {
		name, _ := w.create("a", `,"events":["*"]`)
		other, _ := w.create("b", `,"backup":["`+name+`"]`)
		w.answer("a", always(500))
		receipts := w.publish("one", "two")
		pass(time.Second)
		var inUse *delivery.InUseError
		if _, err := w.e.DeleteEndpoint(t.Context(), name, 1, 2); !errors.As(err, &inUse) || inUse.By[0] != other {
			t.Fatalf("deleting a backup of another: %v", err)
		}
		if _, err := w.e.DeleteEndpoint(t.Context(), other, 0, 0); err != nil {
			t.Fatal(err)
		}
		var pending *delivery.PendingError
		if _, err := w.e.DeleteEndpoint(t.Context(), name, 1, 1); !errors.As(err, &pending) || pending.Pending != 2 {
			t.Fatalf("deleting what is pending: %v", err)
		}
		if _, err := w.e.DeleteEndpoint(t.Context(), name, 7, 2); !errors.Is(err, delivery.ErrRevision) {
			t.Fatalf("deleting another version: %v", err)
		}
		n, err := w.e.DeleteEndpoint(t.Context(), name, 1, 2)
		if n != 2 || err != nil {
			t.Fatalf("%d cancelled, %v", n, err)
		}
		if rec := w.record(receipts[0]); rec.Delivery.State != delivery.Cancelled {
			t.Errorf("its delivery is %v", rec.Delivery.State)
		}
		if _, err := w.e.Endpoint(name); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("it is still there: %v", err)
		}
		w.publish("three")
		pass(time.Hour)
		if n := len(w.seen("a")); n != 2 {
			t.Errorf("%d attempts", n)
		}
	})
}

func TestWhatADeletedEndpointLeftIsCancelledAtTheNextStart(t *testing.T) {
	t.Parallel()
	inManagedWorld(t, func(t *testing.T, w *world, m *maker) {
		name, _ := w.create("a", `,"events":["*"]`)
		w.answer("a", always(500))
		r := w.publish("one")
		pass(time.Second)
		d, err := w.store.Document(t.Context(), "endpoint", name) // gone, and the process with it, before anything was cancelled
		if err == nil {
			err = w.store.DeleteDocument(t.Context(), "endpoint", name, d.Revision)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.crash()
		synctest.Wait()
		if rec := w.record(r[0]); rec.Delivery.State != delivery.Cancelled {
			t.Errorf("its delivery is %v", rec.Delivery.State)
		}
		w.apply(w.managedPlan(m, []string{newKey}))
	})
}

func TestSecretsRotateWithOverlap(t *testing.T) {
	t.Parallel()
	inManagedWorld(t, func(t *testing.T, w *world, _ *maker) {
		name, old := w.create("a", `,"events":["*"]`)
		next, err := w.e.RotateSecret(t.Context(), name, 1, "", time.Now().Add(time.Hour))
		if err != nil || next.Value == old[0].Value {
			t.Fatalf("rotated to the same, %v", err)
		}
		for i, want := range []int{2, 1} { // signatures
			w.publish(fmt.Sprint("e", i))
			pass(time.Second)
			if got := strings.Count(w.seen("a")[i].header.Get("Webhook-Signature"), "v1,"); got != want {
				t.Errorf("attempt %d has %d signatures, want %d", i, got, want)
			}
			pass(time.Hour)
		}
		if secrets, _ := w.e.Secrets(name); len(secrets) != 2 || secrets[0] != next || secrets[1].Value != old[0].Value {
			t.Errorf("%d secrets", len(secrets))
		}
		if _, err := w.e.RotateSecret(t.Context(), name, 0, "", time.Now()); err != nil {
			t.Fatal(err)
		}
		if secrets, _ := w.e.Secrets(name); len(secrets) != 1 {
			t.Errorf("%d secrets after one was ended at once", len(secrets))
		}
	})
}

func TestSettingsAreSealedAndKeysRotate(t *testing.T) {
	t.Parallel()
	m := new(maker)
	inWorld(t, func(t *testing.T, w *world) {
		m.w = w
		w.apply(w.managedPlan(m, []string{oldKey}))
		name, secrets := w.create("a.example", `,"events":["*"]`)
		sealed := func() []byte {
			d, err := w.store.Document(t.Context(), "endpoint", name)
			if err != nil {
				t.Fatal(err)
			}
			return d.Body
		}
		first := sealed()
		for _, planted := range []string{secrets[0].Value, "a.example"} {
			if bytes.Contains(first, []byte(planted)) {
				t.Errorf("the store holds %s in the clear", planted)
			}
		}
		w.apply(w.managedPlan(m, []string{newKey, oldKey})) // sealed anew in the background
		pass(time.Second)
		if bytes.Equal(sealed(), first) {
			t.Error("it is still sealed by the old key")
		}
		w.crash()
		for i, keys := range [][]string{nil, {oldKey}, {newKey}} {
			w.apply(w.managedPlan(m, keys))
			s, err := w.e.Endpoint(name)
			if err != nil || (s.Managed.Problem == "") != (i == 2) || (s.Endpoint != nil) != (i == 2) {
				t.Errorf("with keys %d: %+v, %v", i, s.Managed, err)
			}
		}
		w.publish("one")
		pass(time.Second)
		if n := len(w.seen("a.example")); n != 1 {
			t.Errorf("%d deliveries with the key back", n)
		}
		if s, _ := w.e.Endpoint(name); s.Managed.Version != 1 {
			t.Errorf("sealing anew made version %d", s.Managed.Version)
		}
	})
}

func TestAnEndpointThatAConfigurationCannotMakeIsHeldAndComesBack(t *testing.T) {
	t.Parallel()
	inManagedWorld(t, func(t *testing.T, w *world, m *maker) {
		name, _ := w.create("a", `,"events":["*"]`)
		w.create("b", `,"events":["*"]`)
		w.answer("a", always(500))
		w.publish("one")
		pass(time.Second)
		w.answer("a", always(200))
		m.refuse = "a"
		w.apply(w.managedPlan(m, []string{newKey}))
		pass(time.Hour)
		s, err := w.e.Endpoint(name)
		if err != nil || s.Managed.Problem == "" || s.Endpoint != nil || len(w.seen("a")) != 1 {
			t.Errorf("while it cannot be made: %+v, %v, %d attempts", s.Managed, err, len(w.seen("a")))
		}
		m.refuse = ""
		w.apply(w.managedPlan(m, []string{newKey}))
		pass(time.Second)
		if len(w.seen("a")) != 2 || len(w.seen("b")) != 1 {
			t.Errorf("after it can: %d and %d attempts", len(w.seen("a")), len(w.seen("b")))
		}
	})
}

func TestEndpointsCannotBeMadeWithoutAKeyOrAsAnothersBackup(t *testing.T) {
	t.Parallel()
	inManagedWorld(t, func(t *testing.T, w *world, m *maker) {
		acme, _ := w.create("a", `,"tenant":"acme"`)
		_, _, err := w.e.CreateEndpoint(t.Context(), json.RawMessage(`{"url":"https://b/","tenant":"other","backup":["`+acme+`"]}`), nil)
		var at *delivery.SettingError
		if !errors.As(err, &at) || at.Pointer != "/backup/0" {
			t.Errorf("a backup of another tenant: %v", err)
		}
		w.create("c", `,"tenant":"acme","backup":["`+acme+`"]`)
		config := w.endpoint("config")
		config.Pos = "Caddyfile:10"
		w.apply(w.managedPlan(m, nil, config))
		if _, _, err := w.e.CreateEndpoint(t.Context(), json.RawMessage(`{"url":"https://b/"}`), nil); !errors.Is(err, delivery.ErrNoKeys) {
			t.Errorf("without a key: %v", err)
		}
		for _, keys := range [][]string{nil, {newKey}} { // with none, too, that is not the reason
			w.apply(w.managedPlan(m, keys, config))
			_, rotating := w.e.RotateSecret(t.Context(), "config", 0, "", time.Time{})
			_, telling := w.e.Secrets("config")
			_, deleting := w.e.DeleteEndpoint(t.Context(), "config", 0, 0)
			changing := w.e.ChangeEndpoint(t.Context(), "config", 0, setURL("b"))
			for what, err := range map[string]error{"changing": changing, "rotating": rotating, "telling": telling, "deleting": deleting} {
				if from, ok := errors.AsType[*delivery.FromConfigError](err); !ok || from.Pos != "Caddyfile:10" {
					t.Errorf("%s one of the configuration: %v", what, err)
				}
			}
		}
	})
}

// uncertain is a store whose commits of documents are answered with an error and survive.
type uncertain struct {
	*memory.Store

	fail atomic.Bool
}

func (u *uncertain) PutDocument(ctx context.Context, d delivery.Document) (uint64, error) {
	r, err := u.Store.PutDocument(ctx, d)
	if u.fail.Load() {
		return 0, delivery.ErrUnavailable
	}
	return r, err
}

func (u *uncertain) DeleteDocument(ctx context.Context, kind, name string, revision uint64) error {
	err := u.Store.DeleteDocument(ctx, kind, name, revision)
	if u.fail.Load() {
		return delivery.ErrUnavailable
	}
	return err
}

func TestAChangeThatFailedAndSurvivedIsFoundByTheNext(t *testing.T) {
	t.Parallel()
	var u *uncertain
	m := new(maker)
	inWorldOver(t, func(s *memory.Store) delivery.Store { u = &uncertain{Store: s}; return u }, func(t *testing.T, w *world) {
		m.w = w
		w.apply(w.managedPlan(m, []string{newKey}))
		name, _ := w.create("a", `,"events":["*"]`)
		u.fail.Store(true)
		if err := w.e.ChangeEndpoint(t.Context(), name, 1, setURL("b")); !errors.Is(err, delivery.ErrUnavailable) {
			t.Fatal(err)
		}
		u.fail.Store(false)
		if err := w.e.ChangeEndpoint(t.Context(), name, 1, setURL("c")); !errors.Is(err, delivery.ErrRevision) {
			t.Errorf("a repetition: %v", err)
		}
		if s, _ := w.e.Endpoint(name); s.Managed.Version != 2 || s.Endpoint.URL.Host != "b" {
			t.Errorf("it is %+v", s.Managed)
		}
		u.fail.Store(true)
		if _, err := w.e.DeleteEndpoint(t.Context(), name, 2, 0); !errors.Is(err, delivery.ErrUnavailable) {
			t.Fatal(err)
		}
		u.fail.Store(false)
		if _, err := w.e.DeleteEndpoint(t.Context(), name, 2, 0); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("a repeated delete: %v", err)
		}
		w.publish("one")
		pass(time.Second)
		if n := len(w.seen("")); n != 0 {
			t.Errorf("%d attempts at a deleted endpoint", n)
		}
	})
}

func TestAPlanWithOtherEndpointsKeepsAllElse(t *testing.T) {
	t.Parallel()
	p := new(delivery.Plan)
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && f.Name != "Router" && f.Name != "Endpoints" {
			switch v.Field(i).Kind() {
			case reflect.String:
				v.Field(i).SetString("x")
			case reflect.Int, reflect.Int64:
				v.Field(i).SetInt(7)
			case reflect.Pointer:
				v.Field(i).Set(reflect.New(v.Field(i).Type().Elem()))
			default:
			}
		}
	}
	p.Rate.N, p.Intake.MaxBody, p.Maker, p.PlannedAt = 3, 4, new(maker), time.Now()
	got := reflect.ValueOf(delivery.PlanWith(p)).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && f.Name != "Router" && f.Name != "Endpoints" && !reflect.DeepEqual(got.Field(i).Interface(), v.Field(i).Interface()) {
			t.Errorf("%s is lost", f.Name)
		}
	}
}

func TestKeysAreRefusedWithoutBeingTold(t *testing.T) {
	t.Parallel()
	for name, texts := range map[string][]string{"none": {}, "a short one": {newKey, "short-and-secret"}, "an empty one": {""}} {
		if _, err := delivery.NewKeys(texts...); err == nil || strings.Contains(err.Error(), "short-and-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
