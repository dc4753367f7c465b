package bridge_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/bridge"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

// foreign is an event that somebody without a bridge has stored in an engine.
func foreign(e jitney.Event) *jitney.Envelope {
	env := &jitney.Envelope{ID: uuid.Must(uuid.NewV7()), Type: e.EventType(), Version: 1, Time: time.Now(), Event: e}
	if k, ok := e.(interface{ EventKey() string }); ok {
		env.Key = k.EventKey()
	}
	return env
}

// arrive stores placed events in an engine.
func arrive(t *testing.T, engine jitney.Journal, ns ...int) {
	t.Helper()
	for _, n := range ns {
		require.NoError(t, engine.Append(t.Context(), foreign(placed{fmt.Sprint(n % 3), n})))
	}
}

func TestEventComesInAsItWasButForVia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop")
		here := listen(shop.Bus)
		in := bridge.In[order](shop.to(engine, "ORDERS"), "in")
		was := foreign(paid{1})
		was.Source, was.Correlation, was.CausationID, was.Hops = "elsewhere", "flow", uuid.New(), 3
		was.Headers = map[string]string{"tenant": "a", bridge.Via: "elsewhere"}
		require.NoError(t, engine.Append(t.Context(), was))
		settle(t, in)
		require.NoError(t, shop.Flush(t.Context()))
		require.Len(t, here.all(), 1)
		got := *here.all()[0]
		assert.True(t, was.Time.Equal(got.Time))
		want := *was
		want.Time, want.Headers = got.Time, map[string]string{"tenant": "a", bridge.Via: "elsewhere ORDERS"}
		assert.Equal(t, want, got)
		assert.Equal(t, bridge.Stats{Crossed: 1}, in.Stats())
		end(t, []*bridge.Way{in}, shop)
	})
}

func TestInGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, kept := newFaulty(), jitneytest.NewMemoryJournal(types())
		var want []int
		for life := range 4 {
			shop := newPlace("shop", jitney.WithJournal(kept))
			in := bridge.In[order](shop.to(engine, "ORDERS"), "in")
			for n := range 10 {
				want = append(want, 10*life+n)
				arrive(t, engine, 10*life+n)
				if n == 5 {
					settle(t, in)
					engine.Crash(types()) // what is settled from here on is forgotten
				}
			}
			synctest.Wait()
			end(t, []*bridge.Way{in}, shop)
		}
		shop := newPlace("shop", jitney.WithJournal(kept))
		in := bridge.In[order](shop.to(engine, "ORDERS"), "in")
		settle(t, in)
		assert.Equal(t, want, numbersOf(stored(t, kept)), "each once, in order")
		assert.Zero(t, in.Stats().Refused)
		end(t, []*bridge.Way{in}, shop)
	})
}

// The journal of the bus does not answer for an hour.
func TestInIsPatientThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, kept := newFaulty(), newFaulty()
		shop := newPlace("shop", jitney.WithJournal(kept))
		in := bridge.In[order](shop.to(engine, "ORDERS"), "in", jitney.WithWorkers(4))
		kept.down.Store(true)
		for n := range 30 {
			arrive(t, engine, n)
		}
		time.Sleep(time.Hour)
		assert.Zero(t, in.Stats().Crossed+in.Stats().Refused)
		assert.Positive(t, in.Stats().Failed)
		kept.down.Store(false)
		settle(t, in)
		last := map[string]int{"0": -3, "1": -2, "2": -1}
		for _, env := range stored(t, kept) {
			n := env.Event.(placed).N
			assert.Equal(t, last[env.Key]+3, n)
			last[env.Key] = n
		}
		assert.Equal(t, map[string]int{"0": 27, "1": 28, "2": 29}, last)
		end(t, []*bridge.Way{in}, shop)
	})
}

// One subscriber's queue is full for long. It gets all in the end, and the other one gets nothing twice.
func TestFullQueueIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop", jitney.WithPublishTimeout(time.Second))
		quick := listen(shop.Bus)
		var slow heard
		full := jitney.Subscribe(shop.Bus, "slow", func(ctx context.Context, _ placed) error { return slow.note(ctx) }, jitney.WithBuffer(2))
		full.Pause()
		in := bridge.In[order](shop.to(engine, "ORDERS"), "in")
		arrive(t, engine, 1, 2, 3, 4, 5)
		time.Sleep(time.Hour)
		assert.Equal(t, bridge.Stats{Crossed: 2, Waiting: 3}, in.Stats())
		full.Resume()
		settle(t, in)
		require.NoError(t, shop.Flush(t.Context()))
		assert.Equal(t, []int{1, 2, 3, 4, 5}, slow.numbers())
		assert.Equal(t, []int{1, 2, 3, 4, 5}, quick.numbers())
		end(t, []*bridge.Way{in}, shop)
	})
}

func TestSubscriberThatLeavesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop")
		full := jitney.Subscribe(shop.Bus, "slow", func(context.Context, placed) error { return nil }, jitney.WithBuffer(1), jitney.WithOverflow(jitney.Reject))
		full.Pause()
		in := bridge.In[order](shop.to(engine, "ORDERS"), "in")
		arrive(t, engine, 1, 2)
		time.Sleep(time.Hour)
		assert.Equal(t, bridge.Stats{Crossed: 1, Waiting: 1}, in.Stats())
		require.ErrorIs(t, full.Close(t.Context()), jitney.ErrHeldBack)
		settle(t, in)
		assert.Equal(t, bridge.Stats{Crossed: 2}, in.Stats())
		end(t, []*bridge.Way{in}, shop)
	})
}

// A synchronous subscriber has had the event when it fails: its own retries and dead letters decide.
func TestFailureOfASynchronousSubscriberIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop")
		letters := &jitney.MemoryDeadLetters{}
		s := jitney.Subscribe(shop.Bus, "inline", func(context.Context, placed) error { return errBoom },
			jitney.WithSync(), jitney.WithDeadLetters(letters))
		in := bridge.In[order](shop.to(engine, "ORDERS"), "in")
		arrive(t, engine, 1)
		settle(t, in)
		assert.Equal(t, bridge.Stats{Crossed: 1}, in.Stats())
		assert.EqualValues(t, 1, s.Stats().Dead)
		end(t, []*bridge.Way{in}, shop)
	})
}

func TestCloseLeavesWhatTheBusHasNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, kept := newFaulty(), newFaulty()
		shop := newPlace("shop", jitney.WithJournal(kept))
		in := bridge.In[order](shop.to(engine, "ORDERS"), "in")
		kept.down.Store(true)
		arrive(t, engine, 1, 2, 3)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, in.Close(ctx), "the engine has it")
		kept.down.Store(false)
		in = bridge.In[order](shop.to(engine, "ORDERS"), "in")
		settle(t, in)
		assert.Equal(t, []int{1, 2, 3}, numbersOf(stored(t, kept)))
		end(t, []*bridge.Way{in}, shop)
	})
}

// Shut down too early, the bus takes nothing more; what it has not taken stays in the engine.
func TestBusThatIsShutDownLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop")
		in := bridge.In[order](shop.to(engine, "ORDERS"), "in")
		settle(t, in)
		require.NoError(t, shop.Shutdown(t.Context()))
		arrive(t, engine, 1)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, in.Close(ctx))
		shop = newPlace("shop")
		here := listen(shop.Bus)
		in = bridge.In[order](shop.to(engine, "ORDERS"), "in")
		settle(t, in)
		require.NoError(t, shop.Flush(t.Context()))
		assert.Equal(t, []int{1}, here.numbers())
		end(t, []*bridge.Way{in}, shop)
	})
}

func TestInboxKeepsRepeatsFromABusInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop, inbox := newFaulty(), newPlace("shop"), &jitney.MemoryInbox{}
		here := listen(shop.Bus)
		for range 2 {
			in := bridge.In[order](shop.to(engine, "ORDERS"), "in", fromZero, jitney.WithIdempotency(inbox))
			engine.Crash(types()) // nothing is settled
			arrive(t, engine, 1)
			synctest.Wait()
			require.NoError(t, in.Close(t.Context()))
		}
		require.NoError(t, shop.Flush(t.Context()))
		assert.Equal(t, []int{1, 1}, here.numbers(), "two events, each once")
		end(t, nil, shop)
	})
}

func TestWhatTheBusWillNeverTakeIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, kept := newFaulty(), jitneytest.NewMemoryJournal(types())
		shop := newPlace("shop", jitney.WithJournal(kept), jitney.WithHopLimit(10))
		letters := &jitney.MemoryDeadLetters{}
		in := bridge.In[order](shop.to(engine, "ORDERS"), "in", jitney.WithDeadLetters(letters))
		chain, twin := foreign(paid{1}), foreign(paid{2})
		chain.Hops = 11
		other := *twin
		other.Event = paid{3}
		require.NoError(t, kept.Append(t.Context(), &other), "another event has the ID here")
		require.NoError(t, engine.Append(t.Context(), chain, twin, foreign(paid{4})))
		settle(t, in)
		assert.Equal(t, bridge.Stats{Crossed: 1, Refused: 2}, in.Stats())
		assert.Equal(t, []int{3, 4}, numbersOf(stored(t, kept)))
		list, err := letters.List(t.Context(), jitney.DeadLetterFilter{Subscriber: "in"})
		require.NoError(t, err)
		require.Len(t, list, 2)
		require.ErrorIs(t, in.Bus().Redeliver(t.Context(), list[0]), jitney.ErrHopLimit)
		require.ErrorIs(t, in.Bus().Redeliver(t.Context(), list[1]), jitney.ErrIDConflict)
		end(t, []*bridge.Way{in}, shop)
	})
}

// What the program has no type for goes to those who listen to everything. A way for a family leaves it in the engine
// until a program knows it.
func TestUnknownTypesAreRawOrWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poor := wire.NewTypes()
		wire.Register[paid](poor)
		engine, shop := newFaulty(), newPlace("shop")
		engine.Crash(poor)
		here := listen(shop.Bus)
		family := bridge.In[order](shop.to(engine, "ORDERS"), "family")
		arrive(t, engine, 1)
		settle(t, family)
		assert.EqualValues(t, 1, family.Subscription.Stats().Unknown)
		require.NoError(t, family.Close(t.Context()))

		all := bridge.In[jitney.Event](shop.to(engine, "ORDERS"), "all", fromZero)
		settle(t, all)
		require.NoError(t, shop.Flush(t.Context()))
		require.Len(t, here.all(), 1)
		assert.JSONEq(t, `{"Order":"1","N":1}`, string(here.all()[0].Event.(jitney.RawEvent).Data))
		end(t, []*bridge.Way{all}, shop)

		engine.Crash(types())
		shop = newPlace("shop")
		here = listen(shop.Bus)
		family = bridge.In[order](shop.to(engine, "ORDERS"), "family")
		settle(t, family)
		require.NoError(t, shop.Flush(t.Context()))
		assert.Equal(t, []int{1}, here.numbers())
		end(t, []*bridge.Way{family}, shop)
	})
}

func TestWrongWiringPanics(t *testing.T) {
	engine, shop := newFaulty(), newPlace("shop")
	for name, call := range map[string]func(){
		"no engine":     func() { bridge.Out[paid](shop.to(nil, "ORDERS"), "out") },
		"no bus":        func() { bridge.In[paid](place{name: "shop"}.to(engine, "ORDERS"), "in") },
		"no name":       func() { bridge.Out[paid](shop.to(engine, ""), "out") },
		"spaces":        func() { bridge.Out[paid](shop.to(engine, "OR DERS"), "out") },
		"one name":      func() { bridge.In[paid](shop.to(engine, "shop"), "in") },
		"not durable":   func() { bridge.In[paid](shop.to(engine, "ORDERS"), "in", jitney.WithEphemeral()) },
		"synchronous":   func() { bridge.In[paid](shop.to(engine, "ORDERS"), "in", jitney.WithSync()) },
		"no subscriber": func() { bridge.Out[paid](shop.to(engine, "ORDERS"), "") },
	} {
		assert.Panics(t, call, name)
	}
	require.NoError(t, shop.Shutdown(t.Context()))
}

// Handlers of the bus may publish while the bridge waits for room: nobody waits for the other.
func TestBridgeWaitsWhereHandlersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop", jitney.WithPublishTimeout(time.Second))
		var sum atomic.Int64
		jitney.Subscribe(shop.Bus, "adds", func(_ context.Context, p paid) error { sum.Add(int64(p.N)); return nil })
		jitney.Subscribe(shop.Bus, "pays", func(ctx context.Context, p placed) error {
			time.Sleep(time.Minute)
			return shop.Publish(ctx, paid{p.N})
		}, jitney.WithBuffer(1))
		in := bridge.In[placed](shop.to(engine, "ORDERS"), "in", jitney.WithWorkers(3))
		arrive(t, engine, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		settle(t, in)
		require.NoError(t, shop.Flush(t.Context()))
		assert.EqualValues(t, 45, sum.Load())
		end(t, []*bridge.Way{in}, shop)
	})
}

// What an engine has for later is published by the bus that it is the journal of, not by those who listen to it.
func TestInLeavesTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop")
		later := jitney.Scheduled{ID: uuid.New(), At: time.Now().Add(time.Minute), Envelope: foreign(paid{1})}
		require.NoError(t, engine.Schedule(t.Context(), later))
		in := bridge.In[paid](shop.to(engine, "ORDERS"), "in")
		time.Sleep(time.Hour)
		list, err := engine.Scheduled(t.Context(), 10)
		require.NoError(t, err)
		assert.Len(t, list, 1)
		assert.Zero(t, in.Stats().Crossed)
		end(t, []*bridge.Way{in}, shop)
	})
}

// Closed while a queue is full, the way leaves the event in the engine. The next one brings it again, to all: at least
// once.
func TestCloseDoesNotWaitForAFullQueueForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop", jitney.WithPublishTimeout(time.Second))
		quick := listen(shop.Bus)
		var slow heard
		full := jitney.Subscribe(shop.Bus, "slow", func(ctx context.Context, _ placed) error { return slow.note(ctx) }, jitney.WithBuffer(1))
		full.Pause()
		in := bridge.In[order](shop.to(engine, "ORDERS"), "in")
		arrive(t, engine, 1, 2)
		time.Sleep(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, in.Close(ctx))
		in = bridge.In[order](shop.to(engine, "ORDERS"), "in")
		full.Resume()
		settle(t, in)
		require.NoError(t, shop.Flush(t.Context()))
		assert.Equal(t, []int{1, 2}, slow.numbers())
		assert.Equal(t, []int{1, 2, 2}, quick.numbers())
		end(t, []*bridge.Way{in}, shop)
	})
}

// Shut down while the way waits for room, the bus refuses the event, and it stays in the engine.
func TestShutdownOfTheBusWhileAQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop", jitney.WithPublishTimeout(time.Second))
		full := jitney.Subscribe(shop.Bus, "slow", func(context.Context, placed) error { return nil }, jitney.WithBuffer(1))
		full.Pause()
		in := bridge.In[order](shop.to(engine, "ORDERS"), "in")
		arrive(t, engine, 1, 2)
		time.Sleep(time.Hour)
		require.ErrorIs(t, shop.Shutdown(t.Context()), jitney.ErrHeldBack)
		time.Sleep(time.Hour)
		s := in.Stats()
		assert.EqualValues(t, 1, s.Crossed)
		assert.Equal(t, 1, s.Waiting)
		assert.Positive(t, s.Failed)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, in.Close(ctx))
	})
}
