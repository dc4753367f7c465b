package jitneytest_test

import (
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

type memoryStore struct{ j *jitneytest.MemoryJournal }

func (s *memoryStore) Open(types *wire.Types) (jitney.Journal, error) {
	if s.j == nil {
		s.j = jitneytest.NewMemoryJournal(types)
	}
	s.j.Crash(types)
	return s.j, nil
}

func (s *memoryStore) Close(bool) error { return nil }

func TestMemoryJournalKeepsTheContract(t *testing.T) {
	jitneytest.TestJournal(t, func(*testing.T) jitneytest.JournalStore { return &memoryStore{} })
}
