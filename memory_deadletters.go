package jitney

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"sync"

	"github.com/google/uuid"
)

// MemoryDeadLetters is a [DeadLetterStore] in memory. The zero value is ready to use; the fields must
// not be changed after first use.
type MemoryDeadLetters struct {
	// Limit is how many letters are kept. Default 10,000.
	Limit int
	// DropOldest makes a full store give up its oldest letter for a new one, and log it. By default a
	// full store refuses, and the delivery waits in its lane until there is room: nothing is lost, and
	// the events behind it wait too.
	DropOldest bool
	// Logger is where a dropped letter is logged. Default slog.Default().
	Logger *slog.Logger

	mu      sync.Mutex
	letters []DeadLetter // by ID
	dropped uint64
}

// Add implements DeadLetterStore.
func (m *MemoryDeadLetters) Add(ctx context.Context, l DeadLetter) error {
	dropped, err := m.add(l)
	if dropped != nil {
		logger := m.Logger
		if logger == nil {
			logger = slog.Default()
		}
		logger.LogAttrs(ctx, slog.LevelError, "jitney: dead letter dropped, the store is full",
			slog.Any("dead_letter", *dropped), slog.Uint64("dropped_in_all", m.Dropped()))
	}
	return err
}

func (m *MemoryDeadLetters) add(l DeadLetter) (dropped *DeadLetter, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, found := m.find(l.ID)
	if found {
		m.letters[i] = copyLetter(l)
		return nil, nil
	}
	limit := m.Limit
	if limit <= 0 {
		limit = 10_000
	}
	if len(m.letters) >= limit {
		if !m.DropOldest {
			return nil, fmt.Errorf("%w: it holds %d", ErrDeadLettersFull, len(m.letters))
		}
		dropped = &DeadLetter{}
		*dropped = m.letters[0]
		m.letters = slices.Delete(m.letters, 0, 1)
		m.dropped++
		i, _ = m.find(l.ID)
	}
	m.letters = slices.Insert(m.letters, i, copyLetter(l))
	return dropped, nil
}

// Get implements DeadLetterStore.
func (m *MemoryDeadLetters) Get(_ context.Context, id uuid.UUID) (DeadLetter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, found := m.find(id)
	if !found {
		return DeadLetter{}, fmt.Errorf("%w: %s", ErrNoDeadLetter, id)
	}
	return copyLetter(m.letters[i]), nil
}

// List implements DeadLetterStore.
func (m *MemoryDeadLetters) List(_ context.Context, f DeadLetterFilter) ([]DeadLetter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	start, found := m.find(f.After)
	if found {
		start++
	}
	var list []DeadLetter
	for _, l := range m.letters[start:] {
		if f.Limit > 0 && len(list) == f.Limit {
			break
		}
		if f.Matches(l) {
			list = append(list, copyLetter(l))
		}
	}
	return list, nil
}

// Count implements DeadLetterStore.
func (m *MemoryDeadLetters) Count(_ context.Context, f DeadLetterFilter) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, l := range m.letters {
		if f.Matches(l) {
			n++
		}
	}
	return n, nil
}

// Remove implements DeadLetterStore.
func (m *MemoryDeadLetters) Remove(_ context.Context, id uuid.UUID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, found := m.find(id)
	if !found {
		return fmt.Errorf("%w: %s", ErrNoDeadLetter, id)
	}
	m.letters = slices.Delete(m.letters, i, i+1)
	return nil
}

// Dropped returns how many letters have gone because of DropOldest.
func (m *MemoryDeadLetters) Dropped() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dropped
}

// find returns where the letter of that id is, or would be. Called with mu held.
func (m *MemoryDeadLetters) find(id uuid.UUID) (int, bool) {
	return sort.Find(len(m.letters), func(i int) int { return bytes.Compare(id[:], m.letters[i].ID[:]) })
}

// copyLetter shares nothing that may be written to but the event itself.
func copyLetter(l DeadLetter) DeadLetter {
	l.History = slices.Clone(l.History)
	l.Envelope, l.Original = copyEnvelope(l.Envelope), copyEnvelope(l.Original)
	return l
}

func copyEnvelope(env *Envelope) *Envelope {
	if env == nil {
		return nil
	}
	c := *env
	c.Headers = maps.Clone(c.Headers)
	return &c
}
