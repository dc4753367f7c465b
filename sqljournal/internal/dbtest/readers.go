package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/wire"
)

// Part is an event of a batch.
type Part struct {
	Publisher, Batch int
	N, Of            int // it is the N-th of so many, from 0 on
	Undone           bool
}

// EventType implements jitney.Event.
func (Part) EventType() string { return "dbtest.part" }

// Readers runs the test of readers beside publishers: they see one log, ordered, without gaps, with each batch in one
// piece, and go on where they were.
func Readers(t *testing.T, begin func(t *testing.T) *Database) {
	d := begin(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	js := []*sqljournal.Journal{openParts(t, d)}
	js = append(js, js[0])
	if d.Concurrent {
		js[1] = openParts(t, d) // as another process would
	}
	var stored, end atomic.Int64
	end.Store(-1) // not known yet
	steady, restless := &reader{seen: make(map[int64]part)}, &reader{seen: make(map[int64]part), restless: true}
	var publishers, readers sync.WaitGroup
	for i, r := range []*reader{steady, restless} {
		readers.Go(func() {
			for r.settled != end.Load() && r.err == nil {
				r.read(ctx, js[i], fmt.Sprint("reader ", i), &end)
			}
		})
	}
	for p := range 8 {
		publishers.Go(func() { publishParts(ctx, t, js[p%2], d.Concurrent, p, &stored) })
	}
	publishers.Wait()
	for _, j := range js { // what is committed may be in the outbox still
		last, err := j.End(ctx)
		must(t, err)
		if last != stored.Load() {
			t.Errorf("the journal ends at %d, %d were stored", last, stored.Load())
		}
	}
	end.Store(stored.Load())
	readers.Wait()
	for _, r := range []*reader{steady, restless} {
		must(t, r.err)
		checkParts(t, r.seen, stored.Load())
	}
	for pos, p := range steady.seen {
		if restless.seen[pos] != p {
			t.Errorf("position %d is %+v to one reader and %+v to the other", pos, p, restless.seen[pos])
		}
	}
	t.Logf("%d events; %d entries came again in %d readings", stored.Load(), restless.again, restless.readings)
}

func openParts(t *testing.T, d *Database) *sqljournal.Journal {
	ts := types()
	wire.Register[Part](ts)
	j, err := d.Open(ts)
	must(t, err)
	t.Cleanup(func() { must(t, j.Close(context.Background())) })
	return j
}

// publishParts publishes batches, and counts the events that are to be stored.
func publishParts(ctx context.Context, t *testing.T, j *sqljournal.Journal, concurrent bool, publisher int, stored *atomic.Int64) {
	b := jitney.New(jitney.WithJournal(j), jitney.WithLogger(slog.New(slog.DiscardHandler)))
	defer func() { must(t, b.Shutdown(context.WithoutCancel(ctx))) }()
	batch := 0
	publish := func(ctx context.Context, undone bool) error {
		events := make([]jitney.Event, 1+rand.IntN(5))
		for n := range events {
			events[n] = Part{publisher, batch, n, len(events), undone}
		}
		batch++
		if !undone {
			stored.Add(int64(len(events)))
		}
		return b.Publish(ctx, events...)
	}
	for range 30 {
		if rand.IntN(2) == 0 {
			if err := publish(ctx, false); err != nil {
				t.Error(err)
			}
			continue
		}
		undone := rand.IntN(3) == 0
		err := j.Tx(ctx, func(ctx context.Context, _ *sql.Tx) error {
			for range 1 + rand.IntN(2) {
				if err := publish(ctx, undone); err != nil {
					return err
				}
				if concurrent {
					<-time.After(rand.N(2 * time.Millisecond))
				}
			}
			if undone {
				return io.ErrUnexpectedEOF
			}
			return nil
		})
		if undone != (err == io.ErrUnexpectedEOF) || !undone && err != nil {
			t.Errorf("a transaction that is undone, %v, ended with %v", undone, err)
		}
	}
}

// part is what a reader has seen at a position.
type part struct {
	id uuid.UUID
	Part
}

// reader is one that reads the log and settles it.
type reader struct {
	seen     map[int64]part
	settled  int64          // all up to here is settled
	ahead    map[int64]bool // so is this
	restless bool           // it closes and opens its cursor again and again, and leaves some entries unsettled
	readings int
	again    int // entries that came again
	err      error
}

// read opens the cursor, and reads to the end, or for a while if r is restless.
func (r *reader) read(ctx context.Context, j *sqljournal.Journal, name string, end *atomic.Int64) {
	c, err := j.Open(ctx, jitney.Durable{Name: name, From: jitney.FromBeginning(), Window: 100})
	if err != nil {
		r.err = err
		return
	}
	r.readings++
	last := r.settled // of this reading
	for n := 0; r.err == nil && r.settled != end.Load() && (!r.restless || n < 20); {
		little, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		entries, _, err := c.Next(little, 1+rand.IntN(40))
		over := little.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil && !over {
			r.err = err
		}
		for _, e := range entries {
			for last++; last <= r.settled || r.ahead[last]; last++ {
			}
			r.take(e, last)
		}
		r.settle(c, entries)
		n += 1 + len(entries) // what has been left unsettled comes only to another reading
	}
	if err := c.Close(ctx); err != nil && r.err == nil {
		r.err = err
	}
}

// take notes an entry, which must be at a position.
func (r *reader) take(e jitney.Entry, want int64) {
	switch {
	case r.err != nil:
	case e.Err != nil:
		r.err = e.Err
	case e.Position != want:
		r.err = fmt.Errorf("position %d came where %d was expected", e.Position, want)
	default:
		p := part{e.Envelope.ID, e.Envelope.Event.(Part)}
		if before, again := r.seen[e.Position]; again {
			r.again++
			if before != p {
				r.err = fmt.Errorf("position %d was %+v, and is %+v", e.Position, before, p)
			}
		}
		r.seen[e.Position] = p
	}
}

// settle settles entries, or some of them, in any order.
func (r *reader) settle(c jitney.Cursor, entries []jitney.Entry) {
	if r.ahead == nil {
		r.ahead = make(map[int64]bool)
	}
	for _, i := range rand.Perm(len(entries)) {
		if r.restless && rand.IntN(4) == 0 {
			continue
		}
		c.Settle(entries[i].Position, jitney.Settled)
		r.ahead[entries[i].Position] = true
	}
	for r.ahead[r.settled+1] {
		r.settled++
		delete(r.ahead, r.settled)
	}
}

// checkParts looks at what a reader has seen, of n events that were stored.
func checkParts(t *testing.T, seen map[int64]part, n int64) {
	t.Helper()
	if int64(len(seen)) != n {
		t.Errorf("%d events were seen, %d stored", len(seen), n)
	}
	ids, newest := make(map[uuid.UUID]bool), make(map[int]Part)
	for pos := int64(1); pos <= n; pos++ {
		p := seen[pos]
		if ids[p.id] || p.Undone {
			t.Errorf("position %d has %+v, which is there twice or was undone", pos, p)
		}
		ids[p.id] = true
		if p.N > 0 && seen[pos-1].Part != (Part{p.Publisher, p.Batch, p.N - 1, p.Of, false}) {
			t.Errorf("position %d has %+v, behind %+v", pos, p.Part, seen[pos-1].Part)
		}
		if next := seen[pos+1].Part; p.N+1 < p.Of && next != (Part{p.Publisher, p.Batch, p.N + 1, p.Of, false}) {
			t.Errorf("position %d has %+v, and then comes %+v", pos, p.Part, next)
		}
		if before, is := newest[p.Publisher]; is && before.Batch > p.Batch {
			t.Errorf("position %d has %+v, behind the later %+v", pos, p.Part, before)
		}
		newest[p.Publisher] = p.Part
	}
}
