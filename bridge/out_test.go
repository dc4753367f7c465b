package bridge_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/bridge"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

func TestEventLeavesAsItIsButForVia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop", jitney.WithPublishHook(func(_ context.Context, env *jitney.Envelope) error {
			env.Headers = map[string]string{"tenant": "a"}
			return nil
		}))
		here := listen(shop.Bus)
		out := bridge.Out[order](shop.to(engine, "ORDERS"), "out")
		require.NoError(t, shop.Publish(jitney.ContextWithCorrelation(t.Context(), "flow"), placed{"1", 1}))
		settle(t, out)
		require.Len(t, here.all(), 1)
		was := here.all()[0]
		assert.Equal(t, map[string]string{"tenant": "a"}, was.Headers, "the bus's own is shared, and not changed")
		want := *was
		want.Headers = map[string]string{"tenant": "a", bridge.Via: "shop"}
		got := stored(t, engine)
		require.Len(t, got, 1)
		assert.True(t, want.Time.Equal(got[0].Time))
		want.Time = got[0].Time
		assert.Equal(t, want, *got[0])
		assert.Equal(t, bridge.Stats{Crossed: 1}, out.Stats())
		end(t, []*bridge.Way{out}, shop)
	})
}

func TestOnlyTheChosenTypesCross(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop")
		one := bridge.Out[paid](shop.to(engine, "ORDERS"), "by-type")
		named := bridge.Out[jitney.Event](shop.to(engine, "NAMED"), "by-name", bridge.Types("orders.placed", "other"))
		require.NoError(t, shop.Publish(t.Context(), placed{"1", 1}, paid{2}, jitney.RawEvent{Type: "other", Version: 1, Data: []byte("3")}))
		settle(t, one, named)
		var types []string
		for _, env := range stored(t, engine) {
			types = append(types, env.Type+" "+env.Headers[bridge.Via])
		}
		assert.ElementsMatch(t, []string{"orders.paid shop", "orders.placed shop", "other shop"}, types)
		assert.EqualValues(t, 1, named.Subscription.Stats().Skipped)
		end(t, []*bridge.Way{one, named}, shop)
	})
}

// The engine is down for an hour. Everything waits, in order, and nothing dies.
func TestOutIsPatientThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outbox := jitneytest.NewMemoryJournal(types())
		engine, shop := newFaulty(), newPlace("shop", jitney.WithJournal(outbox))
		out := bridge.Out[order](shop.to(engine, "ORDERS"), "out", jitney.WithBuffer(10))
		engine.down.Store(true)
		var want []int
		for n := range 100 {
			require.NoError(t, shop.Publish(t.Context(), placed{"1", n}), "the outbox takes it on")
			want = append(want, n)
		}
		time.Sleep(time.Hour)
		s := out.Stats()
		assert.Zero(t, s.Crossed+s.Refused)
		assert.Positive(t, s.Failed)
		assert.Positive(t, s.Waiting)
		engine.down.Store(false)
		time.Sleep(time.Minute)
		assert.Equal(t, want, numbersOf(stored(t, engine)))
		end(t, []*bridge.Way{out}, shop)
	})
}

func TestWhatIsNotKnownToBeStoredIsSentAgainAndStoredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop")
		out := bridge.Out[order](shop.to(engine, "ORDERS"), "out")
		engine.mute.Store(true)
		require.NoError(t, shop.Publish(t.Context(), placed{"1", 1}, placed{"1", 2}))
		time.Sleep(time.Minute)
		engine.mute.Store(false)
		settle(t, out)
		assert.Equal(t, []int{1, 2}, numbersOf(stored(t, engine)))
		assert.Greater(t, engine.stores.Load(), int64(2))
		end(t, []*bridge.Way{out}, shop)
	})
}

// The process dies again and again, between storing in the engine and settling in the outbox as well.
func TestOutGoesOnAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outbox, engine := jitneytest.NewMemoryJournal(types()), newFaulty()
		var want []int
		for life := range 5 {
			shop := newPlace("shop", jitney.WithJournal(outbox))
			bridge.Out[order](shop.to(engine, "ORDERS"), "out")
			for n := range 10 {
				if n == 5 {
					synctest.Wait()
					engine.mute.Store(true) // from here on it stores, and nobody knows
				}
				want = append(want, 10*life+n)
				require.NoError(t, shop.Publish(t.Context(), placed{"1", 10*life + n}))
			}
			synctest.Wait()
			outbox.Crash(types())
			engine.mute.Store(false)
			dead, cancel := context.WithCancel(t.Context())
			cancel()
			_ = shop.Shutdown(dead) // what it still settles is forgotten
		}
		shop := newPlace("shop", jitney.WithJournal(outbox))
		out := bridge.Out[order](shop.to(engine, "ORDERS"), "out")
		settle(t, out)
		assert.Equal(t, want, numbersOf(stored(t, engine)))
		assert.Zero(t, out.Stats().Refused)
		end(t, []*bridge.Way{out}, shop)
	})
}

// Each attempt may fail. What comes out is in the order of each key.
func TestLanesKeepTheOrderOfEachKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop", jitney.WithJournal(jitneytest.NewMemoryJournal(types())))
		engine.fail.Store(func(*jitney.Envelope) error {
			if rand.IntN(3) == 0 {
				return errBoom
			}
			return nil
		})
		out := bridge.Out[order](shop.to(engine, "ORDERS"), "out", jitney.WithWorkers(8))
		for n := range 200 {
			require.NoError(t, shop.Publish(t.Context(), placed{fmt.Sprint(n % 7), n}))
		}
		settle(t, out)
		next := make(map[string]int)
		all := stored(t, engine)
		require.Len(t, all, 200)
		for _, env := range all {
			p := env.Event.(placed)
			assert.Equal(t, next[env.Key], p.N/7, "key %s", env.Key)
			next[env.Key]++
		}
		end(t, []*bridge.Way{out}, shop)
	})
}

func TestWhatTheEngineWillNeverTakeIsADeadLetter(t *testing.T) {
	for name, why := range map[string]error{
		"conflict": jitney.ErrIDConflict, "payload": wire.ErrPayloadTooLarge, "headers": wire.ErrHeadersTooLarge,
		"header": wire.ErrInvalidHeader, "encoding": wire.ErrEncode, "engine's own": jitney.Permanent(errBoom),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine, shop := newFaulty(), newPlace("shop")
				letters := &jitney.MemoryDeadLetters{}
				engine.fail.Store(func(env *jitney.Envelope) error {
					if env.Event == (placed{"1", 2}) {
						return fmt.Errorf("engine: %w", why)
					}
					return nil
				})
				out := bridge.Out[order](shop.to(engine, "ORDERS"), "out", jitney.WithDeadLetters(letters))
				require.NoError(t, shop.Publish(t.Context(), placed{"1", 1}, placed{"1", 2}, placed{"1", 3}))
				settle(t, out)
				assert.Equal(t, []int{1, 3}, numbersOf(stored(t, engine)))
				assert.Equal(t, bridge.Stats{Crossed: 2, Refused: 1}, out.Stats())
				list, err := letters.List(t.Context(), jitney.DeadLetterFilter{Subscriber: "out"})
				require.NoError(t, err)
				require.Len(t, list, 1)
				assert.Equal(t, 1, list[0].Attempts)
				assert.Empty(t, list[0].Envelope.Headers, "the letter has the event as it was here")

				engine.fail.Store(func(*jitney.Envelope) error { return nil })
				require.NoError(t, out.Bus().Redeliver(t.Context(), list[0]))
				assert.Equal(t, []int{1, 3, 2}, numbersOf(stored(t, engine)))
				end(t, []*bridge.Way{out}, shop)
			})
		})
	}
}

// What a middleware has taken out must not leave.
func TestWhatAMiddlewareMakesOfAnEventLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop")
		out := bridge.Out[placed](shop.to(engine, "ORDERS"), "out", jitney.WithMiddleware(func(next jitney.Handler) jitney.Handler {
			return func(ctx context.Context, e jitney.Event) error { return next(ctx, placed{"hidden", e.(placed).N}) }
		}))
		require.NoError(t, shop.Publish(t.Context(), placed{"1", 1}))
		settle(t, out)
		assert.Equal(t, placed{"hidden", 1}, stored(t, engine)[0].Event)
		end(t, []*bridge.Way{out}, shop)
	})
}

func TestOutIsGivenUpWhenToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop")
		engine.down.Store(true)
		out := bridge.Out[order](shop.to(engine, "ORDERS"), "out", jitney.WithRetry(jitney.Retry{Attempts: 3}))
		require.NoError(t, shop.Publish(t.Context(), placed{"1", 1}))
		settle(t, out)
		assert.Equal(t, bridge.Stats{Refused: 1, Failed: 2}, out.Stats())
		end(t, []*bridge.Way{out}, shop)
	})
}
