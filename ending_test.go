package jitney_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
)

// slowToClose is a journal whose cursors do not close before their context ends.
type slowToClose struct{ jitney.Journal }

func (j slowToClose) Open(ctx context.Context, d jitney.Durable) (jitney.Cursor, error) {
	c, err := j.Journal.Open(ctx, d)
	return slowCursor{c}, err
}

type slowCursor struct{ jitney.Cursor }

func (c slowCursor) Close(ctx context.Context) error {
	<-ctx.Done()
	return errors.Join(ctx.Err(), c.Cursor.Close(ctx))
}

// shutIn calls Shutdown with a deadline in a second, and returns how long it took.
func shutIn(t *testing.T, b *jitney.Bus) (left *jitney.UnhandledError, took time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin := time.Now()
	if err := b.Shutdown(ctx); err != nil {
		require.ErrorAs(t, err, &left)
	}
	return left, time.Since(begin)
}

func TestShutdownClosesAllCursorsWithinOneGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent, jitney.WithJournal(slowToClose{jitneytest.NewMemoryJournal(known())}))
		for i := range 20 {
			jitney.Subscribe(b, fmt.Sprint("s", i), ignore)
		}
		synctest.Wait()
		left, took := shutIn(t, b)
		assert.Nil(t, left)
		assert.Equal(t, 5*time.Second, took)
	})
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent, jitney.WithJournal(slowToClose{jitneytest.NewMemoryJournal(known())}))
		deaf := make(chan struct{})
		jitney.Subscribe(b, "deaf", func(context.Context, fact) error { <-deaf; return nil })
		jitney.Subscribe(b, "other", ignore)
		require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
		synctest.Wait()
		left, took := shutIn(t, b)
		require.Len(t, left.Unhandled, 1)
		assert.True(t, left.Unhandled[0].Running)
		assert.Equal(t, 6*time.Second, took)
		close(deaf)
	})
}

func TestADueEventWhoseHandlerHangsIsNamedOnceAndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		release := make(chan struct{})
		jitney.Subscribe(b, "deaf", func(context.Context, fact) error { <-release; return nil }, jitney.WithSync())
		var interrupted time.Time
		jitney.Subscribe(b, "other", func(ctx context.Context, _ other) error {
			<-ctx.Done()
			interrupted = time.Now()
			return ctx.Err()
		})
		due := time.Now()
		_, err := b.Schedule(t.Context(), due, fact{N: 1})
		require.NoError(t, err)
		require.NoError(t, b.Publish(t.Context(), other{}))
		synctest.Wait()
		left, took := shutIn(t, b)
		assert.Equal(t, 6*time.Second, took)
		assert.Equal(t, due.Add(time.Second), interrupted, "nobody else's grace begins later for it")
		require.Len(t, left.Unhandled, 2)
		u := left.Unhandled[0]
		assert.Equal(t, "deaf", u.Subscriber)
		assert.True(t, u.Running)
		assert.Equal(t, due, u.Due)
		assert.Equal(t, "other", left.Unhandled[1].Subscriber)
		close(release)
	})
}

func TestWhatDoesNotDecideAboutADurableEventIsNamedInTime(t *testing.T) {
	hang := make(chan struct{})
	for name, opt := range map[string]jitney.SubscribeOption{
		"filter": jitney.WithFilter(func(fact) bool { <-hang; return true }),
		"share":  jitney.WithFairShare(jitney.FairShare{By: func(*jitney.Envelope) string { <-hang; return "" }}),
	} {
		for _, end := range []string{"Shutdown", "Close"} {
			t.Run(name+", "+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hang = make(chan struct{})
					j := jitneytest.NewMemoryJournal(known())
					b := jitney.New(silent, jitney.WithJournal(j))
					s := jitney.Subscribe(b, "s", ignore, opt)
					require.NoError(t, b.Publish(t.Context(), fact{N: 1}))
					synctest.Wait()
					begin := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					err := map[string]func(context.Context) error{"Shutdown": b.Shutdown, "Close": s.Close}[end](ctx)
					assert.LessOrEqual(t, time.Since(begin), 6*time.Second)
					var left *jitney.UnhandledError
					require.ErrorAs(t, err, &left)
					require.ErrorIs(t, err, jitney.ErrDeadline)
					require.Len(t, left.Unhandled, 1)
					u := left.Unhandled[0]
					assert.Equal(t, fact{N: 1}, u.Envelope.Event)
					assert.Equal(t, "s", u.Subscriber)
					assert.True(t, u.Running)
					require.Error(t, u.Err)
					assert.Contains(t, err.Error(), "whose filter or FairShare does not return")
					close(hang)
					synctest.Wait()
					_ = b.Shutdown(t.Context())

					b = jitney.New(silent, jitney.WithJournal(j))
					var h heard
					jitney.Subscribe(b, "s", h.handle)
					require.NoError(t, b.Flush(t.Context()))
					assert.Equal(t, []int{1}, h.numbers(), "it comes again")
					require.NoError(t, b.Shutdown(t.Context()))
				})
			})
		}
	}
}

func TestFlushEndsWithShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := jitney.New(silent)
		s := jitney.Subscribe(b, "s", ignore)
		s.Pause()
		require.NoError(t, b.Publish(t.Context(), fact{}))
		flushed := make(chan error)
		go func() { flushed <- b.Flush(context.Background()) }()
		synctest.Wait()
		require.ErrorIs(t, b.Shutdown(t.Context()), jitney.ErrHeldBack)
		require.ErrorIs(t, <-flushed, jitney.ErrClosed)
		require.ErrorIs(t, b.Flush(context.Background()), jitney.ErrClosed)
	})
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		jitney.Subscribe(b, "s", ignore)
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Shutdown(t.Context()))
		require.NoError(t, b.Flush(t.Context()), "nothing is left")
	})
	synctest.Test(t, func(t *testing.T) {
		j := jitneytest.NewMemoryJournal(known())
		b := jitney.New(silent, jitney.WithJournal(j))
		jitney.Subscribe(b, "s", ignore)
		require.NoError(t, b.Shutdown(t.Context()))
		require.NoError(t, b.Flush(t.Context()))
		next := jitney.New(silent, jitney.WithJournal(j))
		require.NoError(t, next.Publish(t.Context(), fact{}))
		require.ErrorIs(t, b.Flush(context.Background()), jitney.ErrClosed, "it is stored, and s does not get it here")
		require.NoError(t, next.Shutdown(t.Context()))
	})
}

func TestWhatStaysInTheJournalIsNotNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := jitneytest.NewMemoryJournal(known())
		b := jitney.New(silent, jitney.WithJournal(j))
		s := jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error { <-ctx.Done(); return ctx.Err() })
		for n := range 10 {
			require.NoError(t, b.Publish(t.Context(), fact{N: n}))
		}
		synctest.Wait()
		left, took := shutIn(t, b)
		assert.Nil(t, left)
		assert.Equal(t, time.Second, took)
		assert.Zero(t, s.Stats().Unaccounted())

		b = jitney.New(silent, jitney.WithJournal(j))
		var h heard
		jitney.Subscribe(b, "s", h.handle)
		require.NoError(t, b.Flush(t.Context()))
		assert.Len(t, h.numbers(), 10)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

func TestADueEventIsHandledOnUntilShutdownsDeadline(t *testing.T) {
	for handling, late := range map[time.Duration]bool{time.Second / 2: false, time.Hour: true} {
		synctest.Test(t, func(t *testing.T) {
			b := jitney.New(silent)
			var cause error
			s := jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
				select {
				case <-ctx.Done():
					cause = context.Cause(ctx)
					return cause
				case <-time.After(handling):
					return nil
				}
			}, jitney.WithSync())
			_, err := b.Schedule(t.Context(), time.Now(), fact{N: 1})
			require.NoError(t, err)
			synctest.Wait()
			left, _ := shutIn(t, b)
			if !late {
				assert.Nil(t, left)
				require.NoError(t, cause)
				assert.EqualValues(t, 1, s.Stats().Handled)
				return
			}
			require.ErrorIs(t, cause, jitney.ErrDeadline)
			require.Len(t, left.Unhandled, 1)
			assert.Equal(t, "s", left.Unhandled[0].Subscriber)
		})
	}
}

type never struct{ until chan struct{} }

func (n never) Next(time.Time) time.Time { <-n.until; return time.Time{} }

func TestShutdownDoesNotWaitForATimetableForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logged
		b := jitney.New(jitney.WithLogger(slog.New(slog.NewTextHandler(&l, nil))))
		n := never{make(chan struct{})}
		b.Recur("never", n, func(time.Time) jitney.Event { return fact{} })
		synctest.Wait()
		left, took := shutIn(t, b)
		assert.Nil(t, left)
		assert.Equal(t, 6*time.Second, took)
		assert.NotEmpty(t, l.line("no longer waited for"))
		close(n.until)
	})
}
