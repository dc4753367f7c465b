package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// witness is a test that may fail without failing the one that watches it.
type witness struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (w *witness) Helper()          {}
func (w *witness) Log(...any)       {}
func (w *witness) Cleanup(f func()) { w.cleanups = append(w.cleanups, f) }
func (w *witness) Fatal(args ...any) {
	w.Errorf("%s", fmt.Sprint(args...))
	runtime.Goexit()
}
func (w *witness) Fatalf(format string, args ...any) {
	w.Errorf(format, args...)
	runtime.Goexit()
}
func (w *witness) Errorf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
}

// watch runs a test and its cleanups, and returns how it failed.
func watch(test func(t testing.TB)) []string {
	w := &witness{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for i := len(w.cleanups) - 1; i >= 0; i-- {
				w.cleanups[i]()
			}
		}()
		test(w)
	}()
	<-done
	return w.failures
}

var errBroken = errors.New("broken")

func fail(context.Context, happened) error { return errBroken }

func TestADeadLetterThatNobodyExpectedFailsTheTest(t *testing.T) {
	failures := watch(func(t testing.TB) {
		b := New(t)
		jitney.Subscribe(b, "s", fail)
		_ = b.Publish(context.Background(), happened{1})
	})
	require.Len(t, failures, 1)
	assert.Contains(t, failures[0], "1 dead letters that nobody expected")
}

func TestExpectedDeadLettersAreReturnedWhateverTheirStore(t *testing.T) {
	b := New(t)
	jitney.Subscribe(b, "default", fail)
	jitney.Subscribe(b, "own", fail, jitney.WithDeadLetters(&jitney.MemoryDeadLetters{}))
	jitney.Subscribe(b, "none", fail, jitney.WithDeadLetters(nil))
	require.NoError(t, b.Publish(t.Context(), happened{1}))
	assert.Len(t, ExpectDeadLetters(t, b, 3), 3)
	assert.Empty(t, ExpectDeadLetters(t, b, 0))
}

func TestAnotherNumberOfDeadLettersFailsTheTest(t *testing.T) {
	assert.NotEmpty(t, watch(func(t testing.TB) { ExpectDeadLetters(t, New(t), 1) }))
}

func TestRecordersNeedABusFromNew(t *testing.T) {
	assert.Len(t, watch(func(t testing.TB) { Record[happened](t, jitney.New()) }), 1)
}

func TestRecordersSeeWhatWasPublishedAndWhatWasHandled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(t)
		published := Record[jitney.Event](t, b)
		handled := Handled[happened](t, b, "even")
		jitney.Subscribe(b, "even", func(_ context.Context, e happened) error {
			if e.N%2 == 1 {
				return jitney.Permanent(errBroken)
			}
			return nil
		})
		require.NoError(t, b.Publish(t.Context(), happened{1}, happened{2}))
		assert.Len(t, published.Wait(2), 2)
		assert.Equal(t, []happened{{2}}, handled.Flush())
		assert.Equal(t, "even", handled.Deliveries()[0].Subscriber)
		ExpectDeadLetters(t, b, 1)
	})
}

func TestWaitFailsTheTestAfterItsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		assert.Len(t, watch(func(t testing.TB) { Record[happened](t, New(t)).Wait(1) }), 1)
	})
}

type list struct{ items []int }

func (*list) EventType() string { return "list.made" }

func TestImmutableNamesTheSubscriberThatChangedAnEvent(t *testing.T) {
	failures := watch(func(t testing.TB) {
		b := New(t, Immutable(t))
		jitney.Subscribe(b, "vandal", func(_ context.Context, e *list) error { e.items[0]++; return nil })
		_ = b.Publish(context.Background(), &list{[]int{1}})
	})
	require.Len(t, failures, 1)
	assert.Contains(t, failures[0], "list.made was changed while it was handled by vandal")
}

// inboxFunc breaks an inbox that works.
type inboxFunc func(context.Context, jitney.InboxKey, func(context.Context) error) error

func (f inboxFunc) Run(ctx context.Context, k jitney.InboxKey, h func(context.Context) error) error {
	return f(ctx, k, h)
}

func broken[S any](t *testing.T, laws []law[S], s func() S) {
	t.Helper()
	for _, l := range laws {
		if l.check(t.Context(), s()) != nil {
			return
		}
	}
	t.Error("the suite has not noticed")
}

func TestTheInboxSuiteFailsBrokenInboxes(t *testing.T) {
	for name, breaks := range map[string]func(*jitney.MemoryInbox) inboxFunc{
		"marks on arrival": func(in *jitney.MemoryInbox) inboxFunc {
			return func(ctx context.Context, k jitney.InboxKey, h func(context.Context) error) error {
				var failed error
				err := in.Run(ctx, k, func(ctx context.Context) error { failed = h(ctx); return nil })
				return errors.Join(failed, err)
			}
		},
		"does not remember": func(*jitney.MemoryInbox) inboxFunc {
			return func(ctx context.Context, _ jitney.InboxKey, h func(context.Context) error) error { return h(ctx) }
		},
		"ignores the subscriber": func(in *jitney.MemoryInbox) inboxFunc {
			return func(ctx context.Context, k jitney.InboxKey, h func(context.Context) error) error {
				k.Subscriber = ""
				return in.Run(ctx, k, h)
			}
		},
		"ignores the fingerprint": func(in *jitney.MemoryInbox) inboxFunc {
			return func(ctx context.Context, k jitney.InboxKey, h func(context.Context) error) error {
				k.Fingerprint = ""
				return in.Run(ctx, k, h)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			broken(t, inboxLaws, func() jitney.Inbox { return breaks(&jitney.MemoryInbox{}) })
		})
	}
}

type forgetful struct{ jitney.MemoryDeadLetters }

func (*forgetful) Remove(context.Context, uuid.UUID) error { return nil }

type pageless struct{ jitney.MemoryDeadLetters }

func (p *pageless) List(ctx context.Context, f jitney.DeadLetterFilter) ([]jitney.DeadLetter, error) {
	f.After = uuid.Nil
	return p.MemoryDeadLetters.List(ctx, f)
}

// sharing returns the letters it holds.
type sharing struct {
	jitney.MemoryDeadLetters
	mu   sync.Mutex
	held map[uuid.UUID]jitney.DeadLetter
}

func (s *sharing) Get(ctx context.Context, id uuid.UUID) (jitney.DeadLetter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.held[id]; ok {
		return l, nil
	}
	l, err := s.MemoryDeadLetters.Get(ctx, id)
	if err == nil {
		s.held[id] = l
	}
	return l, err
}

func TestTheDeadLetterSuiteFailsBrokenStores(t *testing.T) {
	broken(t, storeLaws, func() jitney.DeadLetterStore { return &forgetful{} })
	broken(t, storeLaws, func() jitney.DeadLetterStore { return &pageless{} })
	broken(t, storeLaws[3:4], func() jitney.DeadLetterStore {
		return &sharing{held: make(map[uuid.UUID]jitney.DeadLetter)}
	})
}
