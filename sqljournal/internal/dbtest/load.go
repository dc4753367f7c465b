package dbtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
)

// load is publishers that do not stop, and subscribers, and what each of them has been told.
type load struct {
	bus        *jitney.Bus
	stop       chan struct{}
	publishers sync.WaitGroup

	mu            sync.Mutex
	acknowledged  map[Counted]bool
	refused       map[Counted]error // said not to be stored
	indeterminate int
	unknown       []Counted // it was indeterminate until the end
	last          time.Time // of an acknowledgement
	silence       time.Duration
	heard         map[string]*hearing
}

// hearing is what a subscriber has been given.
type hearing struct {
	seen    map[Counted]bool
	first   map[string][]int // of each key, in the order of the first time
	repeats int
	inside  map[string]bool // keys whose handler runs
	twice   int             // times that it ran already
}

// begun returns a load on j that has begun. Whoever publishes gives up at the end of ctx.
func begun(ctx context.Context, j *sqljournal.Journal) *load {
	l := &load{
		stop: make(chan struct{}), last: time.Now(),
		acknowledged: make(map[Counted]bool), refused: make(map[Counted]error), heard: make(map[string]*hearing),
	}
	l.bus = jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)), jitney.WithPublishHook(remember))
	l.subscribe("plain")
	l.subscribe("keyed", jitney.WithWorkers(4))
	for p := range 8 {
		l.publishers.Go(func() { l.publish(ctx, fmt.Sprint("publisher ", p)) })
	}
	return l
}

func (l *load) subscribe(name string, opts ...jitney.SubscribeOption) {
	h := &hearing{seen: make(map[Counted]bool), first: make(map[string][]int), inside: make(map[string]bool)}
	l.heard[name] = h
	jitney.Subscribe(l.bus, name, func(_ context.Context, e Counted) error {
		l.enter(h, e.Key)
		l.mu.Lock()
		defer l.mu.Unlock()
		h.inside[e.Key] = false
		if h.seen[e] {
			h.repeats++
			return nil
		}
		h.seen[e] = true
		h.first[e.Key] = append(h.first[e.Key], e.N)
		return nil
	}, append(opts, jitney.WithStart(jitney.FromBeginning()))...)
}

func (l *load) enter(h *hearing, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.inside[key] {
		h.twice++
	}
	h.inside[key] = true
}

type envelopeKey struct{}

// remember gives a publisher the envelope that was made for it.
func remember(ctx context.Context, env *jitney.Envelope) error {
	*ctx.Value(envelopeKey{}).(**jitney.Envelope) = env
	return nil
}

// publish publishes events of key until the load ends. What is not stored it leaves; what is indeterminate it publishes
// again until it is stored.
func (l *load) publish(ctx context.Context, key string) {
	const pause = 5 * time.Millisecond
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-ctx.Done():
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
func (l *load) told(e Counted, doubt bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if doubt {
		l.indeterminate++
	}
	switch {
	case err == nil:
		l.acknowledged[e] = true
		l.silence = max(l.silence, time.Since(l.last))
		l.last = time.Now()
	case doubt:
		l.unknown = append(l.unknown, e)
	default:
		l.refused[e] = err
	}
}

func (l *load) doubts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.indeterminate
}

// goesOn waits until n more events have been acknowledged.
func (l *load) goesOn(t *testing.T, n int) {
	t.Helper()
	acknowledged := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.acknowledged)
	}
	target := acknowledged() + n
	for deadline := time.Now().Add(2 * time.Minute); acknowledged() < target; <-time.After(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is acknowledged any more")
		}
	}
}

// end ends the load, when all has been handled.
func (l *load) end(ctx context.Context, t *testing.T) {
	t.Helper()
	close(l.stop)
	l.publishers.Wait()
	must(t, l.bus.Flush(ctx))
	must(t, l.bus.Shutdown(ctx))
}

// check compares what everybody was told with what is stored. Only if again is set may events have been handled again:
// their subscribers have lost their places meanwhile.
func (l *load) check(t *testing.T, stored []Counted, again bool) {
	t.Helper()
	in, order := make(map[Counted]bool), make(map[string][]int)
	for _, e := range stored {
		if in[e] {
			t.Errorf("%v is stored twice", e)
		}
		in[e] = true
		if err := l.refused[e]; err != nil {
			t.Errorf("%v is stored, and its publisher was told: %v", e, err)
		}
		if of := order[e.Key]; len(of) > 0 && of[len(of)-1] >= e.N {
			t.Errorf("%s: %d is stored behind %d", e.Key, e.N, of[len(of)-1])
		}
		order[e.Key] = append(order[e.Key], e.N)
	}
	for e := range l.acknowledged {
		if !in[e] {
			t.Errorf("%v was acknowledged and is lost", e)
		}
	}
	if len(l.unknown) > 0 {
		t.Errorf("not known until the end: %v", l.unknown)
	}
	repeats := 0
	for name, h := range l.heard {
		if got, want := fmt.Sprint(h.first), fmt.Sprint(order); got != want {
			t.Errorf("%s has handled %d events, of %d stored, or not in their order", name, len(h.seen), len(stored))
		}
		if h.twice > 0 {
			t.Errorf("%s: %d times a key had two handlers at once", name, h.twice)
		}
		if repeats += h.repeats; h.repeats > 0 && !again {
			t.Errorf("%s has handled %d events again", name, h.repeats)
		}
	}
	t.Logf("%d acknowledged, %d stored, %d refused, %d indeterminate, %d handled again; at most %v without an acknowledgement",
		len(l.acknowledged), len(stored), len(l.refused), l.indeterminate, repeats, l.silence.Round(time.Millisecond))
}

// everything reads the whole journal.
func everything(t *testing.T, j *sqljournal.Journal) (list []Counted) {
	t.Helper()
	c, err := j.Open(t.Context(), jitney.Durable{Name: "everything", From: jitney.FromBeginning()})
	must(t, err)
	end, err := j.End(t.Context())
	must(t, err)
	for through := int64(0); through < end; {
		var entries []jitney.Entry
		entries, through, err = c.Next(t.Context(), 1000)
		must(t, err)
		for _, e := range entries {
			must(t, e.Err)
			list = append(list, e.Envelope.Event.(Counted))
		}
	}
	must(t, c.Close(t.Context()))
	return list
}
