package jitneytest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// JournalStore is where journals under test keep what they keep.
type JournalStore interface {
	// Open opens the store, as a program does when it starts. It is open once at a time.
	Open(types *wire.Types) (jitney.Journal, error)
	// Close closes what Open has opened; clean says whether the program ends as it should, or dies.
	Close(clean bool) error
}

// TestJournal checks that an implementation of [jitney.Journal] keeps its contract, one subtest per sentence. newStore
// returns an empty store each time.
func TestJournal(t *testing.T, newStore func(t *testing.T) JournalStore) {
	obeys(t, journalLaws, func(t *testing.T) *journalRig { return &journalRig{JournalStore: newStore(t)} })
}

var journalLaws = []law[*journalRig]{
	{"What was appended comes back as it was, in order", journalKeeps},
	{"A batch is stored whole or not at all", journalAtomic},
	{"An envelope with the same ID is stored once, another under it is a conflict", journalOnce},
	{"A publisher whose context has ended stores nothing", journalCancelled},
	{"End is the position of the newest event", journalEnd},
	{"A new subscriber begins at the end, at the beginning or at a time", journalStarts},
	{"A name is open once", journalNameOnce},
	{"What was settled does not come again and the rest does, in order", journalResumes},
	{"What was settled before a death may come again, the rest does, and nothing is skipped", journalSurvives},
	{"Next returns at most as many entries as asked for, and waits for the first", journalNext},
	{"The first Next says how far it is, without waiting", journalFirst},
	{"A subscriber to one type gets no other, and learns how far it has come", journalFilters},
	{"Unknown events wait for a program that knows them", journalUnknown},
	{"Eight publishers keep their order, and all subscribers see the same", journalOrder},
	{"A cursor that is closed settles nothing and does no harm", journalClosed},
}

// unheardOf is an event that only later programs know.
type unheardOf struct{ N int }

func (unheardOf) EventType() string { return "jitneytest.unheard_of" }

// journalRig is a store, and what is open of it.
type journalRig struct {
	JournalStore
	jitney.Journal
	n int // events made
}

// begin starts a program; later programs know unheardOf too.
func (r *journalRig) begin(later bool) (err error) {
	types := Types()
	if later {
		wire.Register[unheardOf](types)
	}
	r.Journal, err = r.JournalStore.Open(types)
	return err
}

// end ends the program.
func (r *journalRig) end(clean bool) error {
	r.Journal = nil
	return r.Close(clean)
}

// run calls f with a program that has just begun, and ends it.
func (r *journalRig) run(clean bool, f func() error) error {
	if err := r.begin(false); err != nil {
		return fmt.Errorf("Open: %w", err)
	}
	return errors.Join(f(), r.end(clean))
}

func (r *journalRig) make(e jitney.Event) *jitney.Envelope {
	r.n++
	id := uuid.Must(uuid.NewV7())
	return &jitney.Envelope{ID: id, Type: e.EventType(), Version: 1, Time: died.Add(time.Duration(r.n) * time.Minute), Event: e}
}

func (r *journalRig) happen(ns ...int) (envs []*jitney.Envelope) {
	for _, n := range ns {
		envs = append(envs, r.make(happened{n}))
	}
	return envs
}

func (r *journalRig) open(ctx context.Context, name string, from jitney.Start) (jitney.Cursor, error) {
	c, err := r.Journal.Open(ctx, jitney.Durable{Name: name, From: from})
	if err != nil {
		return nil, fmt.Errorf("Open %s: %w", name, err)
	}
	return c, nil
}

// read returns the next n entries.
func read(ctx context.Context, c jitney.Cursor, n int) (entries []jitney.Entry, through int64, err error) {
	for len(entries) < n {
		var more []jitney.Entry
		more, through, err = c.Next(ctx, n-len(entries))
		if err != nil {
			return entries, through, fmt.Errorf("Next, after %d of %d entries: %w", len(entries), n, err)
		}
		entries = append(entries, more...)
	}
	return entries, through, nil
}

// numbers are those of the entries' events.
func numbers(entries []jitney.Entry) (ns []int, err error) {
	for i, e := range entries {
		if e.Err != nil {
			return nil, e.Err
		}
		h, ok := e.Envelope.Event.(happened)
		if !ok {
			return nil, fmt.Errorf("entry %d is a %T", i, e.Envelope.Event)
		}
		if i > 0 && e.Position <= entries[i-1].Position {
			return nil, fmt.Errorf("position %d after %d", e.Position, entries[i-1].Position)
		}
		ns = append(ns, h.N)
	}
	return ns, nil
}

// comes says how the next entries of c differ from ns.
func comes(ctx context.Context, c jitney.Cursor, ns ...int) ([]jitney.Entry, error) {
	entries, _, err := read(ctx, c, len(ns))
	if err != nil {
		return nil, err
	}
	got, err := numbers(entries)
	if err == nil && !slices.Equal(got, ns) {
		err = fmt.Errorf("got %v, expected %v", got, ns)
	}
	return entries, err
}

// nothing says that c has an entry although it should not.
func nothing(ctx context.Context, c jitney.Cursor) error {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	for {
		entries, _, err := c.Next(ctx, 10)
		if err != nil {
			return nil
		}
		if len(entries) > 0 {
			return fmt.Errorf("got %s, expected nothing", entries[0].Envelope)
		}
	}
}

func journalKeeps(ctx context.Context, r *journalRig) error {
	first := &jitney.Envelope{
		ID: uuid.Must(uuid.NewV7()), Type: "jitneytest.happened", Version: 1, Time: died.Add(123456789), Source: "shop",
		Key: "customer 17 ü\x00", Correlation: "flow", CausationID: uuid.Must(uuid.NewV7()), Hops: 3,
		Headers: map[string]string{"tenant": "a"}, Event: happened{7},
	}
	raw := r.make(jitney.RawEvent{Type: "other", Version: 1, ContentType: "image/png", Data: []byte{0, 255}})
	check := func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		entries, _, err := read(ctx, c, 2)
		if err != nil {
			return err
		}
		for i, want := range []*jitney.Envelope{first, raw} {
			if entries[i].Err != nil || !reflect.DeepEqual(normal(entries[i].Envelope), normal(want)) {
				return fmt.Errorf("got %+v (%v), expected %+v", *entries[i].Envelope, entries[i].Err, *want)
			}
		}
		return c.Close(ctx)
	}
	err := r.run(true, func() error { return errors.Join(r.Append(ctx, first), r.Append(ctx, raw), check()) })
	if err != nil {
		return err
	}
	return r.run(true, check)
}

// normal is env with its time in UTC.
func normal(env *jitney.Envelope) jitney.Envelope {
	n := *env
	n.Time = n.Time.UTC()
	return n
}

func journalAtomic(ctx context.Context, r *journalRig) error {
	bad := r.make(happened{2})
	bad.Headers = map[string]string{"No": ""}
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, r.happen(1)[0], bad, r.happen(3)[0]); !errors.Is(err, wire.ErrInvalidHeader) {
			return fmt.Errorf("Append of an invalid envelope among others: %v", err)
		}
		big := r.make(jitney.RawEvent{Type: "big", Version: 1, Data: []byte(strings.Repeat("x", 2<<20))})
		if err := r.Append(ctx, r.happen(1)[0], big); !errors.Is(err, wire.ErrPayloadTooLarge) {
			return fmt.Errorf("Append of 2 MiB: %v", err)
		}
		if err := r.Append(ctx, r.happen(4, 5, 6)...); err != nil {
			return err
		}
		_, err = comes(ctx, c, 4, 5, 6)
		return err
	})
}

func journalOnce(ctx context.Context, r *journalRig) error {
	envs := r.happen(1, 2, 3)
	return errors.Join(r.run(true, func() error { return r.Append(ctx, envs[0], envs[1]) }), r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, envs...); err != nil {
			return fmt.Errorf("Append of two that are stored and one that is not: %w", err)
		}
		other := *envs[0]
		other.Event = happened{99}
		if err := r.Append(ctx, r.happen(4)[0], &other); !errors.Is(err, jitney.ErrIDConflict) {
			return fmt.Errorf("Append of another event under a stored ID: %v", err)
		}
		if err := r.Append(ctx, envs[0]); err != nil {
			return err
		}
		if _, err := comes(ctx, c, 1, 2, 3); err != nil {
			return err
		}
		return nothing(ctx, c)
	}))
}

func journalCancelled(ctx context.Context, r *journalRig) error {
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		over, cancel := context.WithCancel(ctx)
		cancel()
		if err := r.Append(over, r.happen(1)...); err == nil {
			return errors.New("Append with a context that has ended: no error")
		}
		return nothing(ctx, c)
	})
}

func journalEnd(ctx context.Context, r *journalRig) error {
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if end, err := r.End(ctx); err != nil || end != 0 {
			return fmt.Errorf("End of an empty journal: %d, %v", end, err)
		}
		if err := r.Append(ctx, r.happen(1, 2)...); err != nil {
			return err
		}
		entries, through, err := read(ctx, c, 2)
		if err != nil {
			return err
		}
		if end, err := r.End(ctx); err != nil || end != entries[1].Position || through != end {
			return fmt.Errorf("End is %d (%v), the last position %d, through %d", end, err, entries[1].Position, through)
		}
		return nil
	})
}

func journalStarts(ctx context.Context, r *journalRig) error {
	envs := r.happen(1, 2, 3)
	return r.run(true, func() error {
		if err := r.Append(ctx, envs...); err != nil {
			return err
		}
		expected := map[string][]int{}
		cursors := map[string]jitney.Cursor{}
		for name, c := range map[string]struct {
			from jitney.Start
			want []int
		}{
			"at the beginning":    {jitney.FromBeginning(), []int{1, 2, 3, 4}},
			"to begin at the end": {jitney.Start{}, []int{4}},
			"at a time":           {jitney.FromTime(envs[1].Time), []int{2, 3, 4}},
			"between times":       {jitney.FromTime(envs[1].Time.Add(time.Second)), []int{3, 4}},
			"in the future":       {jitney.FromTime(envs[2].Time.Add(time.Second)), []int{4}},
		} {
			cursor, err := r.open(ctx, name, c.from)
			if err != nil {
				return err
			}
			expected[name], cursors[name] = c.want, cursor
		}
		if err := r.Append(ctx, r.happen(4)...); err != nil {
			return err
		}
		for name, want := range expected {
			if _, err := comes(ctx, cursors[name], want...); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
}

func journalNameOnce(ctx context.Context, r *journalRig) error {
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.Start{})
		if err != nil {
			return err
		}
		if _, err := r.open(ctx, "s", jitney.Start{}); !errors.Is(err, jitney.ErrInUse) {
			return fmt.Errorf("Open of a name that is open: %v", err)
		}
		if err := c.Close(ctx); err != nil {
			return err
		}
		c, err = r.open(ctx, "s", jitney.Start{})
		if err != nil {
			return err
		}
		return c.Close(ctx)
	})
}

// settle settles those of entries whose numbers are given.
func settle(c jitney.Cursor, entries []jitney.Entry, ns ...int) {
	for _, e := range entries {
		if slices.Contains(ns, e.Envelope.Event.(happened).N) {
			c.Settle(e.Position, jitney.Settled)
		}
	}
}

func journalResumes(ctx context.Context, r *journalRig) error {
	err := r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, r.happen(1, 2, 3, 4, 5, 6)...); err != nil {
			return err
		}
		entries, err := comes(ctx, c, 1, 2, 3, 4, 5)
		if err != nil {
			return err
		}
		settle(c, entries, 5, 3, 1)
		return c.Close(ctx)
	})
	if err != nil {
		return err
	}
	for range 2 {
		err := r.run(true, func() error {
			c, err := r.open(ctx, "s", jitney.FromBeginning())
			if err != nil {
				return err
			}
			if _, err := comes(ctx, c, 2, 4, 6); err != nil {
				return err
			}
			return errors.Join(nothing(ctx, c), c.Close(ctx))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func journalSurvives(ctx context.Context, r *journalRig) error {
	err := r.run(false, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, r.happen(1, 2, 3, 4)...); err != nil {
			return err
		}
		entries, err := comes(ctx, c, 1, 2, 3, 4)
		settle(c, entries, 1, 3)
		return err
	})
	if err != nil {
		return err
	}
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, r.happen(5)...); err != nil {
			return err
		}
		var got []int
		for !slices.Contains(got, 5) {
			entries, _, err := read(ctx, c, 1)
			if err != nil {
				return fmt.Errorf("after %v: %w", got, err)
			}
			n, err := numbers(entries)
			if err != nil {
				return err
			}
			got = append(got, n...)
		}
		rest := slices.DeleteFunc(slices.Clone(got), func(n int) bool { return n == 1 || n == 3 })
		if !slices.IsSorted(got) || !slices.Equal(rest, []int{2, 4, 5}) {
			return fmt.Errorf("got %v, expected 2, 4, 5, and perhaps 1 and 3", got)
		}
		return nil
	})
}

func journalNext(ctx context.Context, r *journalRig) error {
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.Start{})
		if err != nil {
			return err
		}
		if err := nothing(ctx, c); err != nil {
			return err
		}
		appended := make(chan error, 1)
		go func() { appended <- r.Append(ctx, r.happen(1, 2, 3)...) }()
		var entries []jitney.Entry
		for len(entries) == 0 {
			if entries, _, err = c.Next(ctx, 2); err != nil || len(entries) > 2 {
				return fmt.Errorf("Next of at most 2 has returned %d, %w", len(entries), err)
			}
		}
		if err := <-appended; err != nil {
			return err
		}
		rest, _, err := read(ctx, c, 3-len(entries))
		if err != nil {
			return err
		}
		if got, err := numbers(append(entries, rest...)); err != nil || !slices.Equal(got, []int{1, 2, 3}) {
			return fmt.Errorf("got %v, %w", got, err)
		}
		return nil
	})
}

func journalFirst(ctx context.Context, r *journalRig) error {
	err := r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if entries, through, err := c.Next(ctx, 1); err != nil || len(entries) > 0 || through != 0 {
			return fmt.Errorf("in an empty journal: %d entries, through %d, %w", len(entries), through, err)
		}
		if err := r.Append(ctx, r.happen(1)...); err != nil {
			return err
		}
		entries, err := comes(ctx, c, 1)
		settle(c, entries, 1)
		return errors.Join(err, c.Close(ctx))
	})
	if err != nil {
		return err
	}
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		end, err := r.End(ctx)
		if err != nil {
			return err
		}
		if entries, through, err := c.Next(ctx, 1); err != nil || len(entries) > 0 || through != end {
			return fmt.Errorf("with nothing to do: %d entries, through %d of %d, %w", len(entries), through, end, err)
		}
		return nil
	})
}

func journalFilters(ctx context.Context, r *journalRig) error {
	return r.run(true, func() error {
		c, err := r.Journal.Open(ctx, jitney.Durable{Name: "s", Type: "jitneytest.happened", From: jitney.FromBeginning()})
		if err != nil {
			return err
		}
		other := func() *jitney.Envelope { return r.make(jitney.RawEvent{Type: "other", Version: 1, Data: []byte("{}")}) }
		if err := r.Append(ctx, other(), r.happen(1)[0], other(), other()); err != nil {
			return err
		}
		end, err := r.End(ctx)
		if err != nil {
			return err
		}
		var all []jitney.Entry
		for through := int64(0); through < end; {
			var entries []jitney.Entry
			if entries, through, err = c.Next(ctx, 10); err != nil {
				return fmt.Errorf("after %d entries: %w", len(all), err)
			}
			all = append(all, entries...)
		}
		if got, err := numbers(all); err != nil || !slices.Equal(got, []int{1}) {
			return fmt.Errorf("got %v, %w", got, err)
		}
		return nil
	})
}

func journalUnknown(ctx context.Context, r *journalRig) error {
	put := func(later bool, f func(c jitney.Cursor) error) error {
		if err := r.begin(later); err != nil {
			return err
		}
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		return errors.Join(f(c), c.Close(ctx), r.end(true))
	}
	err := put(false, func(c jitney.Cursor) error {
		if err := r.Append(ctx, r.make(unheardOf{7}), r.happen(1)[0]); err != nil {
			return err
		}
		entries, _, err := read(ctx, c, 2)
		if err != nil {
			return err
		}
		if _, raw := entries[0].Envelope.Event.(jitney.RawEvent); !raw {
			return fmt.Errorf("an unknown event came as %T", entries[0].Envelope.Event)
		}
		c.Settle(entries[0].Position, jitney.Unknown)
		c.Settle(entries[1].Position, jitney.Settled)
		return nothing(ctx, c)
	})
	if err != nil {
		return err
	}
	if err := put(false, func(c jitney.Cursor) error { return nothing(ctx, c) }); err != nil {
		return fmt.Errorf("to a program that does not know it either: %w", err)
	}
	return put(true, func(c jitney.Cursor) error {
		entries, _, err := read(ctx, c, 1)
		if err == nil && entries[0].Envelope.Event != (jitney.Event)(unheardOf{7}) {
			err = fmt.Errorf("came as %T", entries[0].Envelope.Event)
		}
		if err != nil {
			return fmt.Errorf("to a program that knows it: %w", err)
		}
		c.Settle(entries[0].Position, jitney.Settled)
		return nothing(ctx, c)
	})
}

func journalOrder(ctx context.Context, r *journalRig) error {
	const publishers, each = 8, 50
	return r.run(true, func() error {
		var cursors []jitney.Cursor
		for _, name := range []string{"a", "b"} {
			c, err := r.open(ctx, name, jitney.Start{})
			if err != nil {
				return err
			}
			cursors = append(cursors, c)
		}
		envs := make([][]*jitney.Envelope, publishers)
		for p := range publishers {
			for i := range each {
				envs[p] = append(envs[p], r.happen(p*each+i)...)
			}
		}
		var wg sync.WaitGroup
		errs := make([]error, publishers)
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					errs[p] = errors.Join(errs[p], r.Append(ctx, envs[p][i]))
				}
			})
		}
		var seen [2][]int
		for i, c := range cursors {
			entries, _, err := read(ctx, c, publishers*each)
			if err != nil {
				return err
			}
			if seen[i], err = numbers(entries); err != nil {
				return err
			}
		}
		wg.Wait()
		if !slices.Equal(seen[0], seen[1]) {
			return errors.New("two subscribers have seen different orders")
		}
		next := make([]int, publishers)
		for _, n := range seen[0] {
			if p := n / each; n%each != next[p] {
				return fmt.Errorf("publisher %d's number %d came when %d was due", p, n%each, next[p])
			}
			next[n/each]++
		}
		return errors.Join(errs...)
	})
}

func journalClosed(ctx context.Context, r *journalRig) error {
	err := r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.FromBeginning())
		if err != nil {
			return err
		}
		if err := r.Append(ctx, r.happen(1)...); err != nil {
			return err
		}
		entries, err := comes(ctx, c, 1)
		if err != nil {
			return err
		}
		if err := c.Close(ctx); err != nil {
			return err
		}
		settle(c, entries, 1)
		return nil
	})
	if err != nil {
		return err
	}
	return r.run(true, func() error {
		c, err := r.open(ctx, "s", jitney.Start{})
		if err != nil {
			return err
		}
		_, err = comes(ctx, c, 1)
		return err
	})
}
