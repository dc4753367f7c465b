package jitney_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// load is an event of a tenant.
type load struct {
	Tenant string
	Key    string
	Cost   int
	N      int
}

func (load) EventType() string  { return "test.load" }
func (l load) EventKey() string { return l.Key }

var byTenant = jitney.FairShare{
	By:   func(env *jitney.Envelope) string { return env.Event.(load).Tenant },
	Cost: func(env *jitney.Envelope) int { return env.Event.(load).Cost },
}

// served subscribes a handler that takes a millisecond per cost, and writes down whom it has served.
func served(b *jitney.Bus, f jitney.FairShare, opts ...jitney.SubscribeOption) (*jitney.Subscription, *[]string) {
	var order []string
	s := jitney.Subscribe(b, "s", func(_ context.Context, l load) error {
		order = append(order, l.Tenant)
		time.Sleep(time.Duration(max(l.Cost, 1)) * time.Millisecond)
		return nil
	}, append(opts, jitney.WithFairShare(f))...)
	return s, &order
}

func TestG38FairShare(t *testing.T) {
	for what, key := range map[string]func(tenant string, n int) string{
		"many keys":   func(tenant string, n int) string { return fmt.Sprint(tenant, n) },
		"one key":     func(tenant string, n int) string { return tenant },
		"without key": func(string, int) string { return "" },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				_, order := served(b, byTenant, jitney.WithBuffer(200_000))
				for n := range 100_000 {
					require.NoError(t, b.Publish(t.Context(), load{Tenant: "big", Key: key("big", n)}))
				}
				begin := time.Now()
				for n := range 100 {
					require.NoError(t, b.Publish(t.Context(), load{Tenant: "small", Key: key("small", n)}))
				}
				time.Sleep(202 * time.Millisecond)
				synctest.Wait()
				assert.Equal(t, 100, strings.Count(strings.Join(*order, " "), "small"),
					"its hundred took a hundred turns of the other's, and what was running")
				assert.LessOrEqual(t, time.Since(begin), time.Second)
				require.NoError(t, b.Flush(t.Context()))
				assert.Len(t, *order, 100_100, "no turn is left unused, and nothing is lost")
			})
		})
	}
}

// shareOf counts the cost that a tenant has had among the first in order.
func shareOf(order []string, tenant string, cost int) (sum int) {
	for _, name := range order {
		if name == tenant {
			sum += cost
		}
	}
	return sum
}

func TestSharesAreOfCostNotOfEvents(t *testing.T) {
	for _, costs := range [][2]int{{1, 7}, {3, 10}, {50, 1}, {1000, 1}} {
		t.Run(fmt.Sprint(costs), func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				s, order := served(b, byTenant, jitney.WithBuffer(20_000))
				s.Pause()
				for n := range 8000 {
					require.NoError(t, b.Publish(t.Context(),
						load{Tenant: "a", Cost: costs[0], Key: fmt.Sprint("a", n)}, load{Tenant: "b", Cost: costs[1]}))
				}
				s.Resume()
				time.Sleep(6 * time.Second) // so much is handled in all: half of it each
				synctest.Wait()
				a, other := shareOf(*order, "a", costs[0]), shareOf(*order, "b", costs[1])
				assert.InDelta(t, a, other, float64(2*max(costs[0], costs[1])), "deficit round robin is off by no more than this")
				require.NoError(t, b.Flush(t.Context()))
			})
		})
	}
}

func TestSharesUnderSeveralWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		at := make(map[string]time.Time)
		s := jitney.Subscribe(b, "s", func(_ context.Context, l load) error {
			time.Sleep(time.Millisecond)
			if l.N == 99 {
				at[l.Tenant] = time.Now()
			}
			return nil
		}, jitney.WithFairShare(byTenant), jitney.WithWorkers(4), jitney.WithBuffer(100_000))
		s.Pause()
		for n := range 10_000 {
			require.NoError(t, b.Publish(t.Context(), load{Tenant: "big", Key: fmt.Sprint(n), N: -1}))
		}
		for n := range 100 {
			require.NoError(t, b.Publish(t.Context(), load{Tenant: "small", Key: fmt.Sprint("s", n), N: n}))
		}
		begin := time.Now()
		s.Resume()
		require.NoError(t, b.Shutdown(t.Context()))
		assert.InDelta(t, 50, at["small"].Sub(begin).Milliseconds(), 5, "half of 4 workers")
	})
}

// A key keeps its order also when its events belong to several shares.
func TestSharesKeepTheOrderOfAKey(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var got []int
		jitney.Subscribe(b, "s", func(_ context.Context, l load) error {
			got = append(got, l.N)
			return nil
		}, jitney.WithFairShare(byTenant), jitney.WithWorkers(4))
		for n := range 1000 {
			require.NoError(t, b.Publish(t.Context(), load{Tenant: fmt.Sprint(n * 7 % 5), Key: "k", N: n}))
		}
		require.NoError(t, b.Flush(t.Context()))
		for n := range 1000 {
			require.Equal(t, n, got[n])
		}
	})
}

// A flood of one share fills the buffer; the others still get in, up to their part of it.
func TestFullBufferLetsInWhoHoldsLessThanItsPart(t *testing.T) {
	for policy, name := range map[jitney.Overflow]string{jitney.Reject: "Reject", jitney.Block: "Block", jitney.DropOldest: "DropOldest"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				s, order := served(b, byTenant, jitney.WithBuffer(10), jitney.WithOverflow(policy))
				s.Pause()
				for n := range 10 {
					require.NoError(t, b.Publish(t.Context(), load{Tenant: "big", N: n}))
				}
				for n := range 5 {
					require.NoError(t, b.Publish(t.Context(), load{Tenant: "small", N: n}))
				}
				assert.Equal(t, 15, s.Stats().Queued)
				for _, tenant := range []string{"small", "big"} {
					soon, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					err := b.Publish(soon, load{Tenant: tenant})
					if policy == jitney.DropOldest {
						require.NoError(t, err)
					} else {
						require.ErrorIs(t, err, jitney.ErrQueueFull, "it has its part")
					}
				}
				assert.Equal(t, 15, s.Stats().Queued, "each drops its own oldest")
				s.Resume()
				require.NoError(t, b.Flush(t.Context()))
				assert.Equal(t, 5, shareOf(*order, "small", 1))
				assert.Equal(t, 10, shareOf(*order, "big", 1))
			})
		})
	}
}

func TestSharesHoldAtMostTwiceTheBuffer(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s, _ := served(b, byTenant, jitney.WithBuffer(50), jitney.WithOverflow(jitney.Reject))
		s.Pause()
		most := 0
		for tenant := range 200 {
			for range 100 {
				_ = b.Publish(t.Context(), load{Tenant: fmt.Sprint(tenant)})
				most = max(most, s.Stats().Queued)
			}
		}
		assert.Equal(t, 100, most)
		s.Resume()
	})
}

// A publisher that waits goes on when its own share has room, whoever else waits before it.
func TestWaitingPublisherOfASmallShareIsNotBehindTheBigOnes(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s, _ := served(b, byTenant, jitney.WithBuffer(4))
		s.Pause()
		for range 4 {
			require.NoError(t, b.Publish(t.Context(), load{Tenant: "big"}))
		}
		for range 100 {
			go func() { _ = b.Publish(context.Background(), load{Tenant: "big"}) }()
		}
		synctest.Wait()
		begin := time.Now()
		s.Resume()
		for range 20 {
			require.NoError(t, b.Publish(t.Context(), load{Tenant: "small"}))
		}
		assert.Less(t, time.Since(begin), 45*time.Millisecond, "every other turn is its own")
	})
}

func TestShareThatPanicsIsTheSubscribersRefusal(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s, _ := served(b, jitney.FairShare{By: func(*jitney.Envelope) string { panic("no tenant") }})
		heard := jitney.Subscribe(b, "other", func(context.Context, load) error { return nil })
		err := b.Publish(t.Context(), load{})
		require.ErrorContains(t, err, "no tenant")
		require.ErrorContains(t, err, "to s:")
		assert.EqualValues(t, 1, s.Stats().Refused)
		assert.EqualValues(t, 1, heard.Stats().Accepted)
	})
}

func TestCostBelowOneIsOne(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s, order := served(b, byTenant)
		s.Pause()
		for range 3 {
			require.NoError(t, b.Publish(t.Context(), load{Tenant: "a", Cost: -5}, load{Tenant: "b", Cost: 1}))
		}
		s.Resume()
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []string{"a", "b", "a", "b", "a", "b"}, *order)
	})
}
