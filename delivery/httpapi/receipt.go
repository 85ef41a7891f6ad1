package httpapi

import "github.com/atoship/caddy-webhooks/delivery"

// appendReceipts writes the answer of ingest: one receipt, or {"events":[…]} for a batch.
func appendReceipts(b []byte, rs []delivery.Receipt, batch bool) []byte {
	if batch {
		b = append(b, `{"events":[`...)
	}
	for i := range rs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendReceipt(b, &rs[i])
	}
	if batch {
		b = append(b, `]}`...)
	}
	return append(b, '\n')
}

// appendReceipt writes one. An event nobody wants has no deliveries: the list is empty, never absent, and so are backups.
func appendReceipt(b []byte, r *delivery.Receipt) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, r.EventID)
	if r.Duplicate {
		b = append(b, `,"duplicate":true,"deliveries":[`...)
	} else {
		b = append(b, `,"duplicate":false,"deliveries":[`...)
	}
	for i, d := range r.Deliveries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":`...)
		b = appendString(b, d.ID)
		b = append(b, `,"endpoint":`...)
		b = appendString(b, d.Chain[0])
		b = append(b, `,"backups":[`...)
		for j, name := range d.Chain[1:] {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendString(b, name)
		}
		b = append(b, `],"route":`...)
		b = appendString(b, d.Route)
		b = append(b, '}')
	}
	return append(b, `]}`...)
}
