package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
)

// plant is something a handler depends on, that is down at times.
type plant struct {
	mu      sync.Mutex
	down    bool
	calls   int
	begin   time.Time
	at      []time.Duration // of each call
	handled []int
	changes []jitney.BreakerChange
}

func (p *plant) repair() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

func (p *plant) work(_ context.Context, f fact) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	p.at = append(p.at, time.Since(p.begin))
	if p.down {
		return errBoom
	}
	p.handled = append(p.handled, f.N)
	return nil
}

func (p *plant) changed(c jitney.BreakerChange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes = append(p.changes, c)
}

// called returns, and forgets, when the plant was called.
func (p *plant) called() (at []time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, p.at = p.at, nil
	return at
}

func TestG36Breaker(t *testing.T) {
	for _, workers := range []int{0, 8} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				p := &plant{down: true, begin: time.Now()}
				opts := []jitney.SubscribeOption{
					jitney.WithRetry(jitney.Retry{Attempts: 3, Base: time.Millisecond}),
					jitney.WithBreaker(jitney.Breaker{Failures: 3, Pause: time.Second, MaxPause: 4 * time.Second, OnChange: p.changed}),
					jitney.WithBuffer(2000),
				}
				if workers > 0 {
					opts = append(opts, jitney.WithWorkers(workers))
				}
				s := jitney.Subscribe(b, "s", p.work, opts...)
				for n := range 1000 {
					require.NoError(t, b.Publish(t.Context(), fact{Key: fmt.Sprint(n % 50), N: n}))
				}
				time.Sleep(time.Hour) // the outage
				synctest.Wait()
				st := s.Stats()
				assert.Equal(t, jitney.BreakerOpen, st.Breaker)
				assert.Zero(t, st.Dead)
				assert.Equal(t, 1000, st.Queued+st.Waiting)
				assert.Zero(t, st.Unaccounted())
				assert.Less(t, p.calls, 1000, "one every 4 seconds")

				p.repair()
				require.NoError(t, b.Flush(t.Context()))
				st = s.Stats()
				assert.Equal(t, jitney.BreakerClosed, st.Breaker)
				assert.EqualValues(t, 1000, st.Handled)
				assert.Zero(t, st.Dead, "no event died of the outage")
				assert.EqualValues(t, p.calls-1000, st.Spared+st.Retried)
				synctest.Wait()
				assert.EqualValues(t, st.Opened, countOpens(p.changes))
				last := p.changes[len(p.changes)-1]
				assert.Equal(t, jitney.BreakerChange{Subscriber: "s", From: jitney.BreakerHalfOpen, To: jitney.BreakerClosed}, last)
				for i, c := range p.changes[1:] {
					assert.Equal(t, p.changes[i].To, c.From, "in order")
				}
			})
		})
	}
}

func countOpens(changes []jitney.BreakerChange) (n int) {
	for _, c := range changes {
		if c.To == jitney.BreakerOpen {
			n++
		}
	}
	return n
}

func TestBreakerProbesAfterPausesThatDouble(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		p := &plant{down: true, begin: time.Now()}
		jitney.Subscribe(b, "s", p.work, jitney.WithRetry(jitney.Retry{Attempts: 3, Base: 1}),
			jitney.WithBreaker(jitney.Breaker{Failures: 2, Pause: time.Second, MaxPause: 5 * time.Second}))
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}, fact{N: 2}))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		var seconds []int
		for _, at := range p.called() {
			seconds = append(seconds, int(at.Round(time.Second)/time.Second))
		}
		assert.Equal(t, []int{0, 0, 1, 3, 7, 12, 17}, seconds)
		p.repair()
	})
}

func TestBreakerOpensAtARate(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		calls := 0
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error {
			if calls++; calls%2 == 0 {
				return errBoom
			}
			return nil
		}, jitney.WithBreaker(jitney.Breaker{Failures: -1, Rate: 0.5, Window: 10, Pause: time.Second}))
		for range 9 {
			require.NoError(t, b.Publish(t.Context(), fact{}))
			require.NoError(t, b.Flush(t.Context()))
		}
		assert.Equal(t, jitney.BreakerClosed, s.Stats().Breaker, "the window is not full")
		require.NoError(t, b.Publish(t.Context(), fact{}))
		synctest.Wait()
		assert.Equal(t, jitney.BreakerOpen, s.Stats().Breaker)
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, jitney.BreakerClosed, s.Stats().Breaker)
		assert.EqualValues(t, 4, s.Stats().Dead)
		assert.EqualValues(t, 1, s.Stats().Spared)
	})
}

func TestBreakerWindowForgetsWhatIsOlder(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		fail := true
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error {
			if fail {
				return errBoom
			}
			return nil
		}, jitney.WithBreaker(jitney.Breaker{Failures: -1, Rate: 0.6, Window: 5}))
		for _, fail = range []bool{true, true, false, false, false, false, true, true} {
			require.NoError(t, b.Publish(t.Context(), fact{}))
			require.NoError(t, b.Flush(t.Context()))
		}
		assert.Zero(t, s.Stats().Opened, "2 of the last 5")
		fail = true
		require.NoError(t, b.Publish(t.Context(), fact{}))
		synctest.Wait()
		assert.EqualValues(t, 1, s.Stats().Opened)
		fail = false
		s.Resume()
	})
}

func TestBreakerCountsNeitherPermanentErrorsNorWhatCountsLeavesOut(t *testing.T) {
	errMine := errors.New("the event's own fault")
	for what, breaker := range map[string]jitney.Breaker{
		"Permanent": {Failures: 1},
		"Counts":    {Failures: 1, Counts: func(err error) bool { return !errors.Is(err, errMine) }},
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				s := jitney.Subscribe(b, "s", func(context.Context, fact) error {
					if what == "Permanent" {
						return jitney.Permanent(errMine)
					}
					return errMine
				}, jitney.WithBreaker(breaker))
				for range 3 {
					require.NoError(t, b.Publish(t.Context(), fact{}))
				}
				require.NoError(t, b.Flush(t.Context()))
				assert.EqualValues(t, 3, s.Stats().Dead)
				assert.Zero(t, s.Stats().Opened)
			})
		})
	}
}

// A try of a half-open breaker that tells nothing makes way for the next.
func TestHalfOpenBreakerTriesTheNextAfterASkip(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		p := &plant{down: true, begin: time.Now()}
		s := jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
			switch f.N {
			case 1:
				return jitney.Skip(nil)
			case 2:
				return jitney.Permanent(errBoom)
			}
			return p.work(ctx, f)
		}, jitney.WithWorkers(1), jitney.WithBreaker(jitney.Breaker{Failures: 1, Pause: time.Second}))
		s.Pause()
		for n, key := range []string{"a", "b", "c", "d"} {
			require.NoError(t, b.Publish(t.Context(), fact{Key: key, N: []int{3, 1, 2, 4}[n]}))
		}
		s.Resume() // 3 fails, and goes behind the others
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		p.repair()
		assert.Zero(t, s.Stats().Skipped, "it is open")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		st := s.Stats()
		assert.Equal(t, []uint64{2, 1, 1, 1}, []uint64{st.Handled, st.Skipped, st.Dead, st.Opened})
		assert.Equal(t, []int{4, 3}, p.handled)
		assert.Equal(t, jitney.BreakerClosed, st.Breaker)
	})
}

func TestHalfOpenBreakerLetsOneThrough(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		down, running, most := true, 0, 0
		var mu sync.Mutex
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error {
			mu.Lock()
			running++
			most = max(most, running)
			fails := down
			mu.Unlock()
			time.Sleep(time.Minute)
			mu.Lock()
			defer mu.Unlock()
			running--
			if fails {
				return errBoom
			}
			return nil
		}, jitney.WithWorkers(8), jitney.WithRetry(jitney.Retry{}), jitney.WithBreaker(jitney.Breaker{Failures: 1, Pause: time.Second}))
		for n := range 20 {
			require.NoError(t, b.Publish(t.Context(), fact{Key: fmt.Sprint(n)}))
		}
		time.Sleep(90 * time.Second) // 8 have failed, and one is tried
		synctest.Wait()
		mu.Lock()
		assert.Equal(t, 8, most)
		assert.Equal(t, 1, running)
		assert.Equal(t, jitney.BreakerHalfOpen, s.Stats().Breaker)
		assert.EqualValues(t, 1, s.Stats().Opened, "the failures of one outage open it once")
		assert.EqualValues(t, 8, s.Stats().Spared)
		down = false
		mu.Unlock()
	})
}

func TestBreakerTakesTurnsWithWhatItTries(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var tried []int
		s := jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
			tried = append(tried, f.N)
			if f.N == 1 || len(tried) < 2 {
				return errBoom
			}
			return nil
		}, jitney.WithWorkers(1), jitney.WithBreaker(jitney.Breaker{Failures: 1, Pause: time.Second}))
		s.Pause()
		require.NoError(t, b.Publish(t.Context(), fact{Key: "a", N: 1}, fact{Key: "b", N: 2}))
		s.Resume()
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []int{1, 2, 1}, tried, "a lane with a poisonous event does not get each try")
		s.Pause()
		s.Resume()
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Equal(t, jitney.BreakerOpen, s.Stats().Breaker)
		var u *jitney.UnhandledError
		now, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorAs(t, s.Close(now), &u)
		assert.ErrorIs(t, u.Unhandled[0].Err, errBoom)
		assert.Zero(t, u.Unhandled[0].Attempts)
	})
}

func TestBreakerWaitsAsLongAsRetryAfterSays(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		begin, calls := time.Now(), 0
		s := jitney.Subscribe(b, "s", func(context.Context, fact) error {
			if calls++; calls == 1 {
				return jitney.RetryAfter(time.Hour, errBoom)
			}
			return nil
		}, jitney.WithBreaker(jitney.Breaker{Failures: 1}))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, time.Hour, time.Since(begin))
		assert.EqualValues(t, 1, s.Stats().Handled)
	})
}

func TestResumeClosesTheBreaker(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		p := &plant{down: true, begin: time.Now()}
		s := jitney.Subscribe(b, "s", p.work, jitney.WithRetry(jitney.Retry{Attempts: 3, Base: 1}),
			jitney.WithBreaker(jitney.Breaker{Failures: 3, OnChange: p.changed}))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		synctest.Wait()
		time.Sleep(time.Second)
		require.Equal(t, jitney.BreakerOpen, s.Stats().Breaker)
		s.Resume()
		time.Sleep(time.Second)
		synctest.Wait()
		assert.EqualValues(t, 1, s.Stats().Dead, "what nobody can ever handle dies of its last attempt")
		assert.Equal(t, jitney.BreakerClosed, s.Stats().Breaker)
		assert.Equal(t, []jitney.BreakerChange{
			{Subscriber: "s", To: jitney.BreakerOpen, Err: errBoom, Pause: 10 * time.Second},
			{Subscriber: "s", From: jitney.BreakerOpen},
		}, p.changes)
	})
}

func TestTimeHeldBackIsNoTimeElapsed(t *testing.T) {
	for _, by := range []string{"breaker", "pause"} {
		t.Run(by, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				calls, outage := 0, time.Now().Add(time.Hour)
				s := jitney.Subscribe(b, "s", func(context.Context, fact) error {
					calls++
					if calls <= 2 || calls == 4 || by == "breaker" && time.Now().Before(outage) {
						return errBoom
					}
					return nil
				}, jitney.WithRetry(jitney.Retry{Base: time.Second, Jitter: jitney.NoJitter, MaxElapsed: time.Minute, Attempts: 9}),
					jitney.WithBreaker(jitney.Breaker{Failures: 3, Pause: time.Second}))
				require.NoError(t, b.Publish(t.Context(), fact{}))
				if by == "pause" {
					time.Sleep(1500 * time.Millisecond)
					s.Pause()
					time.Sleep(time.Hour)
					s.Resume()
				}
				require.NoError(t, b.Flush(t.Context()))
				assert.EqualValues(t, 1, s.Stats().Handled)
			})
		})
	}
}

// What a handler does to a breaker that was closed by hand while it ran is what any attempt does.
func TestResumeWhileABreakerTries(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		p := &plant{down: true, begin: time.Now()}
		s := jitney.Subscribe(b, "s", func(ctx context.Context, f fact) error {
			defer time.Sleep(time.Minute)
			return p.work(ctx, f)
		}, jitney.WithBreaker(jitney.Breaker{Failures: 1, Pause: time.Second, OnChange: p.changed}))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		time.Sleep(60500 * time.Millisecond) // it has failed
		p.repair()
		time.Sleep(2 * time.Second) // and is tried again
		s.Resume()
		require.NoError(t, b.Flush(t.Context()))
		synctest.Wait()
		for _, c := range p.changes {
			assert.NotEqual(t, c.From, c.To)
		}
		assert.Len(t, p.changes, 3)
	})
}

func TestBreakerIsLogged(t *testing.T) {
	log := &logged{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		p := &plant{down: true, begin: time.Now()}
		jitney.Subscribe(b, "s", p.work, jitney.WithBreaker(jitney.Breaker{Failures: 1}))
		require.NoError(t, b.Publish(t.Context(), fact{Key: "secret"}))
		synctest.Wait()
		p.repair()
		require.NoError(t, b.Flush(t.Context()))
		synctest.Wait()
		for _, part := range []string{"level=WARN", "subscriber=s", "error=boom", "pause=10s", "from=closed"} {
			assert.Contains(t, log.line("breaker open"), part)
		}
		assert.NotEmpty(t, log.line("breaker half-open"))
		assert.NotEmpty(t, log.line("breaker closed"))
		assert.Empty(t, log.line("secret"))
	}, jitney.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
}

func TestOnChangeMayDoWhatItLikes(t *testing.T) {
	for what, do := range map[string]func(){"panic": func() { panic("x") }, "Goexit": runtime.Goexit, "sleep": func() { time.Sleep(time.Minute) }} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jitney.Bus) {
				p := &plant{down: true, begin: time.Now()}
				var s *jitney.Subscription
				s = jitney.Subscribe(b, "s", p.work, jitney.WithBreaker(jitney.Breaker{Failures: 1, OnChange: func(c jitney.BreakerChange) {
					p.changed(c)
					_ = s.Stats()
					do()
				}}))
				require.NoError(t, b.Publish(t.Context(), fact{}))
				synctest.Wait()
				p.repair()
				require.NoError(t, b.Shutdown(t.Context()))
				require.Len(t, p.changes, 3)
				assert.EqualValues(t, 1, s.Stats().Handled)
			})
		})
	}
}

func TestBreakerOpenAtShutdownReturnsItsEventsAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		p := &plant{down: true, begin: time.Now()}
		jitney.Subscribe(b, "s", p.work, jitney.WithBreaker(jitney.Breaker{Failures: 1}))
		require.NoError(t, b.Publish(t.Context(), fact{}, fact{}))
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := b.Shutdown(soon)
		var u *jitney.UnhandledError
		require.ErrorAs(t, err, &u)
		require.ErrorIs(t, err, jitney.ErrDeadline)
		assert.Len(t, u.Unhandled, 2)
		assert.Zero(t, b.Stats().Unaccounted())
		assert.Equal(t, time.Minute, time.Since(p.begin))
	})
}

func TestPauseHoldsBackAndResumeLetsGo(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var got []int
		s := jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
			time.Sleep(time.Second)
			got = append(got, f.N)
			return nil
		}, jitney.WithBuffer(2))
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		synctest.Wait()
		s.Pause()
		require.NoError(t, b.Publish(t.Context(), fact{N: 2}, fact{N: 3}))
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, b.Publish(soon, fact{N: 4}), jitney.ErrQueueFull, "within the bound")
		require.ErrorIs(t, b.Flush(soon), context.DeadlineExceeded)
		assert.Equal(t, []int{1}, got, "what runs is not interrupted")
		assert.True(t, s.Stats().Paused)
		assert.True(t, b.Stats().Paused)
		s.Resume()
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []int{1, 2, 3}, got)
		assert.False(t, b.Stats().Paused)
	})
}

func TestPauseHoldsBackRetries(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		p := &plant{down: true, begin: time.Now()}
		s := jitney.Subscribe(b, "s", p.work, jitney.WithRetry(jitney.Retry{Base: time.Second, Jitter: jitney.NoJitter}))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		synctest.Wait()
		s.Pause()
		time.Sleep(time.Hour)
		s.Resume()
		p.repair()
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []time.Duration{0, time.Hour}, p.at)
	})
}

func TestPausedSynchronousSubscriptionRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "s", ignore, jitney.WithSync())
		s.Pause()
		err := b.Publish(t.Context(), fact{})
		require.ErrorIs(t, err, jitney.ErrPaused)
		refusal, ok := errors.AsType[*jitney.PublishError](err)
		require.True(t, ok)
		assert.Equal(t, []string{"s"}, refusal.Subscribers())
		s.Resume()
		require.NoError(t, b.Publish(t.Context(), fact{}))
		assert.EqualValues(t, 1, s.Stats().Refused)
	})
}

func TestShutdownReturnsWhatIsPausedAndDoesNotWaitForIt(t *testing.T) {
	for _, op := range []string{"shutdown", "close"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := jitney.New(silent)
				var got []int
				s := jitney.Subscribe(b, "s", func(_ context.Context, f fact) error {
					time.Sleep(time.Second)
					got = append(got, f.N)
					return nil
				}, jitney.WithBuffer(4))
				s.Pause()
				require.NoError(t, b.Publish(t.Context(), fact{N: 1}, fact{N: 2}, fact{N: 3}, fact{N: 4}))
				s.Resume()
				synctest.Wait() // the first one runs, and the worker has taken over the others
				require.NoError(t, b.Publish(t.Context(), fact{N: 5}))
				blocked := make(chan error)
				go func() { blocked <- b.Publish(context.Background(), fact{N: 6}) }()
				synctest.Wait()
				s.Pause()
				end := b.Shutdown
				if op == "close" {
					end = s.Close
				}
				begin := time.Now()
				err := end(context.Background())
				var u *jitney.UnhandledError
				require.ErrorAs(t, err, &u)
				require.ErrorIs(t, err, jitney.ErrHeldBack)
				assert.Equal(t, time.Second, time.Since(begin), "it waits for what runs")
				assert.Equal(t, []int{1}, got)
				var left []int
				for _, d := range u.Unhandled {
					left = append(left, d.Envelope.Event.(fact).N)
				}
				assert.Equal(t, []int{2, 3, 4, 5}, left)
				require.ErrorIs(t, <-blocked, jitney.ErrClosed)
				assert.Zero(t, s.Stats().Unaccounted())
				if op == "close" {
					require.NoError(t, b.Shutdown(context.Background()))
				}
			})
		})
	}
}

func TestShutdownWhilePausedStillHandlesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		paused := jitney.Subscribe(b, "paused", ignore)
		open := jitney.Subscribe(b, "open", func(context.Context, fact) error { time.Sleep(time.Second); return nil })
		paused.Pause()
		for range 10 {
			require.NoError(t, b.Publish(t.Context(), fact{}))
		}
		var u *jitney.UnhandledError
		require.ErrorAs(t, b.Shutdown(t.Context()), &u)
		assert.Len(t, u.Unhandled, 10)
		assert.False(t, slices.ContainsFunc(u.Unhandled, func(d jitney.Unhandled) bool { return d.Subscriber != "paused" }))
		assert.EqualValues(t, 10, open.Stats().Handled)
	})
}

func TestBreakerRateOutOfRangePanics(t *testing.T) {
	for _, rate := range []float64{-1, 1.1} {
		assert.Panics(t, func() { jitney.WithBreaker(jitney.Breaker{Rate: rate}) })
	}
}

// looker's text is only to be had without the queue's lock.
type looker struct{ s **jitney.Subscription }

func (l looker) Error() string { return fmt.Sprint((*l.s).Stats().Opened) }

func TestTheErrorThatOpensABreakerMayLookAtItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent, jitney.WithJournal(jitneytest.NewMemoryJournal(known())))
		var s *jitney.Subscription
		s = jitney.Subscribe(b, "s", func(context.Context, fact) error { return looker{&s} },
			jitney.WithBreaker(jitney.Breaker{Failures: 1, Pause: time.Hour}))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		time.Sleep(time.Second)
		assert.Equal(t, jitney.BreakerOpen, s.Stats().Breaker)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = b.Shutdown(ctx) // one event waits for the breaker
	})
}

func TestAReusedKeyIsNoOutage(t *testing.T) {
	letters := &jitney.MemoryDeadLetters{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "s", ignore, jitney.WithDeadLetters(letters), jitney.WithBreaker(jitney.Breaker{Failures: 2}),
			jitney.WithIdempotency(&jitney.MemoryInbox{}), jitney.WithIdempotencyKey(func(e jitney.Event) string { return e.(fact).Key }))
		for n := range 10 {
			require.NoError(t, b.Publish(t.Context(), fact{Key: "the same", N: n}))
		}
		require.NoError(t, b.Publish(t.Context(), fact{Key: "another"}))
		require.NoError(t, b.Flush(t.Context()))
		st := s.Stats()
		assert.Equal(t, [3]uint64{2, 9, 0}, [3]uint64{st.Handled, st.Dead, st.Opened})
	})
}
