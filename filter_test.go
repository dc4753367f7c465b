package jitney_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

func even(f fact) bool { return f.N%2 == 0 }

func TestG43Filters(t *testing.T) {
	for name, opts := range map[string][]jitney.SubscribeOption{
		"queue":       nil,
		"lanes":       {jitney.WithWorkers(2)},
		"synchronous": {jitney.WithSync()},
		"fair":        {jitney.WithFairShare(jitney.FairShare{})},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				var got []int
				s := jitney.Subscribe(b, "even", func(_ context.Context, f fact) error { got = append(got, f.N); return nil },
					append(opts, jitney.WithFilter(even), jitney.WithFilter(func(e jitney.Event) bool { return e.(fact).N > 0 }))...)
				rest := jitney.Subscribe(b, "all", ignore)
				for n := range 5 {
					require.NoError(t, b.Publish(t.Context(), fact{N: n}))
				}
				require.NoError(t, b.Flush(t.Context()))
				assert.Equal(t, []int{2, 4}, got, "both filters have agreed")
				assert.EqualValues(t, 2, s.Stats().Accepted)
				assert.EqualValues(t, 3, s.Stats().Filtered)
				assert.EqualValues(t, 5, rest.Stats().Handled)
				assert.EqualValues(t, 3, b.Stats().Filtered)
				assert.Empty(t, b.Stats().Unheard)
			})
		})
	}
}

func TestAFilterOfTheBusJudgesAllEvents(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "all", func(context.Context, jitney.Event) error { return nil })
		require.NoError(t, b.Publish(t.Context(), fact{}, other{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 1, s.Stats().Handled)
	}, jitney.WithFilter(func(e jitney.Event) bool { return e.EventType() == "test.other" }))
}

func TestAnEventWhoseFilterPanicsIsDelivered(t *testing.T) {
	log := &logged{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "s", ignore, jitney.WithFilter(func(f fact) bool {
			if f.N == 1 {
				panic("filter panics")
			}
			return false
		}))
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}, fact{N: 2}))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 1, s.Stats().Handled)
		assert.EqualValues(t, 1, s.Stats().Filtered)
		assert.EqualValues(t, 1, b.Stats().FilterErrors)
		assert.Contains(t, log.line("filter failed"), "subscriber=s")
		assert.Contains(t, log.line("filter failed"), "filter panics")
	}, jitney.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
}

func TestNobodyAsksAFilterOfWhatIsAddressed(t *testing.T) {
	letters := &jitney.MemoryDeadLetters{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		open, broken := true, true
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error {
			if broken {
				return errBoom
			}
			return nil
		}, jitney.WithFilter(func(fact) bool { return open }), jitney.WithDeadLetters(letters))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		open, broken = false, false
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.NoError(t, b.Redeliver(t.Context(), list[0]))
		require.NoError(t, b.Forward(t.Context(), list[0].Envelope, "s"))
		require.NoError(t, b.Forward(t.Context(), list[0].Envelope))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 2, s.Stats().Handled)
		assert.EqualValues(t, 1, s.Stats().Filtered)
	})
}

func TestADurableSubscriptionSettlesWhatItFiltersOut(t *testing.T) {
	types := wire.NewTypes()
	wire.Register[fact](types)
	j := jitneytest.NewMemoryJournal(types)
	for _, want := range []int{2, 3} {
		b := jitney.New(silent, jitney.WithJournal(j))
		var got []int
		s := jitney.Subscribe(b, "even", func(_ context.Context, f fact) error { got = append(got, f.N); return nil },
			jitney.WithFilter(even), jitney.WithStart(jitney.FromBeginning()))
		all := want // 4 events, then 6 more: none of the filtered ones comes again
		for n := range 2 * all {
			require.NoError(t, b.Publish(t.Context(), fact{N: n}))
		}
		require.NoError(t, b.Flush(t.Context()))
		require.NoError(t, b.Shutdown(t.Context()))
		assert.Len(t, got, want)
		assert.EqualValues(t, want, s.Stats().Filtered)
		assert.EqualValues(t, want, s.Stats().Accepted)
	}
}

func TestAFilterFitsItsSubscription(t *testing.T) {
	b := jitney.New(silent)
	defer func() { require.NoError(t, b.Shutdown(t.Context())) }()
	jitney.Subscribe(b, "family", func(context.Context, family) error { return nil }, jitney.WithFilter(func(family) bool { return true }))
	jitney.Subscribe(b, "member", ignore, jitney.WithFilter(func(family) bool { return true }))
	for name, wrong := range map[string]func(){
		"another type": func() { jitney.Subscribe(b, "x", ignore, jitney.WithFilter(func(other) bool { return true })) },
		"one of many": func() {
			jitney.Subscribe(b, "x", func(context.Context, jitney.Event) error { return nil }, jitney.WithFilter(even))
		},
		"nil": func() { jitney.WithFilter[fact](nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				text := fmt.Sprint(recover())
				assert.Contains(t, text, "WithFilter")
				assert.Contains(t, text, "filter_test.go")
			}()
			wrong()
			t.Error("no panic")
		})
	}
}
