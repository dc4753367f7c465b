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

type memorySchedule struct{ memoryStore }

func (s *memorySchedule) Open(types *wire.Types) (jitney.ScheduleStore, error) {
	_, err := s.memoryStore.Open(types)
	return s.j, err
}

func (s *memorySchedule) Close() error { return nil }

func TestMemoryJournalKeepsTheContractOfASchedule(t *testing.T) {
	jitneytest.TestScheduleStore(t, func(*testing.T) jitneytest.ScheduleOpener { return &memorySchedule{} })
}
