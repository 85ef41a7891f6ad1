package delivery

import "context"

// Stats are the figures of a gateway as a whole.
type Stats struct {
	// Counts of what is kept, by state.
	Counts
	// Store tells what the store costs; nil if it does not say.
	Store *StoreUse
}

// StoreUse is what a store costs since this process opened it.
type StoreUse struct {
	// Kind of the store: embedded, memory.
	Kind string
	// Size is what it takes on disk now, in bytes.
	Size int64
	// Written is the bytes that went to its files, rewriting included, and Syncs how often one of them was synced.
	Written, Syncs uint64
}

// Measured is a store that tells what it costs. Use may be called at any time and costs little.
type Measured interface{ Use() StoreUse }

// Stats counts what the store keeps.
func (e *Engine) Stats(ctx context.Context) (Stats, error) {
	counts, err := e.store.Counts(ctx)
	if err != nil {
		return Stats{}, err
	}
	s := Stats{Counts: counts}
	if m, ok := e.store.(Measured); ok {
		use := m.Use()
		s.Store = &use
	}
	return s, nil
}
