package natstest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

// Counted is an event: the N-th of its key.
type Counted struct {
	Key string
	N   int
}

// EventType implements jitney.Event.
func (Counted) EventType() string { return "natstest.counted" }

// EventKey is the key.
func (c Counted) EventKey() string { return c.Key }

// Load is publishers that do not stop, and subscribers, and what each of them has been told.
type Load struct {
	bus        *jitney.Bus
	stop       chan struct{}
	publishers sync.WaitGroup

	mu            sync.Mutex
	acknowledged  map[Counted]bool
	refused       map[Counted]error // said not to be stored
	indeterminate int
	unknown       []Counted // it was indeterminate until the end
	heard         map[string]*hearing
}

// hearing is what a subscriber's handler has been given: each time is an effect.
type hearing struct {
	effects map[Counted]int
	first   map[string][]int // of each key, in the order of the first time
	repeats int
}

// Begin returns a load on j that has begun. Whoever publishes gives up at the end of ctx.
func Begin(ctx context.Context, j *Process) *Load {
	l := &Load{
		stop: make(chan struct{}), acknowledged: make(map[Counted]bool), refused: make(map[Counted]error), heard: make(map[string]*hearing),
	}
	l.bus = jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)), jitney.WithPublishHook(remember))
	l.subscribe("plain")
	l.subscribe("keyed", jitney.WithWorkers(4))
	l.subscribe("once", jitney.WithWorkers(8), jitney.WithIdempotency(j.Inbox()))
	for p := range 8 {
		l.publishers.Go(func() { l.publish(ctx, fmt.Sprint("publisher ", p)) })
	}
	return l
}

func (l *Load) subscribe(name string, opts ...jitney.SubscribeOption) {
	h := &hearing{effects: make(map[Counted]int), first: make(map[string][]int)}
	l.heard[name] = h
	jitney.Subscribe(l.bus, name, func(_ context.Context, e Counted) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if h.effects[e]++; h.effects[e] > 1 {
			h.repeats++
			return nil
		}
		h.first[e.Key] = append(h.first[e.Key], e.N)
		return nil
	}, append(opts, jitney.WithStart(jitney.FromBeginning()))...)
}

type envelopeKey struct{}

// remember gives a publisher the envelope that was made for it.
func remember(ctx context.Context, env *jitney.Envelope) error {
	*ctx.Value(envelopeKey{}).(**jitney.Envelope) = env
	return nil
}

// publish publishes events of key until the load ends. What is not stored it leaves; what is indeterminate it publishes
// again until it is stored.
func (l *Load) publish(ctx context.Context, key string) {
	const pause = 5 * time.Millisecond
	for n := 0; ctx.Err() == nil; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		var env *jitney.Envelope
		e := Counted{key, n}
		err := l.bus.Publish(context.WithValue(ctx, envelopeKey{}, &env), e)
		doubt := errors.Is(err, jitney.ErrIndeterminate)
		for doubt && err != nil && ctx.Err() == nil {
			<-time.After(pause)
			err = l.bus.Forward(ctx, env)
		}
		l.told(e, doubt, err)
		if err != nil {
			<-time.After(pause)
		}
	}
}

// told takes note of what has become of e.
func (l *Load) told(e Counted, doubt bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if doubt {
		l.indeterminate++
	}
	switch {
	case err == nil:
		l.acknowledged[e] = true
	case doubt:
		l.unknown = append(l.unknown, e)
	default:
		l.refused[e] = err
	}
}

// GoesOn waits until n more events have been acknowledged.
func (l *Load) GoesOn(t testing.TB, n int) {
	t.Helper()
	acknowledged := func() int {
		n, _ := l.counts()
		return n
	}
	target := acknowledged() + n
	require.Eventually(t, func() bool { return acknowledged() >= target }, time.Minute, 2*time.Millisecond, "nothing is acknowledged any more")
}

// Back waits until something has been acknowledged and something handled after a fault, and says in the log how long that
// took since it began.
func (l *Load) Back(t testing.TB, since time.Time) {
	t.Helper()
	acknowledged, handled := l.counts()
	l.GoesOn(t, 1)
	again := time.Since(since)
	require.Eventually(t, func() bool {
		_, n := l.counts()
		return n > handled
	}, time.Minute, 2*time.Millisecond, "nothing is handled any more")
	t.Logf("after %d were acknowledged and %d handled: acknowledged again after %v, handled again after %v",
		acknowledged, handled, again.Round(time.Millisecond), time.Since(since).Round(time.Millisecond))
}

// counts are how many events have been acknowledged, and handled by the subscriber that has had the fewest.
func (l *Load) counts() (acknowledged, handled int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	handled = math.MaxInt
	for _, h := range l.heard {
		handled = min(handled, len(h.effects))
	}
	return len(l.acknowledged), handled
}

// End ends the load when all has been handled, and compares what everybody was told with what is stored. Nobody has
// died and no place was lost, so nothing may have been handled again.
func (l *Load) End(ctx context.Context, t testing.TB, j jitney.Journal) {
	t.Helper()
	close(l.stop)
	l.publishers.Wait()
	require.NoError(t, l.bus.Flush(ctx))
	require.NoError(t, l.bus.Shutdown(ctx))
	stored := Everything(ctx, t, j)
	order := l.agrees(t, stored)
	repeats := 0
	for name, h := range l.heard {
		assert.Equal(t, order, h.first, "%s has handled %d events, of %d stored, or not in their order", name, len(h.effects), len(stored))
		assert.Zero(t, h.repeats, "%s has handled events again", name)
		repeats += h.repeats
	}
	t.Logf("%d acknowledged, %d stored, %d refused, %d indeterminate, %d handled again; with an inbox %d effects, %d twice",
		len(l.acknowledged), len(stored), len(l.refused), l.indeterminate, repeats, len(l.heard["once"].effects), l.heard["once"].repeats)
}

// agrees compares what publishers were told with what is stored, and returns the order of each key.
func (l *Load) agrees(t testing.TB, stored []Counted) (order map[string][]int) {
	t.Helper()
	in := make(map[Counted]bool)
	order = make(map[string][]int)
	for _, e := range stored {
		assert.False(t, in[e], "%v is stored twice", e)
		in[e] = true
		assert.NoError(t, l.refused[e], "%v is stored, and its publisher was told something else", e)
		of := order[e.Key]
		assert.True(t, len(of) == 0 || of[len(of)-1] < e.N, "%s: %d is stored behind a later one", e.Key, e.N)
		order[e.Key] = append(of, e.N)
	}
	for e := range l.acknowledged {
		assert.True(t, in[e], "%v was acknowledged and is lost", e)
	}
	assert.Empty(t, l.unknown, "not known until the end")
	return order
}

// Everything reads the whole journal.
func Everything(ctx context.Context, t testing.TB, j jitney.Journal) (list []Counted) {
	t.Helper()
	c, err := j.Open(ctx, jitney.Durable{Name: "everything", From: jitney.FromBeginning()})
	require.NoError(t, err)
	end, err := j.End(ctx)
	require.NoError(t, err)
	for through := int64(0); through < end; {
		var entries []jitney.Entry
		entries, through, err = c.Next(ctx, 1000)
		require.NoError(t, err)
		for _, e := range entries {
			require.NoError(t, e.Err)
			list = append(list, e.Envelope.Event.(Counted))
		}
	}
	require.NoError(t, c.Close(ctx))
	return list
}
