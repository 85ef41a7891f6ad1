package rules

import (
	"errors"
	"strings"
	"testing"
)

func TestKeyOfAnEvent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ expr, data, want, err string }{
		"a member":                      {"data.tracking_number", `{"tracking_number":"1Z"}`, "1Z", ""},
		"two members":                   {`event.tenant + "/" + data.order`, `{"order":"o1"}`, "acme/o1", ""},
		"a missing member":              {"data.tracking_number", `{}`, "", ""},
		"null":                          {"data.id", `{"id":null}`, "", ""},
		"a number made a string":        {"string(data.id)", `{"id":42}`, "42", ""},
		"a number":                      {"data.id", `{"id":42}`, "", "not a string"},
		"an operation that does not go": {`data.a + "x"`, `{"a":{}}`, "", "+"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, err := CompileKey("endpoint a", "ordered_by", Expr{Text: c.expr})
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.Of(&Event{Tenant: "acme", Data: []byte(c.data)})
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("key %q, error %v", got, err)
			}
		})
	}
}

func TestKeyThatIsNoStringIsRefused(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`data.a == 1`: "ordered_by must give a string",
		`event.typ`:   "type",
		`data.a +`:    "^",
	} {
		_, err := CompileKey("endpoint a", "ordered_by", Expr{Text: expr, Pos: Pos{File: "Caddyfile", Line: 7}})
		if found, ok := errors.AsType[Diagnostics](err); !ok || !strings.Contains(err.Error(), want) || found[0].Pos.Line != 7 {
			t.Errorf("%s: %v", expr, err)
		}
	}
}
