package natsjournal_test

import (
	"testing"

	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
)

// places are the servers that all tests are for.
func places(t *testing.T, f func(t *testing.T, begin func(t testing.TB) *natstest.Place)) {
	t.Run("Embedded", func(t *testing.T) { f(t, natstest.Embedded) })
	t.Run("Server", func(t *testing.T) { f(t, natstest.Real) })
}

func TestJournal(t *testing.T) {
	places(t, func(t *testing.T, begin func(t testing.TB) *natstest.Place) {
		jitneytest.TestJournal(t, func(t *testing.T) jitneytest.JournalStore { return &natstest.Store{Place: begin(t)} })
	})
}
