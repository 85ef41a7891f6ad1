package payload_test

import (
	"fmt"

	"github.com/atoship/caddy-webhooks/delivery/payload"
)

func ExampleAppendStable() {
	out, err := payload.AppendStable(nil, []byte(`{"b": 1.50, "10": "caf\u00e9", "9": 1E2}`))
	fmt.Println(string(out), err)

	_, err = payload.AppendStable(nil, []byte(`{"order": {"id": 9007199254740993}}`))
	fmt.Println(err)
	// Output:
	// {"9":100,"10":"café","b":1.5} <nil>
	// at /order/id (byte 17): JavaScript would read this number as 9007199254740992: send it as a string
}

func ExampleParseEnvelope() {
	e, err := payload.ParseEnvelope([]byte(`{"event": "label.created", "timestamp": "2024-01-15T10:30:00Z", "data": {"label_id": "lbl_abc123"}}`), payload.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(payload.AppendBody(nil, e.Type, e.Timestamp, e.Data)))
	// Output:
	// {"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":{"label_id":"lbl_abc123"}}
}
