package kafkajournal_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/kafkajournal"
)

// none says that c has nothing up to the journal's end.
func none(t *testing.T, p *process, c jitney.Cursor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	end, err := p.End(ctx)
	require.NoError(t, err)
	require.NoError(t, p.Append(ctx, envelope(counted{"last", 0})))
	for {
		entries, through, err := c.Next(ctx, 10)
		require.NoError(t, err)
		for _, e := range entries {
			require.Equal(t, counted{"last", 0}, e.Envelope.Event)
		}
		if through > end {
			return
		}
	}
}

func TestWhatIsNotKnownToBeStoredIsStoredOnceWhenItIsAppendedAgain(t *testing.T) {
	cluster := fake(t)
	p, c, name := opened(t, cluster.ListenAddrs(), kafkajournal.WithPartitions(2))
	for n, batch := range [][]*jitney.Envelope{
		{envelope(counted{"a", 1})},
		{envelope(counted{"a", 2}), envelope(counted{"b", 1}), envelope(counted{"c", 1})},
	} {
		fault := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: name, Err: kerr.NotLeaderForPartition, Count: -1})
		ctx, cancel := context.WithCancel(t.Context())
		appended := make(chan error, 1)
		go func() { appended <- p.Append(ctx, batch...) }()
		require.NoError(t, fault.Wait(t.Context(), 1))
		cancel()
		require.ErrorIs(t, <-appended, jitney.ErrIndeterminate)
		fault.Remove()
		require.NoError(t, p.Append(t.Context(), batch...))
		require.NoError(t, p.Append(t.Context(), batch...))
		require.Len(t, next(t, c, len(batch)), len(batch), n)
	}
	none(t, p, c)
}

func TestG28WhatAFullTopicRefusesIsNotStoredAndItGoesOnWhenThereIsRoom(t *testing.T) {
	cluster := fake(t)
	p, c, name := opened(t, cluster.ListenAddrs(), kafkajournal.WithPartitions(1))
	const events = 10
	for n := range events {
		require.NoError(t, p.Append(t.Context(), envelope(counted{"k", n + 1})))
	}
	full := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: name, Err: kerr.PolicyViolation, Count: -1})
	for range events {
		err := p.Append(t.Context(), envelope(counted{"k", -1}))
		require.ErrorIs(t, err, kerr.PolicyViolation)
		require.NotErrorIs(t, err, jitney.ErrIndeterminate)
	}
	full.Remove()
	since := time.Now()
	require.NoError(t, p.Append(t.Context(), envelope(counted{"k", events + 1})))
	t.Logf("%d acknowledged, %d refused, acknowledged %v after there was room", events+1, events, time.Since(since).Round(time.Millisecond))
	for n, e := range next(t, c, events+1) {
		require.Equal(t, counted{"k", n + 1}, e.Envelope.Event)
	}
	none(t, p, c)
}

func TestABatchOfWhichOneEventIsRefusedIsNotStored(t *testing.T) {
	cluster := fake(t)
	p, c, name := opened(t, cluster.ListenAddrs(), kafkajournal.WithPartitions(5))
	batch := []*jitney.Envelope{envelope(counted{"21", 1}), envelope(counted{"foobar", 1}), envelope(counted{"", 1})}
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: name, Partitions: []int32{0}, Err: kerr.InvalidRecord})
	err := p.Append(t.Context(), batch...)
	require.ErrorIs(t, err, kerr.InvalidRecord)
	require.NotErrorIs(t, err, jitney.ErrIndeterminate)
	none(t, p, c)
	require.NoError(t, p.Append(t.Context(), batch...))
	require.Len(t, next(t, c, 3), 3)
}

func TestABatchWhoseCommitHasNoAnswerIsStoredOnceWhenItIsAppendedAgain(t *testing.T) {
	cluster := fake(t)
	p, c, _ := opened(t, cluster.ListenAddrs(), kafkajournal.WithPartitions(2))
	batch := []*jitney.Envelope{envelope(counted{"a", 1}), envelope(counted{"b", 1})}
	require.NoError(t, p.Append(t.Context(), envelope(counted{"x", 1}), envelope(counted{"x", 2})))
	require.Len(t, next(t, c, 2), 2)
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError, Count: 1})
	err := p.Append(t.Context(), batch...)
	require.ErrorIs(t, err, jitney.ErrIndeterminate)
	require.NoError(t, p.Append(t.Context(), batch...))
	require.Len(t, next(t, c, 2), 2)
	none(t, p, c)
}

func TestEventsAreStoredOnceAndInOrderWhileConnectionsBreak(t *testing.T) {
	p, c, _ := opened(t, fake(t).ListenAddrs(), kafkajournal.WithPartitions(3))
	const publishers, each = 6, 60
	ctx, stop := context.WithCancel(t.Context())
	var cutting, publishing sync.WaitGroup
	stored := make(chan struct{}, publishers*each)
	cutting.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			select {
			case <-stored:
			case <-ctx.Done():
			}
			if n%40 == 20 {
				p.cut(false)
			}
		}
	})
	errs := make([]error, publishers)
	for i := range publishers {
		publishing.Go(func() {
			for n := range each {
				env := envelope(counted{fmt.Sprint(i), n + 1})
				envs := []*jitney.Envelope{env}
				if n%10 == 9 {
					envs = append(envs, envelope(counted{"pair", 0}))
				}
				err := p.Append(ctx, envs...)
				for times := 0; errors.Is(err, jitney.ErrIndeterminate) && times < 10; times++ {
					err = p.Append(ctx, envs...)
				}
				errs[i] = errors.Join(errs[i], err)
				stored <- struct{}{}
			}
		})
	}
	publishing.Wait()
	stop()
	cutting.Wait()
	require.NoError(t, errors.Join(errs...))
	last, pairs := make(map[string]int), 0
	for _, e := range next(t, c, publishers*each*11/10) {
		switch got := e.Envelope.Event.(counted); got.Key {
		case "pair":
			pairs++
		default:
			require.Equal(t, last[got.Key]+1, got.N, got.Key)
			last[got.Key] = got.N
		}
	}
	require.Equal(t, publishers*each/10, pairs)
	none(t, p, c)
}
