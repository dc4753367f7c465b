package natsjournal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/place"
)

// reign is the time for which a subscriber's place is this process's.
type reign struct {
	c      *cursor
	token  string
	began  time.Time
	ctx    context.Context // ends with it
	cancel context.CancelFunc

	arrivals chan arrival  // what the stream has, from the floor on
	read     chan struct{} // closed when nothing arrives any more
	poke     chan struct{} // has an element when Next is to look again

	// Next's alone.
	first    bool
	told     int64        // how far Next has said that it has looked
	wasHeld  *jitney.Held // not told yet
	recovery recovery
	looked   time.Time // when the server was asked how far the stream goes

	// Whoever has put an element into writing may touch these.
	writing  chan struct{}
	value    value // as it is stored
	revision uint64
	lastNote uint64 // revision of the newest note

	// These are guarded by c.mu.
	place   *place.Place
	notes   map[int64]*held  // what is aside
	todo    []int64          // of that, what is to be given, in order
	gone    map[int64]uint64 // notes that are to be removed
	since   time.Time        // of the oldest change that is not written
	renewed time.Time        // when the last write that succeeded began
	awaited int64            // recovery waits for its handler to return
	why     error            // the place was lost
}

// held is a note that is stored.
type held struct {
	place.Note
	revision uint64
}

func (r *reign) lost() bool { return r.ctx.Err() != nil }

// When settlements are written: after so long, or so many.
const (
	flushAfter = 50 * time.Millisecond
	flushCount = 64
)

// touch notes that there is something to be written. Called with c.mu held.
func (r *reign) touch() {
	switch n := r.place.Changed(); {
	case r.since.IsZero():
		r.since = time.Now()
		r.c.ring()
	case n >= flushCount:
		r.c.ring()
	}
}

// due says when the place is to be written next. Called with c.mu held.
func (r *reign) due() time.Duration {
	wait := r.c.j.lease/3 - time.Since(r.renewed)
	switch n := r.place.Changed(); {
	case n >= flushCount:
		return 0
	case n > 0 && !r.since.IsZero():
		wait = min(wait, flushAfter-time.Since(r.since))
	case n > 0:
		r.since = time.Now()
		wait = min(wait, flushAfter)
	}
	return max(wait, 0)
}

// expiry is when this process has to take the place as lost, because another one may soon take it.
func (r *reign) expiry() time.Time {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	return r.renewed.Add(r.c.j.lease / 6 * 5)
}

// over reports whether nothing is to be given any more, and sees to it that it stays so. Called with c.mu held.
func (r *reign) over() bool {
	if time.Since(r.renewed) >= r.c.j.lease/6*5 {
		r.c.fall(r, errNotRenewed)
	}
	return r.lost()
}

// write stores the place as it is now, as edit leaves it. It is jitney.ErrInUse if the place is another's now.
func (r *reign) write(ctx context.Context, edit func(*value)) error {
	ctx, cancel := r.c.j.patiently(ctx, min(r.c.j.lease/3, patience))
	defer cancel()
	select {
	case r.writing <- struct{}{}:
		defer func() { <-r.writing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if r.lost() {
		return fmt.Errorf("%w: the place is another process's", jitney.ErrInUse)
	}
	began := time.Now()
	r.c.mu.Lock()
	changes := r.place.Changes()
	r.since = time.Time{}
	r.c.mu.Unlock()
	err := r.writeNotes(ctx, changes.Aside)
	if err == nil {
		v := r.changed(changes)
		edit(&v)
		err = r.put(ctx, v)
	}
	r.c.mu.Lock()
	if err != nil {
		r.place.Failed(changes)
	} else {
		r.renewed = began
	}
	r.c.mu.Unlock()
	switch {
	case errors.Is(err, jitney.ErrInUse):
		r.c.lose(r, err)
	case err == nil:
		r.removeNotes(ctx)
	}
	return because(ctx, err)
}

// changed returns the value with the place as changes has it.
func (r *reign) changed(changes place.Changes) value {
	v := r.value
	v.Floor, v.Ahead = changes.Floor, place.AppendAhead(nil, changes.Floor, changes.Ahead)
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	v.Gone = nil
	for pos := range r.gone {
		v.Gone = append(v.Gone, pos)
	}
	slices.Sort(v.Gone)
	return v
}

// put stores v, with what this owner's notes hold up to. Where a write has been answered by nobody it asks what has
// become of it.
func (r *reign) put(ctx context.Context, v value) error {
	notes := map[string]uint64{r.token: r.lastNote}
	for by, revision := range v.Notes {
		if by != r.token {
			notes[by] = revision
		}
	}
	v.Notes = notes
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	key := placeKey(r.c.d.Name)
	for {
		revision, err := r.c.j.places.Update(ctx, key, text, r.revision)
		if err == nil {
			r.value, r.revision = v, revision
			return nil
		}
		if !changedMeanwhile(err) {
			return err
		}
		if ours, failed := r.catchUp(ctx); failed != nil || !ours {
			return errors.Join(failed, err)
		}
	}
}

// catchUp finds the revision of the place. If it is not ours any more, the error is jitney.ErrInUse, unless it has not
// been ours yet.
func (r *reign) catchUp(ctx context.Context) (ours bool, err error) {
	e, err := r.c.j.places.Get(ctx, placeKey(r.c.d.Name))
	if err != nil {
		return false, err
	}
	v, err := parseValue(r.c.d.Name, e.Value())
	switch {
	case err != nil:
		return false, err
	case v.Owner == r.token && e.Revision() > r.revision:
		r.revision = e.Revision()
		return true, nil
	case v.Owner == r.token: // a replica that is behind has answered
		return true, pause(ctx, 20*time.Millisecond)
	case r.value.Owner != r.token:
		return false, nil
	}
	return false, fmt.Errorf("%w: the place is another process's", jitney.ErrInUse)
}
