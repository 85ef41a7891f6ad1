package atoship_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// event is an entry of the catalog file; see "Catalog file" in the documentation of the `catalog` option.
type event struct {
	Type    string          `json:"type"`
	Group   string          `json:"group"`
	Trigger string          `json:"trigger"`
	Example json.RawMessage `json:"example"`
	Schema  json.RawMessage `json:"schema"`
}

func readCatalog(t *testing.T) []event {
	t.Helper()
	text, err := os.ReadFile("events.json")
	if err != nil {
		t.Fatal(err)
	}
	var catalog struct {
		Events []event `json:"events"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&catalog); err != nil {
		t.Fatal(err)
	}
	return catalog.Events
}

// compile a schema, with formats such as date-time asserted as the gateway's users would expect of their examples.
func compile(t *testing.T, e event) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("memory:"+e.Type, document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("memory:" + e.Type)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t *testing.T, s *jsonschema.Schema, data string) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(value) //nolint:wrapcheck // the test reads it
}

func TestTheCatalogIsTheGuidesTable(t *testing.T) {
	t.Parallel()
	want := []struct{ group, name, trigger string }{
		{"Shipping", "label.created", "Label generated"},
		{"Shipping", "label.voided", "Label canceled"},
		{"Shipping", "shipment.in_transit", "Package picked up"},
		{"Shipping", "shipment.delivered", "Package delivered"},
		{"Shipping", "shipment.exception", "Delivery issue"},
		{"Order", "order.imported", "New order received"},
		{"Order", "order.fulfilled", "Order shipped"},
		{"Order", "order.canceled", "Order canceled"},
	}
	events := readCatalog(t)
	if len(events) != len(want) {
		t.Fatalf("%d events, the guide has %d", len(events), len(want))
	}
	for i, w := range want {
		if e := events[i]; e.Group != w.group || e.Type != w.name || e.Trigger != w.trigger {
			t.Errorf("event %d is %s, %s, %q; the guide says %v", i, e.Group, e.Type, e.Trigger, w)
		}
	}
}

func TestEachExampleMeetsItsSchema(t *testing.T) {
	t.Parallel()
	for _, e := range readCatalog(t) {
		t.Run(e.Type, func(t *testing.T) {
			t.Parallel()
			schema := compile(t, e)
			if err := validate(t, schema, string(e.Example)); err != nil {
				t.Error(err)
			}
			more := `{"member_of_a_later_version":[1],` + strings.TrimPrefix(strings.TrimSpace(string(e.Example)), "{")
			if err := validate(t, schema, more); err != nil {
				t.Errorf("a member that the schema does not know: %v", err)
			}
			if err := validate(t, schema, `{}`); err == nil {
				t.Error("an empty object passes: the schema requires nothing")
			}
		})
	}
}

func TestTheSchemasRefuse(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, event, data string }{
		{"a label without its id", "label.created", `{"carrier":"USPS"}`},
		{"an id of the wrong type", "label.created", `{"label_id":7}`},
		{"a status outside the tracking flow", "shipment.in_transit", `{"tracking_number":"9400111899223","status":"lost"}`},
		{"an exception without a reason", "shipment.exception", `{"tracking_number":"9400111899223"}`},
		{"a reason that is none of the guide's", "shipment.exception", `{"tracking_number":"9400111899223","reason":"rain"}`},
		{"a quantity of nothing", "order.imported", `{"order_id":"ord_xyz789","items":[{"sku":"MUG","quantity":0}]}`},
	}
	schemas := map[string]*jsonschema.Schema{}
	for _, e := range readCatalog(t) {
		schemas[e.Type] = compile(t, e)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := validate(t, schemas[c.event], c.data); err == nil {
				t.Errorf("%s accepts %s", c.event, c.data)
			}
		})
	}
}

func TestTheTrackingFlowAndItsExceptionsAreTheGuides(t *testing.T) {
	t.Parallel()
	flow := []string{"accepted", "in_transit", "out_for_delivery", "delivered"}
	for _, e := range readCatalog(t) {
		var member string
		var words []string
		switch e.Type {
		case "shipment.in_transit", "shipment.delivered":
			member, words = "status", flow
		case "shipment.exception":
			member, words = "reason", []string{"delivery_attempted", "address_issue", "package_held", "returned_to_sender"}
		default:
			continue
		}
		schema := compile(t, e)
		for _, word := range words {
			if err := validate(t, schema, `{"tracking_number":"9400111899223","`+member+`":"`+word+`"}`); err != nil {
				t.Errorf("%s with %s %s: %v", e.Type, member, word, err)
			}
		}
	}
}
