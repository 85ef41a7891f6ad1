package httpapi

import (
	"net/http"
	"strings"

	"github.com/atoship/caddy-webhooks/delivery"
)

// loops tells whether the request is a delivery of a gateway like this one: they carry a mark (RFC 8586), because an
// endpoint that points back at an ingest route would turn one event into an endless stream of them. The header is a list
// of ids, each perhaps with parameters: `a.example, caddy-webhooks; v=1`.
func loops(h http.Header) bool {
	for _, line := range h[delivery.LoopHeader] {
		for item := range strings.SplitSeq(line, ",") {
			id, _, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(id), delivery.LoopToken) {
				return true
			}
		}
	}
	return false
}
