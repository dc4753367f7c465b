package dbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
)

// Storm runs the test of publishers that give up at any moment, beside others that do not: what was acknowledged is
// there, what was refused is not, nobody else is refused anything, and the journal goes on.
func Storm(t *testing.T, begin func(t *testing.T) *Database) {
	d := begin(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	j, err := d.Open(types())
	must(t, err)
	l := begun(ctx, j)
	l.goesOn(t, 1)
	const storming = 64
	over := make(chan struct{})
	for p := range storming {
		l.publishers.Go(func() { l.storm(ctx, over, fmt.Sprint("storming ", p)) })
	}
	for l.refusals() < 20*storming {
		l.goesOn(t, 20)
	}
	close(over)
	l.goesOn(t, 200)
	l.end(ctx, t)
	must(t, j.Close(ctx))
	for e, err := range l.refused {
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(e.Key, "storming") {
			t.Errorf("%v was refused: %v", e, err)
		}
	}
	l.check(t, everything(t, open(t, d)), false)
}

// storm publishes events of key until over is closed. It gives each of them up at a random moment, about half of them
// before they are stored, and publishes none again.
func (l *load) storm(ctx context.Context, over <-chan struct{}, key string) {
	patience := time.Millisecond
	for n := 0; ; n++ {
		select {
		case <-over:
			return
		case <-ctx.Done():
			return
		default:
		}
		var env *jitney.Envelope
		impatient, cancel := context.WithTimeout(context.WithValue(ctx, envelopeKey{}, &env), rand.N(patience))
		e := Counted{key, n}
		err := l.bus.Publish(impatient, e)
		cancel()
		patience = l.knows(e, err, patience)
	}
}

// knows takes note of what has become of e, whose publisher has had so much patience, and returns how much it is to have.
func (l *load) knows(e Counted, err error, patience time.Duration) time.Duration {
	if errors.Is(err, jitney.ErrIndeterminate) { // it may be there
		l.mu.Lock()
		defer l.mu.Unlock()
		l.indeterminate++
		return patience
	}
	l.told(e, false, err)
	if err == nil {
		return max(patience*2/3, 100*time.Microsecond)
	}
	return min(patience*3/2, time.Second)
}

// StormInTransactions runs the test of transactions whose contexts end at any moment: an error other than
// ErrIndeterminate says that there is nothing of them.
func StormInTransactions(t *testing.T, begin func(t *testing.T) *Database) {
	j := open(t, begin(t))
	l := &load{acknowledged: make(map[Counted]bool), refused: make(map[Counted]error), last: time.Now()}
	for p := range 4 {
		l.publishers.Go(func() {
			patience := time.Millisecond
			for n := 0; l.refusals() < 500; n++ {
				e := Counted{fmt.Sprint("storming ", p, "/", n), 0} // what is in doubt may still come, so no order is kept
				ctx, cancel := context.WithTimeout(context.Background(), rand.N(patience))
				err := j.Tx(ctx, func(ctx context.Context, _ *sql.Tx) error { return j.Append(ctx, sealed(e)) })
				cancel()
				patience = l.knows(e, err, patience)
			}
		})
	}
	l.publishers.Wait()
	must(t, j.Tx(t.Context(), func(ctx context.Context, _ *sql.Tx) error { return j.Append(ctx, sealed(Counted{"calm", 0})) }))
	l.check(t, everything(t, j), false)
}

func (l *load) refusals() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.refused)
}
