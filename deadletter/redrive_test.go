package deadletter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/deadletter"
)

type happened struct {
	N   int
	Key string
}

func (happened) EventType() string  { return "test.happened" }
func (h happened) EventKey() string { return h.Key }

var errBoom = errors.New("boom")

// shop is a bus with a subscriber that is repaired for good, or for all but some numbers.
type shop struct {
	*jitney.Bus
	sub    *jitney.Subscription
	store  *jitney.MemoryDeadLetters
	mu     sync.Mutex
	broken func(n int) bool
	takes  time.Duration
	got    []int
}

func newShop(t *testing.T, letters int, opts ...jitney.SubscribeOption) *shop {
	s := &shop{store: &jitney.MemoryDeadLetters{}, broken: func(int) bool { return true }}
	s.Bus = jitney.New(jitney.WithLogger(slog.New(slog.DiscardHandler)))
	s.sub = jitney.Subscribe(s.Bus, "s", s.handle, append(opts, jitney.WithDeadLetters(s.store), jitney.WithBuffer(letters+1))...)
	for n := range letters {
		require.NoError(t, s.Publish(t.Context(), happened{N: n}))
	}
	require.NoError(t, s.Flush(t.Context()))
	require.Equal(t, letters, s.left(t))
	s.repair()
	return s
}

func (s *shop) handle(ctx context.Context, h happened) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken(h.N) {
		return jitney.Permanent(fmt.Errorf("order %d: %w", h.N, errBoom))
	}
	if s.takes > 0 {
		time.Sleep(s.takes)
	}
	s.got = append(s.got, h.N)
	return nil
}

// repair makes all work but those numbers.
func (s *shop) repair(but ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = func(n int) bool { return slices.Contains(but, n) }
}

func (s *shop) left(t *testing.T) int {
	n, err := s.store.Count(t.Context(), jitney.DeadLetterFilter{})
	require.NoError(t, err)
	return n
}

func (s *shop) job() deadletter.Redrive { return deadletter.Redrive{Bus: s.Bus, Store: s.store} }

// bubble runs f with a shop that has so many dead letters.
func bubble(t *testing.T, letters int, f func(t *testing.T, s *shop)) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, letters)
		f(t, s)
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Zero(t, s.Stats().Unaccounted())
	})
}

func upTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

func TestG34Redrive(t *testing.T) {
	bubble(t, 250, func(t *testing.T, s *shop) {
		s.repair(3, 200)
		r, err := s.job().Run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []int{250, 250, 248, 2, 0, 0}, []int{r.Matched, r.Tried, r.Succeeded, r.Failed, r.Unknown, r.Gone})
		require.Len(t, r.Groups, 1)
		assert.Equal(t, "*errors.errorString: order #: boom", r.Groups[0].Fingerprint)
		require.Len(t, r.Failures, 2)
		assert.ErrorIs(t, r.Failures[0].Err, errBoom)
		assert.Equal(t, "test.happened", r.Failures[0].Type)
		assert.Len(t, s.got, 248)
		assert.True(t, slices.IsSorted(s.got), "oldest first")
		list, err := s.store.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.Len(t, list, 2)
		assert.Equal(t, r.Failures[0].Letter, list[0].ID)
		assert.Equal(t, 1, list[0].Redeliveries)
		assert.Len(t, list[0].History, 2)
		assert.Equal(t, "250 of 250 letters tried: 248 succeeded, 2 failed, 0 unknown; 0 edited, 0 gone", r.String())
	})
}

func TestDryRunChangesNothing(t *testing.T) {
	bubble(t, 20, func(t *testing.T, s *shop) {
		j := s.job()
		j.DryRun = true
		j.Edit = func(l jitney.DeadLetter) (jitney.Event, error) {
			switch h := l.Envelope.Event.(happened); {
			case h.N == 1:
				return nil, errBoom
			case h.N == 2:
				panic("at the disco")
			case h.N < 10:
				return h, nil
			}
			return nil, nil
		}
		before, err := s.store.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		r, err := j.Run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "dry run: 20 letters in 1 groups, 8 would be edited, 2 could not be", r.String())
		after, err := s.store.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		assert.Equal(t, before, after)
		assert.Empty(t, s.got)
		assert.Zero(t, r.Tried)
	})
}

func TestCanaryEndsTheJob(t *testing.T) {
	for bad, tried := range map[int]int{0: 1, 2: 3, 3: 20} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			bubble(t, 20, func(t *testing.T, s *shop) {
				s.repair(bad)
				j := s.job()
				j.Canary = 3
				r, err := j.Run(t.Context())
				assert.Equal(t, tried, r.Tried)
				if tried == 20 {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, deadletter.ErrCanary)
				require.ErrorIs(t, err, errBoom)
			})
		})
	}
}

func TestTooManyFailuresEndTheJob(t *testing.T) {
	bubble(t, 100, func(t *testing.T, s *shop) {
		s.repair(append(upTo(5), 50, 51, 52, 53, 54, 55, 56, 57)...)
		j := s.job()
		j.MaxFailures = 0.2
		j.MinTried = 25
		r, err := j.Run(t.Context())
		require.ErrorIs(t, err, deadletter.ErrTooManyFailures)
		assert.Equal(t, []int{57, 12}, []int{r.Tried, r.Failed}, "5 of 25 are not more than a fifth, 12 of 57 are")
	})
}

func TestRateSpreadsTheLetters(t *testing.T) {
	bubble(t, 21, func(t *testing.T, s *shop) {
		j := s.job()
		j.Rate = 10
		var seen []int
		j.OnProgress = func(r deadletter.Report) { seen = append(seen, r.Tried) }
		begin := time.Now()
		r, err := j.Run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 2*time.Second, time.Since(begin))
		assert.Equal(t, 2*time.Second, r.Took)
		require.Len(t, seen, 21)
		assert.Equal(t, 21, seen[20])
	})
}

func TestFilterAndOnlySelect(t *testing.T) {
	bubble(t, 30, func(t *testing.T, s *shop) {
		j := s.job()
		j.Filter.Error = "order 1"
		j.Only = func(l jitney.DeadLetter) bool { return l.Envelope.Event.(happened).N%2 == 0 }
		r, err := j.Run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []int{10, 12, 14, 16, 18}, s.got)
		assert.Equal(t, 5, r.Matched)
		assert.Equal(t, 25, s.left(t))
	})
}

func TestGroupIsRedrivenAlone(t *testing.T) {
	bubble(t, 3, func(t *testing.T, s *shop) {
		other := &jitney.DeadLetter{}
		list, err := s.store.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		*other = list[1]
		other.History[0].Error = "something else"
		require.NoError(t, s.store.Add(t.Context(), *other))
		groups, err := deadletter.Groups(t.Context(), s.store, jitney.DeadLetterFilter{})
		require.NoError(t, err)
		j := s.job()
		j.Only = groups[0].Has
		_, err = j.Run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []int{0, 2}, s.got)
	})
}

func TestEditKeepsTheOriginal(t *testing.T) {
	bubble(t, 4, func(t *testing.T, s *shop) {
		s.repair(0, 1, 2, 3, 102)
		j := s.job()
		j.Edit = func(l jitney.DeadLetter) (jitney.Event, error) {
			h := l.Envelope.Event.(happened)
			if h.N == 3 {
				return nil, errBoom
			}
			h.N += 100
			return h, nil
		}
		r, err := j.Run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []int{100, 101}, s.got)
		assert.Equal(t, []int{3, 2, 2}, []int{r.Edited, r.Succeeded, r.Failed})
		list, err := s.store.List(t.Context(), jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.Len(t, list, 2)
		assert.Equal(t, 102, list[0].Envelope.Event.(happened).N)
		assert.Equal(t, 2, list[0].Original.Event.(happened).N)
		assert.Equal(t, list[0].Original.ID, list[0].Envelope.CausationID)
		assert.Nil(t, list[1].Original, "what could not be edited is as it was")
		assert.Zero(t, list[1].Redeliveries)
	})
}

func TestLettersThatDieMeanwhileAreNotTried(t *testing.T) {
	bubble(t, 150, func(t *testing.T, s *shop) { // more than are read at once
		s.repair(2, 1000)
		j := s.job()
		j.OnProgress = func(r deadletter.Report) {
			if r.Tried > 150 {
				return
			}
			require.NoError(t, s.Publish(t.Context(), happened{N: 1000}))
			require.NoError(t, s.Flush(t.Context()))
		}
		r, err := j.Run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 150, r.Tried)
		assert.Equal(t, 151, s.left(t))
	})
}

func TestCancelledJobGoesOnWhereItWas(t *testing.T) {
	bubble(t, 10, func(t *testing.T, s *shop) {
		s.repair(1)
		s.takes = time.Second
		j := s.job()
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("lunch")
		go func() { time.Sleep(3500 * time.Millisecond); cancel(why) }()
		r, err := j.Run(ctx)
		require.ErrorIs(t, err, why)
		assert.Equal(t, []int{5, 3, 1, 1}, []int{r.Tried, r.Succeeded, r.Failed, r.Unknown})

		stored, err := json.Marshal(r.Checkpoint)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(stored, &j.From))
		require.NoError(t, s.Publish(t.Context(), happened{N: 1})) // dies: it is not the job's
		require.NoError(t, s.Flush(t.Context()))                   // and the one under way has been handled
		r, err = j.Run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []int{5, 5, 0}, []int{r.Tried, r.Succeeded, r.Failed}, "what had failed is not tried again")
		assert.Equal(t, []int{0, 2, 3, 4, 5, 6, 7, 8, 9}, s.got, "none twice")
		assert.Equal(t, 2, s.left(t))
	})
}

func TestLetterUnderWayAtTheEndIsTriedAgainIfItHasFailed(t *testing.T) {
	bubble(t, 5, func(t *testing.T, s *shop) {
		s.broken = func(n int) bool {
			if n != 2 || len(s.got) > 2 {
				return false
			}
			time.Sleep(time.Minute)
			s.got = append(s.got, -n)
			return true
		}
		j := s.job()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := j.Run(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []int{3, 2, 1}, []int{r.Tried, r.Succeeded, r.Unknown})
		require.NoError(t, s.Flush(t.Context()))
		j.From = r.Checkpoint
		r, err = j.Run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 3, r.Matched)
		assert.Equal(t, []int{0, 1, -2, 2, 3, 4}, s.got)
	})
}

// Whatever moment a job of ten thousand letters is stopped at, none is lost and none is handled twice.
func TestStoppedJobsLoseNothing(t *testing.T) {
	const letters = 10_000
	s := newShop(t, letters)
	j := s.job()
	runs := 0
	for {
		ctx, cancel := context.WithCancel(t.Context())
		n, stop := 0, 37+runs*101%613
		j.OnProgress = func(deadletter.Report) {
			if n++; n == stop {
				cancel()
			}
		}
		r, err := j.Run(ctx)
		cancel()
		runs++
		j.From = r.Checkpoint
		if err == nil {
			break
		}
		require.ErrorIs(t, err, context.Canceled)
	}
	require.NoError(t, s.Flush(t.Context()))
	assert.True(t, slices.Equal(upTo(letters), s.got), "each once, and in order")
	assert.Zero(t, s.left(t))
	assert.Greater(t, runs, 20)
	require.NoError(t, s.Shutdown(t.Context()))
}

func TestTwoJobsAtOnceHandleEachLetterOnce(t *testing.T) {
	s := newShop(t, 1000)
	var both sync.WaitGroup
	var sum [2]deadletter.Report
	for i := range sum {
		both.Go(func() {
			var err error
			sum[i], err = s.job().Run(t.Context())
			assert.NoError(t, err)
		})
	}
	both.Wait()
	slices.Sort(s.got)
	assert.True(t, slices.Equal(upTo(1000), s.got), "each once")
	assert.Equal(t, 1000, sum[0].Succeeded+sum[1].Succeeded)
	assert.Zero(t, sum[0].Failed+sum[1].Failed)
	require.NoError(t, s.Shutdown(t.Context()))
}

func TestJobWaitsForAnOpenBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, 3, jitney.WithBreaker(jitney.Breaker{Failures: 1, Pause: time.Second,
			Counts: func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }}))
		outage := time.Now().Add(time.Hour)
		s.mu.Lock()
		s.broken = func(int) bool { return false }
		s.mu.Unlock()
		jitney.Subscribe(s.Bus, "watch", func(context.Context, happened) error { return nil })
		down := jitney.Subscribe(s.Bus, "down", func(context.Context, happened) error {
			if time.Now().Before(outage) {
				return context.DeadlineExceeded
			}
			return nil
		}, jitney.WithDeadLetters(s.store), jitney.WithBreaker(jitney.Breaker{Failures: 2}))
		require.NoError(t, s.Publish(t.Context(), happened{N: 7}, happened{N: 8}))
		synctest.Wait()
		require.Equal(t, jitney.BreakerOpen, down.Stats().Breaker)
		r, err := deadletter.Redrive{Bus: s.Bus, Store: s.store, Filter: jitney.DeadLetterFilter{Subscriber: "down"}}.Run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []int{1, 1, 0}, []int{r.Tried, r.Succeeded, r.Failed}, "the one that died before it opened")
		assert.False(t, time.Now().Before(outage))
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

func TestJobEndsWithItsBusOrItsStore(t *testing.T) {
	bubble(t, 150, func(t *testing.T, s *shop) {
		j := s.job()
		j.Store = &broken{s.store, 3} // two pages to survey, one to drive
		r, err := j.Run(t.Context())
		require.ErrorIs(t, err, errStore)
		assert.Equal(t, 100, r.Tried)
		j = s.job()
		j.OnProgress = func(deadletter.Report) { require.NoError(t, s.Shutdown(t.Context())) }
		r, err = j.Run(t.Context())
		require.ErrorIs(t, err, jitney.ErrClosed)
		assert.Equal(t, []int{1, 1}, []int{r.Tried, r.Succeeded})
		assert.Equal(t, 49, s.left(t))
	})
}

func TestRedriveOutOfRange(t *testing.T) {
	b, store := jitney.New(), &jitney.MemoryDeadLetters{}
	for what, j := range map[string]deadletter.Redrive{
		"field Bus is nil":                     {Store: store},
		"field Store is nil":                   {Bus: b},
		"field Rate: -1 is out of range":       {Bus: b, Store: store, Rate: -1},
		"field MaxFailures: 2 is out of range": {Bus: b, Store: store, MaxFailures: 2},
		"field Canary: -1 is out of range":     {Bus: b, Store: store, Canary: -1},
	} {
		_, err := j.Run(t.Context())
		require.ErrorContains(t, err, what)
	}
	r, err := deadletter.Redrive{Bus: b, Store: store}.Run(t.Context())
	require.NoError(t, err)
	assert.Zero(t, r.Matched)
	assert.Equal(t, uuid.Nil, r.Checkpoint.Last)
	require.NoError(t, b.Shutdown(t.Context()))
}

// checkpoints is a CheckpointStore in memory that fails when it is told to.
type checkpoints struct {
	by  map[string]deadletter.Checkpoint
	err error
}

func (s *checkpoints) Load(_ context.Context, name string) (deadletter.Checkpoint, bool, error) {
	c, found := s.by[name]
	return c, found, s.err
}

func (s *checkpoints) Save(_ context.Context, name string, c deadletter.Checkpoint) error {
	s.by[name] = c
	return s.err
}

func (s *checkpoints) Remove(_ context.Context, name string) error {
	delete(s.by, name)
	return s.err
}

func TestNamedJobGoesOnFromItsCheckpoint(t *testing.T) {
	s := newShop(t, 10)
	store := &checkpoints{by: make(map[string]deadletter.Checkpoint)}
	ctx, cancel := context.WithCancel(t.Context())
	job := deadletter.Redrive{Bus: s.Bus, Store: s.store, Name: "repair", Checkpoints: store}
	stopped := job
	stopped.OnProgress = func(r deadletter.Report) {
		if r.Tried == 4 {
			cancel()
		}
	}
	_, err := stopped.Run(ctx)
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, store.by, 1)
	dry := job
	dry.DryRun = true
	r, err := dry.Run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 6, r.Matched)
	assert.Len(t, store.by, 1, "a dry run changes nothing")
	r, err = job.Run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 6, r.Succeeded)
	assert.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, s.got)
	assert.Empty(t, store.by, "it is over")

	store.err = errBoom
	_, err = job.Run(t.Context())
	require.ErrorIs(t, err, errBoom)
	assert.ErrorContains(t, err, "repair")
	for _, bad := range []deadletter.Redrive{
		{Bus: s.Bus, Store: s.store, Checkpoints: store},
		{Bus: s.Bus, Store: s.store, Checkpoints: store, Name: "x", From: deadletter.Checkpoint{Last: uuid.New()}},
	} {
		_, err = bad.Run(t.Context())
		require.ErrorContains(t, err, "field")
	}
}
