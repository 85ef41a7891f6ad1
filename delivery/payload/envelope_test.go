package payload

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEnvelope(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		in   string
		want Envelope
	}{
		"the smallest event": {
			`{"event":"a","data":null}`,
			Envelope{Type: "a", Data: []byte("null")},
		},
		"type is an alias of event": {
			`{"type":"a.b_c-D.9","data":{}}`,
			Envelope{Type: "a.b_c-D.9", Data: []byte("{}")},
		},
		"every member, in any order": {
			` {"tenant":"Acme GmbH","data":{"b":1.0,"1":[ ]},"source":"/shop?a=\"1\"","id":"evt_1-A","environment":"sandbox","timestamp":"2024-01-15T10:30:00Z","event":"label.created"} `,
			Envelope{
				Type: "label.created", Timestamp: "2024-01-15T10:30:00Z", Time: at, ID: "evt_1-A", Environment: "sandbox",
				Tenant: "Acme GmbH", Source: `/shop?a="1"`, Data: []byte(`{"1":[],"b":1}`),
			},
		},
		"the timestamp stays as it was sent": {
			`{"event":"a","timestamp":"2024-01-15t11:30:00.000+01:00","data":"x"}`,
			Envelope{Type: "a", Timestamp: "2024-01-15t11:30:00.000+01:00", Time: at, Data: []byte(`"x"`)},
		},
		"escapes in names and values mean what they say": {
			`{"\u0065vent":"\u0061","data":"\u0061"}`,
			Envelope{Type: "a", Data: []byte(`"a"`)},
		},
		"data may be a number": {`{"event":"a","data":-0}`, Envelope{Type: "a", Data: []byte("0")}},
		"data may be nested to the limit": {
			`{"event":"a","data":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`,
			Envelope{Type: "a", Data: []byte(strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseEnvelope([]byte(c.in), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !got.Time.Equal(c.want.Time) || string(got.Data) != string(c.want.Data) {
				t.Errorf("got time %v and data %s", got.Time, got.Data)
			}
			got.Time, got.Data, c.want.Time, c.want.Data = time.Time{}, nil, time.Time{}, nil
			if got.Type != c.want.Type || got.Timestamp != c.want.Timestamp || got.ID != c.want.ID ||
				got.Environment != c.want.Environment || got.Tenant != c.want.Tenant || got.Source != c.want.Source {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestEnvelopeRefuses(t *testing.T) {
	t.Parallel()
	fixed := Options{Environments: []string{"production", "sandbox"}, Tenant: "acme"}
	for name, c := range map[string]struct {
		in, pointer string
		kind        Kind
		reason      string
	}{
		"nothing":                              {"", "", Syntax, "ends here"},
		"an array":                             {"[]", "", Value, "this is an array, it must be an object"},
		"null":                                 {"null", "", Value, "this is null"},
		"a word that is none":                  {"nix", "", Syntax, "expected an object"},
		"something behind the event":           {`{"event":"a","data":1}1`, "", Syntax, "expected the end"},
		"a second event":                       {`{"event":"a","data":1},{}`, "", Syntax, "expected the end"},
		"an event that does not end":           {`{"event":"a","data":1`, "", Syntax, "expected ',' or '}'"},
		"a comma too many":                     {`{"event":"a","data":1,}`, "", Syntax, "member name"},
		"a missing colon":                      {`{"event" "a"}`, "/event", Syntax, "':'"},
		"no type":                              {`{"data":1}`, "/event", Value, "missing"},
		"no data":                              {`{"event":"a"}`, "/data", Value, "missing"},
		"no members":                           {`{}`, "/event", Value, "missing"},
		"both names of the type":               {`{"event":"a","type":"a","data":1}`, "/type", Value, "alias"},
		"both names the other way round":       {`{"type":"a","event":"a","data":1}`, "/event", Value, "alias"},
		"the type twice":                       {`{"event":"a","event":"a","data":1}`, "/event", Value, "twice"},
		"data twice":                           {`{"event":"a","data":1,"dat\u0061":2}`, "/data", Value, "twice"},
		"an unknown member":                    {`{"event":"a","payload":1}`, "/payload", Value, "no such member"},
		"a member with swapped letters":        {`{"event":"a","dtaa":1}`, "/dtaa", Value, `did you mean "data"?`},
		"a member with a letter too few":       {`{"event":"a","environmen":1}`, "/environmen", Value, `did you mean "environment"?`},
		"a member in another case":             {`{"event":"a","Data":1}`, "/Data", Value, `did you mean "data"?`},
		"a member far from all":                {`{"event":"a","traceparent":"x","data":1}`, "/traceparent", Value, "no such member"},
		"a type that is a number":              {`{"event":7}`, "/event", Value, "this is a number, it must be a string"},
		"a type that is null":                  {`{"event":null}`, "/event", Value, "this is null, it must be a string"},
		"a timestamp that is a number":         {`{"timestamp":1705314600}`, "/timestamp", Value, "a number"},
		"an id that is an object":              {`{"id":{}}`, "/id", Value, "an object"},
		"a tenant that is true":                {`{"tenant":true}`, "/tenant", Value, "true"},
		"a source that is cut off":             {`{"source":`, "/source", Syntax, "ends here"},
		"an empty type":                        {`{"event":""}`, "/event", Value, "1 to 128"},
		"a type with a space":                  {`{"event":"a b"}`, "/event", Value, `not "a b"`},
		"a type beyond ASCII":                  {`{"event":"é"}`, "/event", Value, "1 to 128"},
		"a type with a star":                   {`{"event":"a.*"}`, "/event", Value, "1 to 128"},
		"a type with a line break":             {`{"event":"a\r\nX: y"}`, "/event", Value, `"a\r\nX: y"`},
		"a type of 129 bytes":                  {`{"event":"` + strings.Repeat("a", 129) + `"}`, "/event", Value, "1 to 128"},
		"an empty id":                          {`{"id":""}`, "/id", Value, "1 to 128"},
		"an id with a dot":                     {`{"id":"a.b"}`, "/id", Value, "_-"},
		"an id of 129 bytes":                   {`{"id":"` + strings.Repeat("a", 129) + `"}`, "/id", Value, "1 to 128"},
		"an empty environment":                 {`{"environment":""}`, "/environment", Value, "empty"},
		"an undeclared environment":            {`{"environment":"prodution"}`, "/environment", Value, `did you mean "production"?`},
		"another tenant than the route's":      {`{"tenant":"other"}`, "/tenant", Value, "another tenant"},
		"a source of 257 bytes":                {`{"source":"` + strings.Repeat("a", 257) + `"}`, "/source", Value, "256"},
		"a source with a control character":    {`{"source":"a\u0000b"}`, "/source", Value, "control"},
		"a source with a C1 control character": {"{\"source\":\"a\u0085b\"}", "/source", Value, "control"},
		"a source with DEL":                    {`{"source":"a\u007fb"}`, "/source", Value, "control"},
		"a date without a time":                {`{"timestamp":"2024-01-15"}`, "/timestamp", Value, "RFC 3339"},
		"a number JavaScript changes":          {`{"event":"a","data":{"n":[0,9007199254740993]}}`, "/data/n/1", Value, "send it as a string"},
		"a member of data given twice":         {`{"event":"a","data":{"n":0,"n":0}}`, "/data/n", Value, "twice"},
		"half a surrogate pair in a member":    {`{"event":"a","source":"\ud800"}`, "/source", Value, "surrogate"},
		"half a surrogate pair in a name":      {`{"\ud800":"a"}`, "", Value, "surrogate"},
		"data nested past the limit": {
			`{"event":"a","data":` + strings.Repeat("[", MaxDepth+1), "/data" + strings.Repeat("/0", MaxDepth), Value, "deeper",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseEnvelope([]byte(c.in), fixed)
			mustBe(t, err, c.kind, c.pointer, c.reason)
			if got.Type != "" || got.Data != nil {
				t.Errorf("an error comes with an event: %+v", got)
			}
		})
	}
}

func TestEnvelopeErrorsCountFromTheEvent(t *testing.T) {
	t.Parallel()
	_, err := ParseEnvelope([]byte(` {"event":"a","data":{"a":01}}`), Options{})
	if at := mustBe(t, err, Syntax, "/data/a", "zero"); at != 26 {
		t.Errorf("at byte %d, want 26", at)
	}
}

func TestOptionsAllowWhatTheyName(t *testing.T) {
	t.Parallel()
	in := []byte(`{"event":"a","environment":"sandbox","tenant":"acme","data":1}`)
	for name, c := range map[string]struct {
		o       Options
		pointer string // "" is accepted
	}{
		"no options":               {Options{}, ""},
		"declared":                 {Options{Environments: []string{"sandbox"}}, ""},
		"not declared":             {Options{Environments: []string{"production"}}, "/environment"},
		"fixed to this one":        {Options{Environment: "sandbox", Tenant: "acme"}, ""},
		"fixed to another":         {Options{Environment: "production"}, "/environment"},
		"fixed to another tenant":  {Options{Tenant: "acm"}, "/tenant"},
		"fixed one is undeclared":  {Options{Environment: "sandbox", Environments: []string{"x"}}, "/environment"},
		"names differ in one case": {Options{Tenant: "Acme"}, "/tenant"},
	} {
		e, err := ParseEnvelope(in, c.o)
		if c.pointer != "" {
			mustBe(t, err, Value, c.pointer, "")
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if err := e.Check(c.o); err != nil {
			t.Errorf("%s: the parsed event does not pass Check: %v", name, err)
		}
	}
}

func TestCheckOfAnAssembledEnvelope(t *testing.T) {
	t.Parallel()
	good := Envelope{Type: "com.example.made", Timestamp: "2024-01-15T10:30:00Z", Source: "urn:x"}
	if err := good.Check(Options{}); err != nil || good.Time.Unix() != 1705314600 {
		t.Errorf("%v, time %v", err, good.Time)
	}
	for pointer, e := range map[string]Envelope{
		"/event":       {},
		"/id":          {Type: "a", ID: "a/b"},
		"/timestamp":   {Type: "a", Timestamp: "now"},
		"/environment": {Type: "a", Environment: "\n"},
		"/tenant":      {Type: "a", Tenant: strings.Repeat("x", MaxName+1)},
		"/source":      {Type: "a", Source: "\x7f"},
	} {
		if at := mustBe(t, e.Check(Options{}), Value, pointer, ""); at != -1 {
			t.Errorf("%s: an offset into nothing: %d", pointer, at)
		}
	}
}

func TestTheEnvelopeDoesNotReferToItsSource(t *testing.T) {
	t.Parallel()
	src := []byte(`{"event":"label.created","data":{"a":"bc"},"id":"evt_1"}`)
	e, err := ParseEnvelope(src, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range src {
		src[i] = 'x'
	}
	if e.Type != "label.created" || e.ID != "evt_1" || string(e.Data) != `{"a":"bc"}` {
		t.Errorf("%+v %s", e, e.Data)
	}
	// Appending to Data must not write into anything else either.
	if cap(e.Data) != len(e.Data) {
		t.Errorf("data has room for %d more bytes", cap(e.Data)-len(e.Data))
	}
}

func TestSuggestions(t *testing.T) {
	t.Parallel()
	known := []string{"label.created", "label.voided", "id", "type", strings.Repeat("x", 200)}
	for name, want := range map[string]string{
		"label.createt":          "label.created",
		"lable.created":          "label.created",
		"label.create":           "label.created",
		"labels.created":         "label.created",
		"label_voidet":           "label.voided",
		"tpye":                   "type",
		"ids":                    "id",
		"typ":                    "type",
		"x":                      "",
		"":                       "",
		"order.created":          "",
		strings.Repeat("x", 199): "", // longer than anybody mistypes
		strings.Repeat("x", 128): "",
	} {
		got := didYouMean(name, slices.Values(known))
		if want != "" {
			want = `: did you mean "` + want + `"?`
		}
		if got != want {
			t.Errorf("%.40s: got %q, want %q", name, got, want)
		}
	}
}
