package rules

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

// bad fails for every event.
var bad = when("data.text > 1")

func TestMatch(t *testing.T) {
	t.Parallel()
	yes, no := when("event.type == 'label.created'"), when("event.type == 'other'")
	all := []string{"*"}
	for name, tt := range map[string]struct {
		config Config
		want   string // targets
		held   string
		errors string // routes
	}{
		"in match all every matching route applies, in order": {
			config: Config{Routes: []Route{
				{Name: "one", When: yes, To: to("a backup b c", "d")}, {Name: "two", When: no, To: to("b")}, {Name: "three", To: to("c")},
			}},
			want: "one>a backup b c, one>d, three>c",
		},
		"in match first the first matching route decides": {
			config: Config{Mode: MatchFirst, Routes: []Route{
				{Name: "one", When: no, To: to("a")}, {Name: "two", When: yes, To: to("b")}, {Name: "three", To: to("c")},
			}},
			want: "two>b",
		},
		"subscriptions come after routes, and apply in match first too": {
			config: Config{
				Mode: MatchFirst, Routes: []Route{{Name: "one", To: to("a")}},
				Subscriptions: []Subscription{{Endpoint: "b", Types: all}, {Endpoint: "c", Types: all, When: no}},
			},
			want: "one>a, endpoint:b>b",
		},
		"an endpoint is a primary once, and the first chain wins": {
			config: Config{
				Routes: []Route{
					{Name: "one", To: to("a backup b", "a")},
					{Name: "two", To: to("a backup c", "b")},
					{Name: "three", Pick: when("['a', 'd']")},
				},
				Subscriptions: []Subscription{{Endpoint: "a", Types: all}, {Endpoint: "b", Types: all}, {Endpoint: "c", Types: all}},
			},
			want: "one>a backup b, two>b, endpoint:c>c",
		},
		"stop keeps later routes from being tried, but not subscriptions": {
			config: Config{
				Routes: []Route{
					{Name: "one", When: no, To: to("a"), Stop: true}, {Name: "two", To: to("b"), Stop: true}, {Name: "three", To: to("c")},
				},
				Subscriptions: []Subscription{{Endpoint: "d", Types: all}},
			},
			want: "two>b, endpoint:d>d",
		},
		"otherwise applies when nothing matched, wherever it stands": {
			config: Config{
				Routes:        []Route{{Name: "rest", Otherwise: true, To: to("e")}, {Name: "one", When: no, To: to("a")}},
				Subscriptions: []Subscription{{Endpoint: "b", Types: []string{"other"}}},
			},
			want: "rest>e",
		},
		"otherwise does not apply when a later route matched": {
			config: Config{Routes: []Route{{Name: "rest", Otherwise: true, To: to("e")}, {Name: "one", To: to("a")}}},
			want:   "one>a",
		},
		"otherwise does not apply when a subscription matched": {
			config: Config{
				Routes:        []Route{{Name: "rest", Otherwise: true, To: to("e")}},
				Subscriptions: []Subscription{{Endpoint: "b", Types: all}},
			},
			want: "endpoint:b>b",
		},
		"otherwise does not apply when a route is held": {
			config: Config{Routes: []Route{
				{Name: "one", When: bad, To: to("a"), OnError: OnErrorHold}, {Name: "rest", Otherwise: true, To: to("e")},
			}},
			held: "one", errors: "one",
		},
		"otherwise applies after a failed route that is skipped": {
			config: Config{Routes: []Route{{Name: "one", When: bad, To: to("a")}, {Name: "rest", Otherwise: true, To: to("e")}}},
			want:   "rest>e", errors: "one",
		},
		"several otherwise-routes apply in match all": {
			config: Config{Routes: []Route{{Name: "x", Otherwise: true, To: to("a")}, {Name: "y", Otherwise: true, To: to("b")}}},
			want:   "x>a, y>b",
		},
		"the first otherwise-route applies in match first": {
			config: Config{Mode: MatchFirst, Routes: []Route{{Name: "x", Otherwise: true, To: to("a")}, {Name: "y", Otherwise: true, To: to("b")}}},
			want:   "x>a",
		},
		"in match all a failed route is skipped": {
			config: Config{Routes: []Route{{Name: "one", When: bad, To: to("a")}, {Name: "two", To: to("b")}}},
			want:   "two>b", errors: "one",
		},
		"in match all a held route leaves the event undecided, and others apply": {
			config: Config{Routes: []Route{{Name: "one", When: bad, To: to("a"), OnError: OnErrorHold}, {Name: "two", To: to("b")}}},
			want:   "two>b", held: "one", errors: "one",
		},
		"nothing falls through a held route that says stop": {
			config: Config{Routes: []Route{
				{Name: "one", When: bad, To: to("a"), OnError: OnErrorHold, Stop: true}, {Name: "two", To: to("b")},
			}},
			held: "one", errors: "one",
		},
		"in match first a failed route is held and nothing falls through; subscriptions apply": {
			config: Config{
				Mode:          MatchFirst,
				Routes:        []Route{{Name: "one", When: bad, To: to("a")}, {Name: "two", To: to("b")}, {Name: "rest", Otherwise: true, To: to("e")}},
				Subscriptions: []Subscription{{Endpoint: "c", Types: all}},
			},
			want: "endpoint:c>c", held: "one", errors: "one",
		},
		"in match first a failure after the match has no say": {
			config: Config{Mode: MatchFirst, Routes: []Route{{Name: "one", To: to("a")}, {Name: "two", When: bad, To: to("b")}}},
			want:   "one>a",
		},
		"in match first a failed route can be skipped": {
			config: Config{Mode: MatchFirst, Routes: []Route{{Name: "one", When: bad, To: to("a"), OnError: OnErrorSkip}, {Name: "two", To: to("b")}}},
			want:   "two>b", errors: "one",
		},
		"an event that matched nothing while rules failed is held, even if they skip": {
			config: Config{
				Routes:        []Route{{Name: "one", When: bad, To: to("a")}, {Name: "two", When: no, To: to("b")}},
				Subscriptions: []Subscription{{Endpoint: "c", Types: all, When: bad}},
			},
			held: "one endpoint:c", errors: "one endpoint:c",
		},
		"a subscription's failure is skipped in match all when something matched": {
			config: Config{
				Routes:        []Route{{Name: "one", To: to("a")}},
				Subscriptions: []Subscription{{Endpoint: "c", Types: all, When: bad}},
			},
			want: "one>a", errors: "endpoint:c",
		},
		"a subscription's failure is held in match first": {
			config: Config{
				Mode:          MatchFirst,
				Routes:        []Route{{Name: "one", To: to("a")}},
				Subscriptions: []Subscription{{Endpoint: "c", Types: all, When: bad}},
			},
			want: "one>a", held: "endpoint:c", errors: "endpoint:c",
		},
		"a missing value is a quiet no-match": {
			config: Config{Mode: MatchFirst, Routes: []Route{{Name: "one", When: when("data.absent > 1"), To: to("a")}, {Name: "two", To: to("b")}}},
			want:   "two>b",
		},
		"pick gives a name": {
			config: Config{Routes: []Route{{Name: "one", Pick: when("data.n == 5 ? ['a', 'b', 'c'] : 'd'")}, {Name: "two", Pick: when("data.n == 6 ? 'a' : 'd'")}}},
			want:   "one>a backup b c, two>d",
		},
		"pick looks names up in the payload": {
			config: Config{Routes: []Route{{Name: "one", Pick: when("split('b d', ' ')")}, {Name: "two", Pick: when("{'abc': 'c'}[data.text]")}}},
			want:   "one>b backup d, two>c",
		},
		"a repeated name in a computed list counts once": {
			config: Config{Routes: []Route{{Name: "one", Pick: when("split('a b a b c', ' ')")}}},
			want:   "one>a backup b c",
		},
		"a missing pick, an empty list and a failure over missing values pick nothing": {
			config: Config{Mode: MatchFirst, Routes: []Route{
				{Name: "one", Pick: when("data.absent")},
				{Name: "two", Pick: when("[]")},
				{Name: "three", Pick: when("lower(data.absent)")},
				{Name: "four", Pick: when("data.absent ? 'a' : 'b'")},
				{Name: "five", To: to("e")},
			}},
			want: "five>e",
		},
		"to and pick go together, and to stands when pick picks nothing": {
			config: Config{Routes: []Route{{Name: "one", To: to("a"), Pick: when("'b'")}, {Name: "two", To: to("c"), Pick: when("data.absent")}}},
			want:   "one>a, one>b, two>c",
		},
		"a failed pick keeps the whole route from applying": {
			config: Config{Routes: []Route{{Name: "one", To: to("a"), Pick: when("data.n")}, {Name: "two", To: to("b")}}},
			want:   "two>b", errors: "one",
		},
		"picking an unknown name, another type or a list with a gap is an error": {
			config: Config{Routes: []Route{
				{Name: "one", Pick: when("data.text")},
				{Name: "two", Pick: when("data.obj")},
				{Name: "three", Pick: when("['a', data.absent]")},
				{Name: "four", Pick: when("data.empty")},
				{Name: "five", To: to("e")},
			}},
			want: "five>e", errors: "one two three four",
		},
		"an endpoint that only subscribes cannot be picked": {
			config: Config{
				Routes:        []Route{{Name: "one", Pick: when("data.text")}},
				Subscriptions: []Subscription{{Endpoint: "abc", Types: all}},
			},
			want: "endpoint:abc>abc", errors: "one",
		},
		"no routes and no subscriptions leave an event unrouted": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustCompile(t, tt.config).Match(testEvent())
			var failed []string
			for _, e := range d.Errors {
				failed = append(failed, e.Route)
				if e.Held != slices.Contains(d.Held, e.Route) {
					t.Errorf("error of %s: held is %v", e.Route, e.Held)
				}
			}
			if got := show(d); got != tt.want {
				t.Errorf("targets: got %q, want %q", got, tt.want)
			}
			if got := strings.Join(d.Held, " "); got != tt.held {
				t.Errorf("held: got %q, want %q", got, tt.held)
			}
			if got := strings.Join(failed, " "); got != tt.errors {
				t.Errorf("errors: got %q, want %q", got, tt.errors)
			}
			if d.Undecided != (len(d.Held) > 0) {
				t.Errorf("undecided is %v with %d held", d.Undecided, len(d.Held))
			}
		})
	}
}

func TestSubscriptionFilters(t *testing.T) {
	t.Parallel()
	ev := testEvent()
	ev.Tenant = "acme"
	for name, tt := range map[string]struct {
		sub  Subscription
		typ  string
		want bool
	}{
		"an exact type matches itself":                  {Subscription{Types: []string{"label.created"}}, "label.created", true},
		"an exact type matches no longer type":          {Subscription{Types: []string{"label"}}, "label.created", false},
		"a prefix matches what is below it":             {Subscription{Types: []string{"label.*"}}, "label.created", true},
		"a prefix matches at any depth":                 {Subscription{Types: []string{"label.*"}}, "label.created.twice", true},
		"a prefix does not match itself":                {Subscription{Types: []string{"label.*"}}, "label", false},
		"a prefix does not match nothing below it":      {Subscription{Types: []string{"label.*"}}, "label.", false},
		"a prefix ends at its dot":                      {Subscription{Types: []string{"label.*"}}, "labelx.y", false},
		"a star matches all":                            {Subscription{Types: []string{"*"}}, "anything", true},
		"one of several patterns is enough":             {Subscription{Types: []string{"x", "label.*"}}, "label.created", true},
		"no environment means all":                      {Subscription{Types: []string{"*"}}, "x", true},
		"one of several environments is enough":         {Subscription{Types: []string{"*"}, Environments: []string{"s", "production"}}, "x", true},
		"another environment is refused":                {Subscription{Types: []string{"*"}, Environments: []string{"sandbox"}}, "x", false},
		"the tenant matches":                            {Subscription{Types: []string{"*"}, Tenant: "acme"}, "x", true},
		"another tenant is refused":                     {Subscription{Types: []string{"*"}, Tenant: "globex"}, "x", false},
		"a true condition matches":                      {Subscription{Types: []string{"*"}, When: when("data.n == 5")}, "x", true},
		"a false condition refuses":                     {Subscription{Types: []string{"*"}, When: when("data.n == 6")}, "x", false},
		"a failing condition of another tenant is idle": {Subscription{Types: []string{"*"}, Tenant: "globex", When: bad}, "x", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ev := *ev
			ev.Type = tt.typ
			tt.sub.Endpoint = "a"
			d := mustCompile(t, Config{Subscriptions: []Subscription{tt.sub}}).Match(&ev)
			if got := len(d.Targets) == 1; got != tt.want || d.Undecided {
				t.Errorf("got %v (undecided %v), want %v", got, d.Undecided, tt.want)
			}
		})
	}
}

func TestRouteErrorShowsThePlaceAndNoValues(t *testing.T) {
	t.Parallel()
	s := mustCompile(t, Config{Routes: []Route{
		{Name: "one", When: Expr{"event.type != 'x'\n\t&& int(data.secret) > 1", Pos{"Caddyfile", 7}}, To: to("a")},
		{Name: "two", Pick: Expr{"data.secret", Pos{"Caddyfile", 20}}},
		{Name: "three", When: when("data.secret > 1"), To: to("a")},
		{Name: "four", When: when("cidr(data.secret, '10.0.0.0/8')"), To: to("a")},
		{Name: "five", When: when("fromBase64(data.secret) == ''"), To: to("a")},
		{Name: "six", When: when("data.secret in data.secret"), To: to("a")},
		{Name: "seven", When: when("(data.yes ? data.obj : nil)[data.secret] > 'x'"), To: to("a")},
	}})
	d := s.Match(testEvent())
	want := RouteError{
		Route: "one", Field: "when", Pos: Pos{"Caddyfile", 8}, Held: true,
		Text: "int cannot convert this text\n     && int(data.secret) > 1\n        ^",
	}
	if len(d.Errors) != 6 || d.Errors[0] != want {
		t.Errorf("got %+v\nwant first of six %+v", d.Errors, want)
	}
	for _, e := range d.Errors {
		if strings.Contains(e.Text, "hunter2") {
			t.Errorf("a value is shown: %s", e.Text)
		}
	}
}

func TestAPayloadThatIsNotJSONIsAnErrorForThoseWhoReadIt(t *testing.T) {
	t.Parallel()
	s := mustCompile(t, Config{Routes: []Route{
		{Name: "type", When: when("event.type == 'x'"), To: to("a")},
		{Name: "native", When: when("data.a == nil"), To: to("b")},
		{Name: "machine", When: when("len(data.a) == 0"), To: to("c")},
		{Name: "settled", When: when("data.a == 1 && event.type == 'y'"), To: to("c")},
		{Name: "pick", Pick: when("data.a ?? 'd'")},
	}})
	d := s.Match(&Event{Type: "x", Data: []byte(`{"a":`)})
	if show(d) != "type>a" || len(d.Errors) != 3 {
		t.Errorf("got %s and %+v", show(d), d.Errors)
	}
	for _, e := range d.Errors {
		if !strings.HasPrefix(e.Text, errPayload.msg) {
			t.Errorf("got %q", e.Text)
		}
	}
}

func TestWhatEventFieldsSettleDoesNotDecodeThePayload(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"event.type == 'x' && data.a == 1",
		"data.a == 1 && lower(event.type) == 'x'",
		"data.a == 1 || event.type == 'y'",
		"(data.a == 1 || data.b == 2) && event.type == 'x'",
		"lower(data.a) == 'a' && not (event.type == 'y' || data.c)",
	} {
		c := newExprCompiler()
		cond, found := c.condition(text)
		if found != nil {
			t.Fatal(found)
		}
		m := newMachine(c.plan())
		m.ev = &Event{Type: "y", Data: []byte("{}")}
		m.begin()
		if cond.eval(m); m.extracted {
			t.Errorf("decoded for %s", text)
		}
	}
}

func TestAMachineForgetsTheEvent(t *testing.T) {
	t.Parallel()
	c := newExprCompiler()
	cond, _ := c.condition("data.a == nil && data == nil")
	m := newMachine(c.plan())
	for i, tt := range []struct {
		data string
		want outcome
	}{{`{"a":1}`, isFalse}, {"", isTrue}, {"{", isError}, {"", isTrue}, {`{"a":1}`, isFalse}, {`null`, isTrue}} {
		m.ev = &Event{Data: []byte(tt.data)}
		m.begin()
		if got, _ := cond.eval(m); got != tt.want {
			t.Errorf("event %d: got %s, want %s", i, got, tt.want)
		}
		m.release()
	}
}

func TestNoPayloadMeansEveryPathIsMissing(t *testing.T) {
	t.Parallel()
	s := mustCompile(t, Config{Routes: []Route{
		{Name: "one", When: when("data.a > 1"), To: to("a")}, {Name: "two", When: when("data == nil"), To: to("b")},
	}})
	if d := s.Match(&Event{}); show(d) != "two>b" || d.Errors != nil {
		t.Errorf("got %s and %+v", show(d), d.Errors)
	}
}

func TestMatchFromManyGoroutines(t *testing.T) {
	t.Parallel()
	s := mustCompile(t, Config{Routes: []Route{
		{Name: "one", When: when("any(data.items, .qty == data.n)"), To: to("a backup b")},
		{Name: "two", Pick: when("data.n > 3 ? 'c' : ['d', 'e']")},
		{Name: "three", When: when("data.n == 4 && data.text > 1"), To: to("e")},
	}})
	events := map[string]string{
		`{"n":1,"items":[{"qty":1}]}`: "one>a backup b, two>d backup e",
		`{"n":4,"items":[{"qty":1}]}`: "two>c",
		`{"n":5,"items":[{"qty":5}]}`: "one>a backup b, two>c",
	}
	var wg sync.WaitGroup
	for data, want := range events {
		for range 4 {
			wg.Go(func() {
				for range 200 {
					if got := show(s.Match(&Event{Data: []byte(data)})); got != want {
						t.Errorf("%s: got %s, want %s", data, got, want)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestDigest(t *testing.T) {
	t.Parallel()
	base := func() Config {
		return Config{
			Routes: []Route{
				{Name: "one", When: when("true"), To: to("a backup b", "c")}, {Name: "two", Pick: when("'a'"), Stop: true},
			},
			Subscriptions: []Subscription{{Endpoint: "a", Types: []string{"x", "y"}, Tenant: "t", Environments: []string{"z"}}},
		}
	}
	same := mustCompile(t, base()).Digest()
	if same != "b0b1f30c9ec58174" {
		t.Errorf("the digest of the same rules changed between versions: %s", same)
	}
	moved := base()
	moved.Routes[0].Pos.Line, moved.Routes[0].When.Pos.Line = 7, 8
	if got := mustCompile(t, moved).Digest(); got != same {
		t.Error("moving a route within the file changed the digest")
	}
	for name, change := range map[string]func(*Config){
		"the order of routes": func(c *Config) { slices.Reverse(c.Routes) },
		"a name":              func(c *Config) { c.Routes[0].Name = "uno" },
		"a condition":         func(c *Config) { c.Routes[0].When.Text = "true " },
		"a pick":              func(c *Config) { c.Routes[1].Pick.Text = "'b'" },
		"stop":                func(c *Config) { c.Routes[1].Stop = false },
		"on_error":            func(c *Config) { c.Routes[1].OnError = OnErrorHold },
		"the mode":            func(c *Config) { c.Mode = MatchFirst },
		"the shape of chains": func(c *Config) { c.Routes[0].To = to("a", "b", "c") },
		"the shape of filters": func(c *Config) {
			c.Subscriptions[0].Types, c.Subscriptions[0].Environments = []string{"x"}, []string{"y", "z"}
		},
		"the tenant":    func(c *Config) { c.Subscriptions[0].Tenant = "" },
		"one rule less": func(c *Config) { c.Subscriptions = nil },
	} {
		c := base()
		change(&c)
		if mustCompile(t, c).Digest() == same {
			t.Errorf("%s is not in the digest", name)
		}
	}
}
