package jitney

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// waiter is a publisher that waits for room in a queue.
type waiter struct {
	parcel
	since   time.Time
	caller  atomic.Pointer[callStack] // of Publish
	answer  chan error                // nil: accepted
	reports uint8                     // times the watchdog has named it
}

// enlist puts p's publisher behind those that wait already. Called with mu held.
func (q *queue) enlist(p parcel) *waiter {
	w := &waiter{parcel: p, since: time.Now(), answer: make(chan error, 1)}
	q.room = append(q.room, w)
	q.watchdog.arm()
	return w
}

// grant lets in as many waiting publishers as there is room for, and, because a delivery of share s has
// made room in its share, one of that. Called with mu held.
func (q *queue) grant(s *share) {
	for len(q.room) > 0 && q.held() < q.limit {
		q.letIn(0)
	}
	if s == nil {
		return
	}
	i := slices.IndexFunc(q.room, func(w *waiter) bool { return w.claim().share == s.name })
	if i >= 0 && q.owes(q.room[i].parcel, q.held()) {
		q.letIn(i)
	}
}

func (q *queue) letIn(i int) {
	w := q.room[i]
	q.room = slices.Delete(q.room, i, i+1)
	q.admit(w.parcel)
	w.answer <- nil
}

// await waits until w's event is accepted; or until ctx or the timer ends, and then it is not.
func (q *queue) await(ctx context.Context, w *waiter, timeout *time.Timer) error {
	w.caller.Store(callers())
	var err error
	select {
	case err := <-w.answer:
		return err
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", ErrQueueFull, context.Cause(ctx))
	case <-timeout.C:
		timeout.Reset(0) // it has ended for the next queue too
		err = fmt.Errorf("%w for %v", ErrQueueFull, time.Since(w.since).Round(time.Millisecond))
	}
	if !q.withdraw(w) {
		return <-w.answer
	}
	return err
}

func (q *queue) withdraw(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.room, w)
	if i < 0 {
		return false
	}
	q.room = slices.Delete(q.room, i, i+1)
	q.stats.Refused++
	return true
}

// callStack is a way to some place in the code. To note it is cheap; to read it is not.
type callStack [16]uintptr

func callers() *callStack {
	var s callStack
	runtime.Callers(2, s[:])
	return &s
}

// caller returns the place outside this package that the package was called from, as file:line.
func caller() string { return callers().outside() }

func (s *callStack) outside() string {
	if s == nil {
		return "not known"
	}
	frames := runtime.CallersFrames(s[:])
	for {
		f, more := frames.Next()
		outside := !strings.HasPrefix(f.Function, packagePath+".") || strings.HasSuffix(f.File, "_test.go")
		if outside || !more {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
	}
}

const packagePath = "github.com/jitney-go/jitney"
