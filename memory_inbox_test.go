package jitney_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
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

// Events come about in the order of their IDs, but some much later, some twice, and business keys among them:
// each is handled once.
func TestMemoryInboxKnowsEachKeyWhateverTheOrder(t *testing.T) {
	in := &jitney.MemoryInbox{}
	rng := rand.New(rand.NewPCG(1, 2))
	handled := make(map[jitney.InboxKey]bool)
	for n := range 20_000 {
		at := n
		switch rng.IntN(10) {
		case 0:
			at -= rng.IntN(200)
		case 1:
			at = rng.IntN(n + 1)
		}
		key := jitney.InboxKey{Subscriber: []string{"a", "b"}[rng.IntN(2)]}
		if rng.IntN(20) == 0 {
			key.Business = strconv.Itoa(at)
		} else {
			binary.BigEndian.PutUint64(key.Event[8:], uint64(max(at, 0))+1)
		}
		err := in.Run(t.Context(), key, func(context.Context) error { return nil })
		if handled[key] {
			require.ErrorIs(t, err, jitney.ErrDuplicate, n)
		} else {
			require.NoError(t, err, n)
		}
		handled[key] = true
	}
	assert.Equal(t, len(handled), in.Len())
}

func TestMemoryInboxLimitIsEachSubscribersOwn(t *testing.T) {
	in := &jitney.MemoryInbox{Limit: 3}
	run := func(subscriber string, id byte) error {
		key := jitney.InboxKey{Subscriber: subscriber, Event: uuid.UUID{id}}
		return in.Run(t.Context(), key, func(context.Context) error { return nil })
	}
	require.NoError(t, run("quiet", 1))
	for id := range byte(100) {
		require.NoError(t, run("busy", id))
	}
	require.ErrorIs(t, run("quiet", 1), jitney.ErrDuplicate)
	require.ErrorIs(t, run("busy", 97), jitney.ErrDuplicate)
	require.NoError(t, run("busy", 96))
	assert.EqualValues(t, 98, in.Evicted())
	assert.Equal(t, 4, in.Len())
}

// Marks of one moment in disorder: age is looked at one by one.
func TestMemoryInboxForgetsByAgeAlsoInDisorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := &jitney.MemoryInbox{MaxAge: time.Hour}
		run := func(id byte) error {
			return in.Run(t.Context(), jitney.InboxKey{Subscriber: "s", Event: uuid.UUID{id}}, func(context.Context) error { return nil })
		}
		require.NoError(t, run(9))
		time.Sleep(time.Minute)
		require.NoError(t, run(3)) // stands before 9, and is younger
		time.Sleep(time.Hour - time.Minute)
		require.ErrorIs(t, run(3), jitney.ErrDuplicate)
		require.NoError(t, run(9), "an hour old")
		require.Equal(t, 2, in.Len(), "and not marked twice")
		require.ErrorIs(t, run(9), jitney.ErrDuplicate)
		time.Sleep(time.Hour)
		assert.NoError(t, run(3))
		assert.NoError(t, run(9))
		assert.Equal(t, 2, in.Len())
	})
}
