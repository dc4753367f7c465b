package jitney_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
)

// mute is a journal that does not say what it can do.
type mute struct{ jitney.Journal }

func TestRequireNamesWhatIsMissing(t *testing.T) {
	nats := jitneytest.Rehearse(t, jitneytest.NATS, known())
	require.NoError(t, jitney.Require(nats, jitney.CanOrderAll, jitney.CanBatch))
	err := jitney.Require(nats, jitney.CanOrderAll, jitney.CanSchedule, jitney.CanTransact)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	assert.ErrorContains(t, err, "*jitneytest.Rehearsal")
	assert.ErrorContains(t, err, ": schedule, transact")
	assert.NotContains(t, err.Error(), "order")
	require.ErrorIs(t, jitney.Require(mute{nats}, jitney.CanBatch), errors.ErrUnsupported)
	require.NoError(t, jitney.Require(mute{nats}))
	require.ErrorIs(t, jitney.Require(nil, jitney.CanReplay), errors.ErrUnsupported, "queues are memory")
}

func TestAJournalThatCannotScheduleIsNotAskedTo(t *testing.T) {
	b := jitney.New(silent, jitney.WithJournal(jitneytest.Rehearse(t, jitneytest.Kafka, known())))
	_, err := b.Schedule(t.Context(), time.Now(), fact{})
	require.ErrorIs(t, err, jitney.ErrNoSchedule)
	assert.Panics(t, func() { b.Recur("tick", jitney.Every(time.Hour), toTheMinute) })
	require.NoError(t, b.Shutdown(context.Background()))
}
