package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrRevision is the answer to a change of a document that is not at the revision the caller expected. It changed nothing.
var ErrRevision = errors.New("changed by someone else meanwhile")

// Bounds of documents. They are settings, not data: whoever lets people make them bounds how many of a kind there are.
const (
	// MaxDocument bounds a body, in bytes.
	MaxDocument = 64 << 10
	// MaxDocuments and MaxDocumentsBytes bound one page of a listing.
	MaxDocuments      = 1000
	MaxDocumentsBytes = 4 << 20
	// MaxDocumentName bounds Kind and Name, in bytes.
	MaxDocumentName = 255
)

// Document is a small named record that must outlive the process and belongs to no event: an endpoint made by API, a token.
type Document struct {
	// Kind and Name together name it: 1 to MaxDocumentName bytes each, without a NUL.
	Kind, Name string
	// Revision of this content. It grows with every put; no document of the store, not even one put after a delete, ever gets
	// the same again.
	Revision uint64
	// Body is the owner's format; the store does not look into it.
	Body []byte
}

// Documents is the part of a store that settings live in. Changes compare and set: of two callers that read the same
// revision, one wins and the other is told. All methods may be called concurrently; reads see every committed change.
type Documents interface {
	// Document reads one. ErrNotFound: there is none.
	Document(ctx context.Context, kind, name string) (Document, error)
	// ListDocuments lists those of a kind in the order of their names (as bytes), from behind the name after. A page holds
	// at most limit (1 to MaxDocuments) and about MaxDocumentsBytes, so that only an empty one tells the end.
	ListDocuments(ctx context.Context, kind, after string, limit int) ([]Document, error)
	// PutDocument replaces the document at d.Revision, or makes one when that is 0, and returns the new revision. It returns
	// when the change would survive a power cut. ErrRevision: it is at another revision, or exists when it should not.
	// ErrNotFound: it does not exist when it should. ErrTooLarge: past MaxDocument. After ErrUnavailable, or when ctx ends
	// first, the change may be kept or not: read again.
	PutDocument(ctx context.Context, d Document) (revision uint64, err error)
	// DeleteDocument removes the document at that revision; it promises and fails as PutDocument does.
	DeleteDocument(ctx context.Context, kind, name string, revision uint64) error
}

// Check tells whether a store can keep the document.
func (d *Document) Check() error {
	for _, part := range []struct{ what, is string }{{"kind", d.Kind}, {"name", d.Name}} {
		if n := len(part.is); n == 0 || n > MaxDocumentName || strings.IndexByte(part.is, 0) >= 0 {
			return fmt.Errorf("document: a %s of %d bytes, want 1 to %d without a NUL", part.what, n, MaxDocumentName)
		}
	}
	if len(d.Body) > MaxDocument {
		return fmt.Errorf("document %s %s of %d bytes, at most %d: %w", d.Kind, d.Name, len(d.Body), MaxDocument, ErrTooLarge)
	}
	return nil
}
