package natsjournal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/place"
)

// What a subscriber has not settled, and what must not hold up its position, is put aside: a note for each, which is
// stored before the floor rises above it, and removed after it is listed as gone. When the place is taken, what is aside
// is given before all that is new, in the order of the log: so a key keeps its order.

// writeNotes stores what is to be put aside, and marks as gone what is not aside any more.
func (r *reign) writeNotes(ctx context.Context, aside map[int64]*place.Note) error {
	for pos, n := range aside {
		if n == nil {
			r.c.mu.Lock()
			if old := r.notes[pos]; old != nil {
				r.gone[pos] = old.revision
				delete(r.notes, pos)
			}
			r.c.mu.Unlock()
			continue
		}
		if err := r.writeNote(ctx, pos, *n); err != nil {
			return err
		}
	}
	return nil
}

func (r *reign) writeNote(ctx context.Context, pos int64, n place.Note) error {
	text, err := json.Marshal(note{n, r.token})
	if err != nil {
		return err
	}
	revision, err := r.c.j.places.Put(ctx, asideKey(r.c.d.Name, pos), text)
	if err != nil {
		return err
	}
	r.lastNote = max(r.lastNote, revision)
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.notes[pos] = &held{n, revision}
	delete(r.gone, pos)
	return nil
}

// removeNotes removes the keys of what is gone, as far as it comes in a moment. What remains is gone all the same.
func (r *reign) removeNotes(ctx context.Context) {
	r.c.mu.Lock()
	gone := make(map[int64]uint64, len(r.value.Gone))
	for _, pos := range r.value.Gone {
		if revision, is := r.gone[pos]; is {
			gone[pos] = revision
		}
	}
	r.c.mu.Unlock()
	until := time.Now().Add(r.c.j.lease / 12)
	for pos, revision := range gone {
		if time.Now().After(until) {
			return
		}
		if _, err := r.c.j.remove(ctx, r.c.j.places, asideKey(r.c.d.Name, pos), revision); err != nil {
			return // it is tried again after the next write
		}
		r.c.mu.Lock()
		if r.gone[pos] == revision {
			delete(r.gone, pos)
		}
		r.c.mu.Unlock()
	}
}

// loadNotes reads what v's owners have put aside. The place itself is read along, so that a replica which does not have
// the revision of this reign, and perhaps not the notes before it, is noticed.
func (r *reign) loadNotes(ctx context.Context, v value) error {
	keep := make(map[string]uint64)
	recent := false
	err := r.c.j.each(ctx, r.c.j.places, escape(r.c.d.Name, false)+".>", func(e entry) error {
		_, pos, err := parseKey(e.key)
		if err != nil {
			return err
		}
		if pos == 0 {
			recent = e.revision >= r.revision
			return nil
		}
		var n note
		if err := json.Unmarshal(e.value, &n); err != nil {
			return fmt.Errorf("%w: the note at position %d is no JSON", ErrCorrupt, pos)
		}
		if !v.holds(pos, n, e.revision) {
			r.gone[pos] = e.revision
			return nil
		}
		keep[n.By] = v.Notes[n.By]
		r.notes[pos] = &held{n.Note, e.revision}
		r.todo = append(r.todo, pos)
		return nil
	})
	switch {
	case err != nil:
		return err
	case !recent:
		return errors.New("what is put aside cannot be read yet: a replica is behind")
	}
	slices.Sort(r.todo)
	r.value.Notes = keep
	return nil
}

// fromAside returns the next of what is put aside, as far as this program can decode it.
func (r *reign) fromAside(ctx context.Context, most int) (entries []jitney.Entry, err error) {
	for len(entries) < max(most, 1) {
		r.c.mu.Lock()
		if len(r.todo) == 0 {
			r.c.mu.Unlock()
			return entries, nil
		}
		pos := r.todo[0]
		r.c.mu.Unlock()
		e, err := r.fetch(ctx, pos)
		if err != nil {
			if len(entries) > 0 {
				err = nil // they are taken already; the rest comes with the next call
			}
			return entries, err
		}
		if e == nil {
			r.c.j.log.Error("natsjournal: an event was removed before its subscriber has settled it",
				slog.String("subscriber", r.c.d.Name), slog.Int64("position", pos))
		}
		if r.giveAside(pos, e) {
			entries = append(entries, *e)
		}
	}
	return entries, nil
}

// fetch returns the entry at a position; nil if it has been removed.
func (r *reign) fetch(ctx context.Context, pos int64) (*jitney.Entry, error) {
	ctx, cancel := r.c.j.patiently(ctx, patience)
	defer cancel()
	msg, err := r.c.j.stream.GetMsg(ctx, uint64(pos))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, because(ctx, err)
	}
	e := r.c.j.entry(msg.Sequence, msg.Header, msg.Data)
	return &e, nil
}

// giveAside notes that e, which is aside at pos, is given, and reports whether it is to be.
func (r *reign) giveAside(pos int64, e *jitney.Entry) bool {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if len(r.todo) > 0 && r.todo[0] == pos {
		r.todo = r.todo[1:]
	}
	n := r.notes[pos]
	switch {
	case r.over() || n == nil:
		return false
	case e == nil:
		r.place.GiveAside(pos)
		r.place.Settle(pos, jitney.Settled)
		r.touch()
		return false
	case e.Err != nil:
		return false
	}
	if _, raw := e.Envelope.Event.(jitney.RawEvent); raw && n.Reason == place.Unknown || !r.place.GiveAside(pos) {
		return false
	}
	e.Progress = n.Progress
	return true
}
