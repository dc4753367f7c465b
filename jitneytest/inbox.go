package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
)

// law is one sentence of an interface's contract.
type law[S any] struct {
	name  string
	check func(ctx context.Context, s S) error
}

// obeys runs each law in a subtest of its own, on something new.
func obeys[S any](t *testing.T, laws []law[S], create func(t *testing.T) S) {
	for _, l := range laws {
		t.Run(l.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := l.check(ctx, create(t))
			if left, is := errors.AsType[*leftOutError](err); is {
				t.Skip(left.Error())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInbox checks that an implementation of [jitney.Inbox] keeps its contract, one subtest per sentence.
// newInbox returns an empty inbox each time.
func TestInbox(t *testing.T, newInbox func(t *testing.T) jitney.Inbox) {
	obeys(t, inboxLaws, newInbox)
}

var inboxLaws = []law[jitney.Inbox]{
	{"Run calls handle with its context or one derived from it", inboxPassesContext},
	{"Success marks the key and the next Run is a duplicate", inboxMarksSuccess},
	{"An error does not mark the key and is returned as it is", inboxFailureIsFree},
	{"Of 200 concurrent duplicates one handles and all others are duplicates", inboxRunsOne},
	{"When the one that runs fails another runs", inboxRunsOther},
	{"A Run whose context ends while it waits says why", inboxWaitEnds},
	{"Another fingerprint under a marked key is a reuse unless one is empty", inboxFingerprint},
	{"Subscribers do not see each other's keys", inboxScope},
	{"Goexit in handle leaves the key free", inboxGoexit},
	{"A history of 8 clients is that of one mark per key", inboxLinear},
}

var errHandle = errors.New("handle failed")

func key(id string) jitney.InboxKey { return jitney.InboxKey{Subscriber: "billing", Business: id} }

func succeed(context.Context) error { return nil }

// expect runs handle under k and says how the outcome differs from want, and whether handle was called
// when it was not to be.
func expect(ctx context.Context, in jitney.Inbox, k jitney.InboxKey, handle func(context.Context) error, want error, called bool) error {
	ran := false
	err := in.Run(ctx, k, func(ctx context.Context) error { ran = true; return handle(ctx) })
	if !errors.Is(err, want) {
		return fmt.Errorf("Run of %v returned %v, expected %v", k, err, want)
	}
	if ran != called {
		return fmt.Errorf("Run of %v called handle: %v, expected %v", k, ran, called)
	}
	return nil
}

func inboxPassesContext(ctx context.Context, in jitney.Inbox) error {
	type mine struct{}
	ctx = context.WithValue(ctx, mine{}, "here")
	return expect(ctx, in, key("1"), func(ctx context.Context) error {
		if ctx.Value(mine{}) != "here" {
			return errors.New("handle's context does not stem from Run's")
		}
		return nil
	}, nil, true)
}

func inboxMarksSuccess(ctx context.Context, in jitney.Inbox) error {
	return errors.Join(
		expect(ctx, in, key("1"), succeed, nil, true),
		expect(ctx, in, key("1"), succeed, jitney.ErrDuplicate, false),
		expect(ctx, in, key("2"), succeed, nil, true))
}

func inboxFailureIsFree(ctx context.Context, in jitney.Inbox) error {
	err := in.Run(ctx, key("1"), func(context.Context) error { return errHandle })
	if err != errHandle {
		return fmt.Errorf("Run returned %v, expected handle's own error", err)
	}
	return expect(ctx, in, key("1"), succeed, nil, true)
}

func inboxRunsOne(ctx context.Context, in jitney.Inbox) error {
	var runs, duplicates atomic.Int32
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			err := in.Run(ctx, key("1"), func(context.Context) error { runs.Add(1); dally(); return nil })
			if errors.Is(err, jitney.ErrDuplicate) {
				duplicates.Add(1)
			}
		})
	}
	all.Wait()
	if runs.Load() != 1 || duplicates.Load() != 199 {
		return fmt.Errorf("%d ran and %d were duplicates, expected 1 and 199", runs.Load(), duplicates.Load())
	}
	return nil
}

// dally gives the others a chance to be where they should not.
func dally() {
	for range 50 {
		runtime.Gosched()
	}
}

func inboxRunsOther(ctx context.Context, in jitney.Inbox) error {
	running, second := make(chan struct{}), make(chan error, 1)
	var over atomic.Bool
	go func() {
		<-running
		second <- expect(ctx, in, key("1"), func(context.Context) error {
			if !over.Load() {
				return errors.New("two ran at once")
			}
			return nil
		}, nil, true)
	}()
	err := expect(ctx, in, key("1"), func(context.Context) error {
		close(running)
		dally()
		over.Store(true)
		return errHandle
	}, errHandle, true)
	if err != nil {
		return err
	}
	return <-second
}

func inboxWaitEnds(ctx context.Context, in jitney.Inbox) error {
	why := errors.New("no longer wanted")
	return expect(ctx, in, key("1"), func(context.Context) error {
		impatient, cancel := context.WithCancelCause(ctx)
		stop := time.AfterFunc(10*time.Millisecond, func() { cancel(why) })
		defer stop.Stop()
		return expect(impatient, in, key("1"), succeed, why, false)
	}, nil, true)
}

func inboxFingerprint(ctx context.Context, in jitney.Inbox) error {
	with := func(fingerprint string) jitney.InboxKey {
		return jitney.InboxKey{Subscriber: "billing", Business: "1", Fingerprint: fingerprint}
	}
	return errors.Join(
		expect(ctx, in, with("a"), succeed, nil, true),
		expect(ctx, in, with("a"), succeed, jitney.ErrDuplicate, false),
		expect(ctx, in, with("b"), succeed, jitney.ErrKeyReuse, false),
		expect(ctx, in, with(""), succeed, jitney.ErrDuplicate, false))
}

func inboxScope(ctx context.Context, in jitney.Inbox) error {
	return errors.Join(
		expect(ctx, in, jitney.InboxKey{Subscriber: "a", Business: "bc"}, succeed, nil, true),
		expect(ctx, in, jitney.InboxKey{Subscriber: "ab", Business: "c"}, succeed, nil, true),
		expect(ctx, in, jitney.InboxKey{Subscriber: "b", Business: "bc"}, succeed, nil, true))
}

func inboxGoexit(ctx context.Context, in jitney.Inbox) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = in.Run(ctx, key("1"), func(context.Context) error { runtime.Goexit(); return nil })
	}()
	<-ended
	return expect(ctx, in, key("1"), succeed, nil, true)
}

// op is one Run, its times being ticks of one counter.
type op struct {
	key, start, end int64 // of handle; 0 if it was not called
	began           int64 // when Run was called
	err             error
}

// inboxLinear lets 8 clients make 50 runs each over 20 keys, a third of which fail.
func inboxLinear(ctx context.Context, in jitney.Inbox) error {
	var clock atomic.Int64
	var mu sync.Mutex
	var history []op
	var all sync.WaitGroup
	for client := range uint64(8) {
		random := rand.New(rand.NewPCG(client, 1))
		all.Go(func() {
			for range 50 {
				o := op{key: random.Int64N(20), began: clock.Add(1)}
				fail := random.IntN(3) == 0
				o.err = in.Run(ctx, key(strconv.FormatInt(o.key, 10)), func(context.Context) error {
					o.start = clock.Add(1)
					defer func() { o.end = clock.Add(1) }()
					dally()
					if fail {
						return errHandle
					}
					return nil
				})
				mu.Lock()
				history = append(history, o)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return linear(history)
}

// linear says what no sequence of runs on one mark per key could have answered.
func linear(history []op) error {
	success := make(map[int64]op)
	for _, o := range history {
		before, twice := success[o.key]
		if o.err == nil && twice {
			return fmt.Errorf("key %d succeeded twice: %+v and %+v", o.key, before, o)
		}
		if o.err == nil {
			success[o.key] = o
		}
	}
	for i, o := range history {
		s, marked := success[o.key]
		duplicate := errors.Is(o.err, jitney.ErrDuplicate)
		switch {
		case duplicate && (!marked || o.start != 0):
			return fmt.Errorf("key %d was no duplicate: %+v", o.key, o)
		case !duplicate && o.start == 0:
			return fmt.Errorf("key %d was not handled: %+v", o.key, o)
		case !duplicate && marked && o.start > s.end:
			return fmt.Errorf("key %d ran after its success %+v: %+v", o.key, s, o)
		}
		for _, p := range history[:i] {
			if p.key == o.key && p.start != 0 && o.start != 0 && p.start < o.end && o.start < p.end {
				return fmt.Errorf("key %d ran twice at once: %+v and %+v", o.key, p, o)
			}
		}
	}
	return nil
}
