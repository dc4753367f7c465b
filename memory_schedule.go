package jitney

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// memorySchedule is the ScheduleStore of a bus without a journal.
type memorySchedule struct {
	mu     sync.Mutex
	list   []Scheduled // by time and ID
	closed bool
}

// maxScheduled is how many events it keeps: some 30 MB, without their payloads.
const maxScheduled = 100_000

func compareScheduled(a, b Scheduled) int {
	return cmp.Or(a.At.Compare(b.At), bytes.Compare(a.ID[:], b.ID[:]))
}

// Schedule implements ScheduleStore.
func (m *memorySchedule) Schedule(_ context.Context, s Scheduled) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch i, there := slices.BinarySearchFunc(m.list, s, compareScheduled); {
	case m.closed:
		return ErrClosed
	case there:
		return ErrIDConflict
	case len(m.list) >= maxScheduled:
		return ErrScheduleFull
	default:
		m.list = slices.Insert(m.list, i, s)
		return nil
	}
}

// Unschedule implements ScheduleStore.
func (m *memorySchedule) Unschedule(_ context.Context, id uuid.UUID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.list, func(s Scheduled) bool { return s.ID == id })
	if i < 0 {
		return ErrNotScheduled
	}
	m.list = slices.Delete(m.list, i, i+1)
	return nil
}

// Scheduled implements ScheduleStore.
func (m *memorySchedule) Scheduled(_ context.Context, most int) ([]Scheduled, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list[:min(len(m.list), max(most, 0))]), nil
}

// close refuses whatever comes from now on, and returns what is there.
func (m *memorySchedule) close() []Scheduled {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return m.list
}
