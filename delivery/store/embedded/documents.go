package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

func documentPrefix(kind string) []byte { return append(namedKey(kindDocument, kind), 0) }

func documentKey(kind, name string) []byte { return append(documentPrefix(kind), name...) }

func encodeDocument(d *delivery.Document) []byte {
	b := binary.AppendUvarint(newRecord(10+len(d.Body)), d.Revision)
	return putString(b, d.Body)
}

// decodeDocument reads a document; its kind and name are those of the key.
func decodeDocument(key, val []byte) (d delivery.Document, err error) {
	rec, err := open(key, val)
	if err != nil {
		return d, err
	}
	kind, name, _ := bytes.Cut(key[1:], []byte{0})
	d.Kind, d.Name = string(kind), string(name)
	d.Revision, d.Body = rec.uint(), bytes.Clone(rec.bytes())
	return d, rec.err()
}

// Document implements delivery.Documents.
func (s *Store) Document(ctx context.Context, kind, name string) (delivery.Document, error) {
	c, done, err := s.view(ctx, "document")
	if err != nil {
		return delivery.Document{}, err
	}
	defer done()
	key := documentKey(kind, name)
	d, err := getRow(c, key, decodeDocument)
	if errors.Is(err, pebble.ErrNotFound) {
		err = delivery.ErrNotFound
	} else if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		s.bad.noteKey(s, c, key, err)
	}
	if err != nil {
		return delivery.Document{}, c.readError(fmt.Sprintf("document %s %.40q", kind, name), err)
	}
	return d, nil
}

// ListDocuments implements delivery.Documents. A corrupt one is noted and left out.
func (s *Store) ListDocuments(ctx context.Context, kind, after string, limit int) ([]delivery.Document, error) {
	c, done, err := s.view(ctx, "documents")
	if err != nil {
		return nil, err
	}
	defer done()
	end := append(namedKey(kindDocument, kind), 1)
	it, err := c.scan(append(documentKey(kind, after), 0), end)
	if err != nil {
		return nil, c.readError("documents", err)
	}
	defer it.Close()
	var page []delivery.Document
	size := 0
	limit = min(max(limit, 1), delivery.MaxDocuments)
	for ok := it.First(); ok && len(page) < limit && size < delivery.MaxDocumentsBytes; ok = it.Next() {
		val, err := value(it)
		if err != nil {
			return nil, c.readError("documents", err)
		}
		d, err := decodeDocument(it.Key(), val)
		if err != nil {
			s.bad.note(s, it.Key(), val, err)
			continue
		}
		page, size = append(page, d), size+len(d.Body)
	}
	return page, c.readError("documents", it.Error())
}

// documentOp is one PutDocument or DeleteDocument. The committer compares, so that nothing can come in between.
type documentOp struct {
	call

	d      delivery.Document // Revision is the expected one, and after the build the new one
	remove bool
}

// PutDocument implements delivery.Documents.
func (s *Store) PutDocument(ctx context.Context, d delivery.Document) (revision uint64, err error) {
	if err := d.Check(); err != nil {
		return 0, err
	}
	d.Body = bytes.Clone(d.Body) // ctx may end before the committer has written it
	o := &documentOp{call: newCall(), d: d}
	if err := s.changeDocument(ctx, o); err != nil {
		return 0, fmt.Errorf("put document %s %s: %w", d.Kind, d.Name, err)
	}
	return o.d.Revision, nil
}

// DeleteDocument implements delivery.Documents.
func (s *Store) DeleteDocument(ctx context.Context, kind, name string, revision uint64) error {
	o := &documentOp{call: newCall(), d: delivery.Document{Kind: kind, Name: name, Revision: revision}, remove: true}
	if err := s.changeDocument(ctx, o); err != nil {
		return fmt.Errorf("delete document %s %.40q: %w", kind, name, err)
	}
	return nil
}

func (s *Store) changeDocument(ctx context.Context, o *documentOp) error {
	if err := s.submit(ctx, o); err != nil {
		return err
	}
	return s.await(ctx, &o.call)
}

func (o *documentOp) size() (rows, bytes int) { return 1, len(o.d.Body) }
func (*documentOp) lazy() bool                { return false }
func (o *documentOp) done(err error)          { o.finish(err) }

// build compares and writes. A revision is a sequence number of its own, so that none is ever given twice.
func (o *documentOp) build(tx *tx) error {
	key := documentKey(o.d.Kind, o.d.Name)
	at, err := tx.documentRevision(key)
	switch {
	case err != nil:
		return tx.conn.readError("compare its revision", err)
	case at == 0 && (o.remove || o.d.Revision != 0):
		return delivery.ErrNotFound
	case at != o.d.Revision:
		return delivery.ErrRevision
	}
	if tx.documents == nil {
		tx.documents = map[string]uint64{}
	}
	if o.remove {
		remove(tx.b, key)
		tx.documents[string(key)] = 0
		return nil
	}
	tx.seq++
	tx.totals = true
	o.d.Revision = tx.seq
	put(tx.b, key, encodeDocument(&o.d))
	tx.documents[string(key)] = tx.seq
	return nil
}

// documentRevision is that of a document after what the commit did so far; 0 when there is none. One that cannot be read is
// as good as none: it is set aside, so that its owner can put it anew.
func (tx *tx) documentRevision(key []byte) (uint64, error) {
	if at, ok := tx.documents[string(key)]; ok {
		return at, nil
	}
	d, err := getRow(tx.conn, key, decodeDocument)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		tx.bad.noteKey(tx.Store, tx.conn, key, err)
		return 0, nil
	}
	return d.Revision, err
}

// newestRevision is the highest revision of all documents.
func newestRevision(c *conn) (newest uint64, err error) {
	it, err := c.scan([]byte{kindDocument}, []byte{kindDocument + 1})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		val, err := value(it)
		if err != nil {
			return 0, err
		}
		if d, err := decodeDocument(it.Key(), val); err == nil {
			newest = max(newest, d.Revision)
		}
	}
	return newest, it.Error()
}
