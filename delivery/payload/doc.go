// Package payload turns what publishers send into what customers receive.
//
// The promise is about bytes. Customers verify a signature over
//
//	JSON.stringify(JSON.parse(body))
//
// so every JSON body that leaves must be its own image under that expression,
// and must mean what the publisher sent. [AppendStable] writes that form and
// refuses, with the place, whatever JavaScript would change: a number it
// cannot print back, a member given twice, half a surrogate pair.
//
//	request ─► SplitArray ─► ParseEnvelope ─► Catalog.Check ─► AppendBody ─► signed, sent
//	           (batches)     (members, data    (type known?     (event, timestamp,
//	                          in stable form)   schema met?)     data)
//
// Each byte of an event is read once by a strict scanner; nothing here uses
// reflection except the schema check of types that have a schema.
//
// All failures that a publisher can cause are an [*Error] with a JSON pointer.
// Functions are safe for concurrent use; a [Catalog] is immutable.
package payload
