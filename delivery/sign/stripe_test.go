package sign

import (
	"net/http"
	"testing"
)

// The id decides what is a duplicate: a wrong one loses events.
func TestIDOfAStripeEvent(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, body, want string }{
		{"an event of Stripe's own has its id in the signed body", `{"id":"evt_9","object":"event","type":"x"}`, "evt_9"},
		{"so has its thin form", `{"id":"evt_9","object":"v2.core.event"}`, "evt_9"},
		{"an id in another body is that of something else", `{"id":"ord_9","object":"order"}`, "evt_1"},
		{"a body like ours has none", `{"event":"order.created","data":{"id":"ord_9","object":"event"}}`, "evt_1"},
		{"a body that is no JSON has none", `id=evt_9&object=event`, "evt_1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			secret := Secret{Value: guideSecret}
			h := http.Header{"X-Atoship-Event-Id": {"evt_1"}}
			m := guideMessage()
			m.Body = []byte(c.body)
			if err := signer(t, "stripe", secret).Sign(h, m); err != nil {
				t.Fatal(err)
			}
			id, err := verifier(t, "stripe", secret).Verify(h, m.Body, guideTime)
			if err != nil || id != c.want {
				t.Errorf("id %q, error %v, want %q", id, err, c.want)
			}
		})
	}
}
