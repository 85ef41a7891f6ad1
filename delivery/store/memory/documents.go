package memory

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/atoship/caddy-webhooks/delivery"
)

// docKey names a document.
type docKey struct{ kind, name string }

// Document implements delivery.Documents.
func (s *Store) Document(ctx context.Context, kind, name string) (delivery.Document, error) {
	if err := s.enter(ctx, "document"); err != nil {
		return delivery.Document{}, err
	}
	defer s.mu.Unlock()
	d, ok := s.documents[docKey{kind, name}]
	if !ok {
		return d, fmt.Errorf("document %s %.40q: %w", kind, name, delivery.ErrNotFound)
	}
	d.Body = bytes.Clone(d.Body)
	return d, nil
}

// ListDocuments implements delivery.Documents.
func (s *Store) ListDocuments(ctx context.Context, kind, after string, limit int) ([]delivery.Document, error) {
	if err := s.enter(ctx, "documents"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var all []delivery.Document
	for k, d := range s.documents {
		if k.kind == kind && k.name > after {
			d.Body = bytes.Clone(d.Body)
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b delivery.Document) int { return strings.Compare(a.Name, b.Name) })
	return all[:min(max(limit, 1), delivery.MaxDocuments, len(all))], nil
}

// PutDocument implements delivery.Documents.
func (s *Store) PutDocument(ctx context.Context, d delivery.Document) (revision uint64, err error) {
	if err := d.Check(); err != nil {
		return 0, err
	}
	if err := s.enter(ctx, "put document"); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	k := docKey{d.Kind, d.Name}
	if err := s.expect(k, d.Revision); err != nil {
		return 0, fmt.Errorf("put document %s %s: %w", d.Kind, d.Name, err)
	}
	s.seq++
	d.Revision, d.Body = s.seq, bytes.Clone(d.Body)
	s.documents[k] = d
	return d.Revision, nil
}

// DeleteDocument implements delivery.Documents.
func (s *Store) DeleteDocument(ctx context.Context, kind, name string, revision uint64) error {
	if err := s.enter(ctx, "delete document"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	k := docKey{kind, name}
	if _, ok := s.documents[k]; !ok {
		return fmt.Errorf("delete document %s %.40q: %w", kind, name, delivery.ErrNotFound)
	}
	if err := s.expect(k, revision); err != nil {
		return fmt.Errorf("delete document %s %s: %w", kind, name, err)
	}
	delete(s.documents, k)
	return nil
}

// expect compares the revision of a document, 0 when there is none, with what a caller thinks it is.
func (s *Store) expect(k docKey, revision uint64) error {
	d, ok := s.documents[k]
	switch {
	case !ok && revision != 0:
		return delivery.ErrNotFound
	case d.Revision != revision:
		return delivery.ErrRevision
	}
	return nil
}
