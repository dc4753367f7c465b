package bridge_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/bridge"
	"github.com/jitney-go/jitney/jitneytest"
)

// both are the two ways of a bridge, for all events.
func (p place) both(engine jitney.Journal, name string) []*bridge.Way {
	return []*bridge.Way{
		bridge.Out[jitney.Event](p.to(engine, name), name+"-out"),
		bridge.In[jitney.Event](p.to(engine, name), name+"-in"),
	}
}

// kinds are places with a journal, and in memory.
func kinds(t *testing.T, f func(t *testing.T, open func(name string) place)) {
	t.Run("journal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f(t, func(name string) place {
				return newPlace(name, jitney.WithJournal(jitneytest.NewMemoryJournal(types())))
			})
		})
	})
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, func(name string) place { return newPlace(name) }) })
	})
}

func loops(ways []*bridge.Way) (n uint64) {
	for _, w := range ways {
		n += w.Stats().Loops
	}
	return n
}

func TestEventDoesNotComeBackFromTheEngine(t *testing.T) {
	kinds(t, func(t *testing.T, open func(string) place) {
		engine, shop := newFaulty(), open("shop")
		here := listen(shop.Bus)
		ways := shop.both(engine, "ORDERS")
		require.NoError(t, shop.Publish(t.Context(), placed{"1", 1}, paid{2}))
		synctest.Wait()
		assert.Equal(t, []int{1, 2}, here.numbers())
		assert.EqualValues(t, 2, ways[0].Stats().Crossed)
		assert.Equal(t, bridge.Stats{Loops: 2}, ways[1].Stats())
		end(t, ways, shop)
	})
}

// A → E → B → E …
func TestLoopOfTwoIsCut(t *testing.T) {
	kinds(t, func(t *testing.T, open func(string) place) {
		engine, a, b := newFaulty(), open("a"), open("b")
		atA, atB := listen(a.Bus), listen(b.Bus)
		ways := append(a.both(engine, "E"), renamed(b, engine, "E", "b")...)
		require.NoError(t, a.Publish(t.Context(), placed{"1", 1}))
		require.NoError(t, b.Publish(t.Context(), placed{"1", 2}))
		synctest.Wait()
		assert.ElementsMatch(t, []int{1, 2}, atA.numbers())
		assert.ElementsMatch(t, []int{1, 2}, atB.numbers())
		assert.ElementsMatch(t, []int{1, 2}, numbersOf(stored(t, engine)))
		assert.EqualValues(t, 4, loops(ways), "each is kept back on its way in at home, and on its way out abroad")
		end(t, ways, a, b)
	})
}

// renamed is both, with names of its own: an engine knows each durable subscriber by one.
func renamed(p place, engine jitney.Journal, name, prefix string) []*bridge.Way {
	return []*bridge.Way{
		bridge.Out[jitney.Event](p.to(engine, name), prefix+"-"+name+"-out"),
		bridge.In[jitney.Event](p.to(engine, name), prefix+"-"+name+"-in"),
	}
}

// A → E → B → F → C → G → A …
func TestRingOfThreeIsCut(t *testing.T) {
	kinds(t, func(t *testing.T, open func(string) place) {
		places := []place{open("a"), open("b"), open("c")}
		engines := []*faulty{newFaulty(), newFaulty(), newFaulty()}
		names := []string{"E", "F", "G"}
		var heards []*heard
		var ways []*bridge.Way
		for i, p := range places {
			heards = append(heards, listen(p.Bus))
			before := (i + 2) % 3
			ways = append(ways,
				bridge.Out[jitney.Event](p.to(engines[i], names[i]), "out"),
				bridge.In[jitney.Event](p.to(engines[before], names[before]), "in"))
		}
		for i, p := range places {
			require.NoError(t, p.Publish(t.Context(), paid{i}))
		}
		synctest.Wait()
		for _, h := range heards {
			assert.ElementsMatch(t, []int{0, 1, 2}, h.numbers(), "each event once")
		}
		for _, e := range engines {
			assert.ElementsMatch(t, []int{0, 1, 2}, numbersOf(stored(t, e)))
		}
		assert.EqualValues(t, 3, loops(ways), "each is kept back where it came from")
		for _, w := range ways {
			assert.Zero(t, w.Stats().Refused)
		}
		end(t, ways, places...)
	})
}

// An event that came into the engine without a bridge does not go out to it either.
func TestForeignEventDoesNotGoBack(t *testing.T) {
	kinds(t, func(t *testing.T, open func(string) place) {
		engine, shop := newFaulty(), open("shop")
		here := listen(shop.Bus)
		ways := shop.both(engine, "ORDERS")
		arrive(t, engine, 1)
		synctest.Wait()
		assert.Equal(t, []int{1}, here.numbers())
		assert.Equal(t, map[string]string{bridge.Via: "ORDERS"}, here.all()[0].Headers)
		assert.Len(t, stored(t, engine), 1)
		assert.Equal(t, bridge.Stats{Loops: 1}, ways[0].Stats())
		end(t, ways, shop)
	})
}

func TestTooManyPlacesAreADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, shop := newFaulty(), newPlace("shop")
		letters := &jitney.MemoryDeadLetters{}
		ends := shop.to(engine, "ORDERS")
		ends.MaxPlaces = 2
		in := bridge.In[paid](ends, "in", jitney.WithDeadLetters(letters))
		far, near := foreign(paid{1}), foreign(paid{2})
		far.Headers = map[string]string{bridge.Via: "a E b"}
		near.Headers = map[string]string{bridge.Via: "a E"}
		require.NoError(t, engine.Append(t.Context(), far, near))
		settle(t, in)
		assert.Equal(t, bridge.Stats{Crossed: 1, Refused: 1}, in.Stats())
		n, err := letters.Count(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		end(t, []*bridge.Way{in}, shop)
	})
}

// Two handlers that answer each other across a bridge: not the same event goes round, but one that causes the next.
func TestHopLimitEndsAConversationAcrossABridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newFaulty()
		a := newPlace("a", jitney.WithHopLimit(5))
		b := newPlace("b", jitney.WithHopLimit(5))
		jitney.Subscribe(a.Bus, "asks", func(ctx context.Context, p paid) error { return a.Publish(ctx, placed{"1", p.N}) })
		answers := jitney.Subscribe(b.Bus, "answers", func(ctx context.Context, p placed) error { return b.Publish(ctx, paid{p.N}) })
		ways := append(a.both(engine, "E"), renamed(b, engine, "E", "b")...)
		require.NoError(t, a.Publish(t.Context(), placed{"1", 1}))
		time.Sleep(time.Hour)
		assert.Len(t, stored(t, engine), 6)
		assert.EqualValues(t, 3, answers.Stats().Accepted)
		end(t, ways, a, b)
	})
}

// Two ways from one place to another bring two copies. The second one is not lost in silence.
func TestSecondCopyByAnotherWayIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPlace("a"), newPlace("b", jitney.WithJournal(jitneytest.NewMemoryJournal(types())))
		here := listen(b.Bus)
		var ways []*bridge.Way
		for _, name := range []string{"E", "F"} {
			engine := newFaulty()
			ways = append(ways, bridge.Out[paid](a.to(engine, name), name), bridge.In[paid](b.to(engine, name), "b"))
		}
		require.NoError(t, a.Publish(t.Context(), paid{1}))
		synctest.Wait()
		assert.Equal(t, []int{1}, here.numbers())
		assert.EqualValues(t, 1, ways[1].Stats().Refused+ways[3].Stats().Refused)
		assert.EqualValues(t, 1, ways[1].Stats().Crossed+ways[3].Stats().Crossed)
		end(t, ways, a, b)
	})
}
