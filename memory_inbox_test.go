package jitney_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
)

func TestMemoryInboxKeepsTheContract(t *testing.T) {
	jitneytest.TestInbox(t, func(*testing.T) jitney.Inbox { return &jitney.MemoryInbox{} })
}

func runInbox(t *testing.T, in *jitney.MemoryInbox, id int) error {
	t.Helper()
	key := jitney.InboxKey{Subscriber: "s", Business: strconv.Itoa(id)}
	return in.Run(t.Context(), key, func(context.Context) error { return nil })
}

func TestMemoryInboxEvictsTheOldestMarkAtItsLimitAndCounts(t *testing.T) {
	in := &jitney.MemoryInbox{Limit: 2}
	for id := range 3 {
		require.NoError(t, runInbox(t, in, id))
	}
	assert.Equal(t, 2, in.Len())
	assert.EqualValues(t, 1, in.Evicted())
	require.ErrorIs(t, runInbox(t, in, 1), jitney.ErrDuplicate)
	require.ErrorIs(t, runInbox(t, in, 2), jitney.ErrDuplicate)
	assert.NoError(t, runInbox(t, in, 0), "the oldest has been forgotten")
}

func TestMemoryInboxNeverEvictsAKeyThatRuns(t *testing.T) {
	in := &jitney.MemoryInbox{Limit: 1}
	err := in.Run(t.Context(), jitney.InboxKey{Subscriber: "s", Business: "running"}, func(ctx context.Context) error {
		for id := range 5 {
			require.NoError(t, runInbox(t, in, id))
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		err := in.Run(ended, jitney.InboxKey{Subscriber: "s", Business: "running"}, func(context.Context) error {
			t.Error("two ran for one key")
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		return nil
	})
	require.NoError(t, err)
	assert.EqualValues(t, 5, in.Evicted())
}

func TestMemoryInboxForgetsAMarkAtItsMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &jitney.MemoryInbox{MaxAge: time.Hour}
		require.NoError(t, runInbox(t, in, 1))
		time.Sleep(time.Hour - 1)
		require.ErrorIs(t, runInbox(t, in, 1), jitney.ErrDuplicate)
		time.Sleep(time.Nanosecond)
		require.NoError(t, runInbox(t, in, 1))
		assert.Zero(t, in.Evicted(), "age is no eviction")
	})
}
