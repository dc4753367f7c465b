package jitney_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

func TestALateSubscriberBeginsWithTheLastEventOfEachKey(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		for i, key := range []string{"a", "b", "c", "a"} {
			require.NoError(t, b.Publish(t.Context(), fact{Key: key, N: i}, other{N: i}))
		}
		assert.Equal(t, 4, b.Stats().Retained)
		var late, kin, plain []string
		note := func(list *[]string) func(context.Context, jitney.Event) error {
			return func(_ context.Context, e jitney.Event) error { *list = append(*list, fmt.Sprint(e)); return nil }
		}
		s := jitney.Subscribe(b, "late", func(ctx context.Context, f fact) error { return note(&late)(ctx, f) },
			jitney.WithSticky(), jitney.WithBuffer(1), jitney.WithFilter(func(f fact) bool { return f.Key != "b" }))
		jitney.Subscribe(b, "family", func(ctx context.Context, f family) error { return note(&kin)(ctx, f) }, jitney.WithSticky())
		jitney.Subscribe(b, "plain", note(&plain))
		require.NoError(t, b.Publish(t.Context(), fact{Key: "d", N: 4}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"{c 0 2}", "{a 0 3}", "{d 0 4}"}, late)
		assert.Equal(t, []string{"{b 0 1}", "{c 0 2}", "{a 0 3}", "{3}", "{d 0 4}"}, kin)
		assert.Equal(t, []string{"{d 0 4}"}, plain)
		assert.EqualValues(t, 3, s.Stats().Accepted)
		assert.EqualValues(t, 1, s.Stats().Filtered)
	}, jitney.WithRetained[fact](10), jitney.WithRetained[other](1))
}

func TestTheKeyPublishedLongestAgoIsForgotten(t *testing.T) {
	log := &logged{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		for i, key := range []string{"secret", "b", "secret", "c", "d"} {
			require.NoError(t, b.Publish(t.Context(), fact{Key: key, N: i}))
		}
		var got []int
		jitney.Subscribe(b, "late", func(_ context.Context, f fact) error { got = append(got, f.N); return nil }, jitney.WithSticky())
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{3, 4}, got)
		assert.Equal(t, 2, b.Stats().Retained)
		assert.EqualValues(t, 2, b.Stats().Forgotten)
		assert.Contains(t, log.line("forgotten"), "test.fact")
		assert.NotContains(t, log.line("forgotten"), "secret")
	}, jitney.WithRetained[fact](2), jitney.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
}

func TestOnlyWhatIsPublishedIsRetained(t *testing.T) {
	refuse := jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
		if env.Event.(fact).N == 1 {
			return errBoom
		}
		return nil
	})
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		require.Error(t, b.Publish(t.Context(), fact{N: 0}, fact{N: 1}))
		assert.Zero(t, b.Stats().Retained)

		ctx, cancel := context.WithCancel(t.Context())
		stop := jitney.Subscribe(b, "stop", func(context.Context, fact) error { cancel(); return nil }, jitney.WithSync())
		require.ErrorIs(t, b.Publish(ctx, fact{Key: "in"}, fact{Key: "out"}), context.Canceled)
		require.NoError(t, stop.Close(t.Context()))
		assert.Equal(t, 1, b.Stats().Retained)
	}, jitney.WithRetained[fact](10), refuse)
}

// TestG44LateSubscribers has subscribers come while several publishers count upwards, each under a key of its own. Each
// subscriber must see of each key one number and then all that follow.
func TestG44LateSubscribers(t *testing.T) {
	const publishers, events, subscribers = 4, 400, 24
	for name, opts := range map[string][]jitney.SubscribeOption{
		"queue":    nil,
		"lanes":    {jitney.WithWorkers(3)},
		"filtered": {jitney.WithFilter(func(fact) bool { return true }), jitney.WithFairShare(jitney.FairShare{})},
	} {
		t.Run(name, func(t *testing.T) {
			b := jitney.New(silent, jitney.WithRetained[fact](publishers))
			var published atomic.Int64
			var wg sync.WaitGroup
			for p := range publishers {
				wg.Go(func() {
					for n := range events {
						if err := b.Publish(context.Background(), fact{Key: fmt.Sprint(p), N: n}); err != nil {
							t.Error(err)
						}
						published.Add(1)
					}
				})
			}
			var mu sync.Mutex
			seen := make([]map[string][]int, subscribers)
			for i := range subscribers {
				for published.Load() < int64(i*publishers*events/subscribers/2) {
					b.Stats() // until so many have been published
				}
				seen[i] = make(map[string][]int)
				jitney.Subscribe(b, fmt.Sprint("s", i), func(_ context.Context, f fact) error {
					mu.Lock()
					defer mu.Unlock()
					seen[i][f.Key] = append(seen[i][f.Key], f.N)
					return nil
				}, append(opts, jitney.WithSticky())...)
			}
			wg.Wait()
			require.NoError(t, b.Shutdown(t.Context()))
			for i, keys := range seen {
				assert.Len(t, keys, publishers)
				for key, ns := range keys {
					for j, n := range ns {
						require.Equal(t, ns[0]+j, n, "subscriber %d, key %s, of %v", i, key, ns)
					}
					assert.Equal(t, events-1, ns[len(ns)-1])
				}
			}
		})
	}
}

func TestWhatAFilterPublishesMeanwhileComesToo(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		require.NoError(t, b.Publish(t.Context(), fact{Key: "a", N: 1}))
		once := true
		var got []int
		jitney.Subscribe(b, "late", func(_ context.Context, f fact) error { got = append(got, f.N); return nil },
			jitney.WithSticky(), jitney.WithFilter(func(fact) bool {
				if once {
					once = false
					assert.NoError(t, b.Publish(t.Context(), fact{Key: "a", N: 2}))
				}
				return true
			}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{2}, got, "the one that has replaced it")
	}, jitney.WithRetained[fact](1))
}

func TestRetentionIsWiredWhereItMakesSense(t *testing.T) {
	types := wire.NewTypes()
	journal := jitney.WithJournal(jitneytest.NewMemoryJournal(types))
	event := func(context.Context, jitney.Event) error { return nil }
	for name, c := range map[string]struct {
		wrong    func()
		mentions []string
	}{
		"with a journal":      {func() { jitney.New(journal, jitney.WithRetained[fact](1)) }, []string{"WithRetained", "WithJournal", "fact"}},
		"an interface":        {func() { jitney.New(jitney.WithRetained[family](1)) }, []string{"WithRetained", "family"}},
		"twice":               {func() { jitney.New(jitney.WithRetained[fact](1), jitney.WithRetained[fact](1)) }, []string{"twice"}},
		"no room":             {func() { jitney.WithRetained[fact](0) }, []string{"WithRetained(0)"}},
		"one name, two types": {func() { jitney.New(jitney.WithRetained[fact](1), jitney.WithRetained[impostor](1)) }, []string{"jitney_test.fact", "jitney_test.impostor"}},
		"sticky, no retained": {func() { jitney.Subscribe(jitney.New(silent), "s", event, jitney.WithSticky()) }, []string{"WithSticky", "WithRetained"}},
		"sticky, synchronous": {func() {
			jitney.Subscribe(jitney.New(silent, jitney.WithRetained[fact](1)), "s", ignore, jitney.WithSticky(), jitney.WithSync())
		}, []string{"WithSticky", "WithSync"}},
		"sticky, with journal": {func() { jitney.Subscribe(jitney.New(silent, journal), "s", ignore, jitney.WithSticky()) }, []string{"WithSticky", "FromBeginning"}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				text := fmt.Sprint(recover())
				for _, m := range append(c.mentions, "retain_test.go") {
					assert.Contains(t, text, m)
				}
			}()
			c.wrong()
			t.Error("no panic")
		})
	}
	b := jitney.New(silent, jitney.WithSticky())
	jitney.Subscribe(b, "s", event) // as a default it has no effect where there is none to have
	require.NoError(t, b.Shutdown(t.Context()))
}

func TestAStickySubscriptionWithATakenNameGetsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		jitney.Subscribe(b, "taken", ignore)
		require.NoError(t, b.Publish(t.Context(), fact{}))
		assert.Panics(t, func() {
			jitney.Subscribe(b, "taken", func(context.Context, fact) error { t.Error("called"); return nil }, jitney.WithSticky())
		})
	}, jitney.WithRetained[fact](1))
}

// onRecord is a log handler that does something of its own.
type onRecord func(text string)

func (onRecord) Enabled(context.Context, slog.Level) bool { return true }

func (f onRecord) Handle(_ context.Context, r slog.Record) error { f(r.Message); return nil }

func (f onRecord) WithAttrs([]slog.Attr) slog.Handler { return f }

func (f onRecord) WithGroup(string) slog.Handler { return f }

// The logger is called when an event has been kept, and has not gone to its subscribers yet.
func TestWhoSubscribesWhileAnEventIsPublishedGetsItOnce(t *testing.T) {
	var b *jitney.Bus
	var got []int
	log := onRecord(func(text string) {
		if strings.Contains(text, "forgotten") {
			jitney.Subscribe(b, "late", func(_ context.Context, f fact) error { got = append(got, f.N); return nil }, jitney.WithSticky())
		}
	})
	b = jitney.New(jitney.WithRetained[fact](1), jitney.WithLogger(slog.New(log)))
	for n := range 3 {
		require.NoError(t, b.Publish(t.Context(), fact{Key: fmt.Sprint(n), N: n}))
	}
	require.NoError(t, b.Shutdown(t.Context()))
	assert.Equal(t, []int{1, 2}, got)
}
