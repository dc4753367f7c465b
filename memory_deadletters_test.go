package jitney_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
)

func TestMemoryDeadLettersKeepTheContract(t *testing.T) {
	jitneytest.TestDeadLetterStore(t, func(*testing.T) jitney.DeadLetterStore { return &jitney.MemoryDeadLetters{} })
}

func numberedLetter(n byte) jitney.DeadLetter { return jitney.DeadLetter{ID: uuid.UUID{15: n}} }

func TestFullMemoryDeadLettersRefuseAndLoseNothing(t *testing.T) {
	m := &jitney.MemoryDeadLetters{Limit: 1}
	require.NoError(t, m.Add(t.Context(), numberedLetter(1)))
	require.ErrorIs(t, m.Add(t.Context(), numberedLetter(2)), jitney.ErrDeadLettersFull)
	require.NoError(t, m.Add(t.Context(), numberedLetter(1)), "to replace one needs no room")
	_, err := m.Get(t.Context(), numberedLetter(1).ID)
	require.NoError(t, err)
	assert.Zero(t, m.Dropped())
}

func TestFullMemoryDeadLettersThatDropTheOldestCountAndLogIt(t *testing.T) {
	var log bytes.Buffer
	m := &jitney.MemoryDeadLetters{Limit: 2, DropOldest: true, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	for n := range byte(3) {
		require.NoError(t, m.Add(t.Context(), numberedLetter(n+1)))
	}
	_, err := m.Get(t.Context(), numberedLetter(1).ID)
	require.ErrorIs(t, err, jitney.ErrNoDeadLetter)
	left, err := m.List(t.Context(), jitney.DeadLetterFilter{})
	require.NoError(t, err)
	assert.Len(t, left, 2)
	assert.EqualValues(t, 1, m.Dropped())
	assert.Contains(t, log.String(), numberedLetter(1).ID.String())
}
