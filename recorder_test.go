package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// witness writes down what it is told.
type witness struct {
	mu    sync.Mutex
	lines []string
	all   []jitney.Attempted
}

func (w *witness) Published(env *jitney.Envelope, by *jitney.Delivery, to []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, strings.TrimSpace(fmt.Sprintf("%s by %q to %s", env.Type, by.Subscriber, strings.Join(to, " "))))
}

func (w *witness) Attempted(a jitney.Attempted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := fmt.Sprintf("%s %d %s", a.Subscriber, a.Attempt, a.Outcome)
	if a.Redeliveries > 0 {
		line += " redelivered"
	}
	for _, s := range []string{a.Reason, a.Error} {
		if s != "" {
			line += ", " + s
		}
	}
	w.lines, w.all = append(w.lines, line), append(w.all, a)
}

func TestG45WhyItRan(t *testing.T) {
	w, letters := &witness{}, &jitney.MemoryDeadLetters{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		ctx := t.Context()
		broken := true
		jitney.Subscribe(b, "first", func(ctx context.Context, f fact) error {
			if jitney.FromContext(ctx).Attempt == 1 {
				time.Sleep(3 * time.Millisecond)
				return jitney.RetryAfter(time.Second, errBoom)
			}
			return b.Publish(ctx, other{f.N})
		}, jitney.WithRetry(jitney.Retry{Attempts: 2}))
		jitney.Subscribe(b, "second", func(context.Context, other) error {
			if broken {
				return jitney.Permanent(errBoom)
			}
			return jitney.Skip(nil)
		}, jitney.WithDeadLetters(letters))
		require.NoError(t, b.Publish(ctx, fact{}))
		require.NoError(t, b.Flush(ctx))
		broken = false
		list, err := letters.List(ctx, jitney.DeadLetterFilter{})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.NoError(t, b.Redeliver(ctx, list[0]))
		require.NoError(t, b.Publish(ctx, moody{}))
		require.NoError(t, b.Publish(ctx, moody{}))
	}, jitney.WithRecorder(w))
	assert.Equal(t, []string{
		`test.fact by "" to first`,
		"first 1 retry, boom",
		`test.other by "first" to second`,
		"first 2 handled",
		"second 1 dead, permanent, boom",
		"second 1 skipped redelivered, skipped",
		`test.moody by "" to`,
		`test.moody by "" to`,
	}, inOrder(w.lines))
	assert.Equal(t, 3*time.Millisecond, w.all[0].Took)
	assert.Equal(t, time.Second, w.all[0].Wait)
	assert.Equal(t, w.all[0].Began.Add(3*time.Millisecond+time.Second), w.all[1].Began)
}

// inOrder puts right what two subscribers may tell in either order.
func inOrder(lines []string) []string {
	for i := 1; i < len(lines); i++ {
		if lines[i] == "first 2 handled" && strings.HasPrefix(lines[i-1], "second") {
			lines[i-1], lines[i] = lines[i], lines[i-1]
		}
	}
	return lines
}

func TestARecorderIsToldWhenADeliveryEndsWithoutAnAttempt(t *testing.T) {
	w := &witness{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		ctx := t.Context()
		jitney.Subscribe(b, "picks", ignore, jitney.WithFilter(func(fact) bool { return false }))
		for name, o := range map[string]jitney.Overflow{"drops": jitney.DropOldest, "rejects": jitney.Reject} {
			jitney.Subscribe(b, name, ignore, jitney.WithBuffer(1), jitney.WithOverflow(o)).Pause()
		}
		require.NoError(t, b.Publish(ctx, fact{}))
		var refused *jitney.PublishError
		require.ErrorAs(t, b.Publish(ctx, fact{}), &refused)
		for _, s := range b.Subscriptions() {
			s.Resume()
		}
	}, jitney.WithRecorder(w))
	assert.Contains(t, w.lines, "drops 0 dropped")
	assert.Contains(t, w.lines, "picks 0 filtered")
	assert.Contains(t, w.lines, "rejects 0 refused, queue full: it holds 1")
	assert.Contains(t, w.lines, "rejects 1 handled")
}

func TestARecorderIsToldOfGoexitAndOfALetterStoredLate(t *testing.T) {
	w, letters := &witness{}, &fickle{fail: 2}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		jitney.Subscribe(b, "exits", func(ctx context.Context, _ fact) error {
			if jitney.FromContext(ctx).Attempt == 1 {
				runtime.Goexit()
			}
			return nil
		}, jitney.WithRetry(jitney.Retry{}))
		jitney.Subscribe(b, "dies", func(context.Context, other) error { return errBoom }, jitney.WithDeadLetters(letters))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		require.NoError(t, b.Publish(t.Context(), other{}))
	}, jitney.WithRecorder(w))
	assert.Equal(t, []string{
		`test.fact by "" to exits`, "exits 1 retry, runtime.Goexit called", "exits 2 handled",
		`test.other by "" to dies`, "dies 1 held, exhausted, boom", "dies 1 dead, exhausted, boom",
	}, w.lines)
	assert.Zero(t, w.all[0].Began)
}

// fickle is a letter store that fails a few times.
type fickle struct {
	jitney.MemoryDeadLetters
	fail int
}

func (f *fickle) Add(ctx context.Context, l jitney.DeadLetter) error {
	if f.fail--; f.fail >= 0 {
		return errors.New("store is down")
	}
	return f.MemoryDeadLetters.Add(ctx, l)
}

func TestARecorderIsToldOfASynchronousDelivery(t *testing.T) {
	w := &witness{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		jitney.Subscribe(b, "here", func(context.Context, fact) error { return errBoom },
			jitney.WithSync(), jitney.WithRetry(jitney.Retry{Base: time.Hour, Max: time.Hour, Jitter: jitney.NoJitter}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, b.Publish(ctx, fact{}), errBoom)
	}, jitney.WithRecorder(w))
	require.Len(t, w.all, 2, "its publisher's error is no refusal")
	assert.Equal(t, "retry", w.all[0].Outcome)
	assert.Equal(t, jitney.ReasonAbandoned, w.all[1].Reason)
	assert.Equal(t, 1, w.all[1].Attempt)
}

type rowdy struct{}

func (rowdy) Published(*jitney.Envelope, *jitney.Delivery, []string) { panic("published") }

func (rowdy) Attempted(jitney.Attempted) { panic("attempted") }

func TestARecordersPanicsHurtNobodyAndAllAreTold(t *testing.T) {
	w := &witness{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		s := jitney.Subscribe(b, "any", ignore)
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.EqualValues(t, 1, s.Stats().Handled)
	}, jitney.WithRecorder(rowdy{}), jitney.WithRecorder(w))
	assert.Equal(t, []string{`test.fact by "" to any`, "any 1 handled"}, w.lines)
	assert.Panics(t, func() { jitney.WithRecorder(nil) })
}

func TestARecorderIsToldOfEachEventOfABatch(t *testing.T) {
	w := &witness{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		jitney.SubscribeBatch(b, "batches", func(ctx context.Context, batch []fact) error {
			time.Sleep(3 * time.Millisecond)
			if jitney.Deliveries(ctx)[len(batch)-1].Attempt == 1 {
				return &jitney.BatchError{Errs: []error{nil, jitney.Permanent(errBoom), jitney.RetryAfter(time.Second, errBoom)}}
			}
			return nil
		}, jitney.WithBatch(3, time.Minute), jitney.WithRetry(jitney.Retry{Attempts: 2}), jitney.WithDeadLetters(&jitney.MemoryDeadLetters{}))
		for n := range 3 {
			require.NoError(t, b.Publish(t.Context(), fact{N: n}))
		}
		require.NoError(t, b.Flush(t.Context()))
	}, jitney.WithRecorder(w))
	assert.Equal(t, []string{
		"test.fact by \"\" to batches", "test.fact by \"\" to batches", "test.fact by \"\" to batches",
		"batches 1 handled", "batches 1 dead, permanent, boom", "batches 1 retry, boom", "batches 2 handled",
	}, w.lines)
	for _, a := range w.all {
		assert.False(t, a.Began.IsZero())
		assert.Equal(t, 3*time.Millisecond, a.Took)
	}
}

func TestARecorderIsToldOfQuestions(t *testing.T) {
	w := &witness{}
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		ctx := t.Context()
		sums := jitney.Answer(b, "sums", func(ctx context.Context, q double) (int, error) {
			switch {
			case q.N < 0:
				runtime.Goexit()
			case q.N == 0:
				return 0, errBoom
			}
			time.Sleep(3 * time.Millisecond)
			return 2 * q.N, b.Publish(ctx, other{})
		})
		jitney.Subscribe(b, "asker", func(ctx context.Context, f fact) error {
			_, err := jitney.Ask(ctx, b, double{N: f.N})
			return err
		})
		require.NoError(t, b.Publish(ctx, fact{N: 1}))
		require.NoError(t, b.Flush(ctx))
		_, err := jitney.Ask(ctx, b, double{})
		require.ErrorIs(t, err, errBoom)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = jitney.Ask(ctx, b, double{N: -1})
		}()
		<-ended
		sums.Pause()
		_, err = jitney.Ask(ctx, b, double{})
		require.ErrorIs(t, err, jitney.ErrPaused)
		_, err = jitney.Ask(ctx, b, half{})
		require.ErrorIs(t, err, jitney.ErrNoAnswer)
	}, jitney.WithRecorder(w))
	assert.Equal(t, []string{
		`test.fact by "" to asker`,
		`test.double by "asker" to sums`, `test.other by "sums" to`, "sums 1 handled",
		"asker 1 handled",
		`test.double by "" to sums`, "sums 1 failed, boom",
		`test.double by "" to sums`, "sums 1 failed, runtime.Goexit called",
		`test.double by "" to sums`, "sums 0 refused, paused",
	}, w.lines)
	assert.Equal(t, w.all[1].ID, w.all[0].CausationID)
	assert.Equal(t, 3*time.Millisecond, w.all[0].Took)
	assert.Zero(t, w.all[3].Began)
}

// What a batch is held for, or skipped for, is told as of an event that is handed over alone.
func TestARecorderIsToldOfABatchThatIsHeldOrKnown(t *testing.T) {
	var told [2][]string
	for i := range told {
		w := &witness{}
		bubble(t, func(t *testing.T, b *jitney.Bus) {
			opts := []jitney.SubscribeOption{
				jitney.WithDeadLetters(&fickle{fail: 2}), jitney.WithIdempotency(&jitney.MemoryInbox{}),
				jitney.WithIdempotencyKey(func(jitney.Event) string { return "once" }), jitney.WithBatch(1, time.Second),
			}
			fail := true
			handle := func() error {
				if fail {
					fail = false
					return jitney.Permanent(errBoom)
				}
				return nil
			}
			if i == 0 {
				jitney.Subscribe(b, "s", func(context.Context, fact) error { return handle() }, opts[:3]...)
			} else {
				jitney.SubscribeBatch(b, "s", func(context.Context, []fact) error { return handle() }, opts...)
			}
			for range 3 {
				require.NoError(t, b.Publish(t.Context(), fact{}))
				require.NoError(t, b.Flush(t.Context()))
			}
		}, jitney.WithRecorder(w))
		told[i] = w.lines
	}
	assert.Contains(t, told[0], "s 1 held, permanent, boom")
	assert.Equal(t, told[0], told[1])
}
