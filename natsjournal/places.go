package natsjournal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/place"
)

// Place is how far a subscriber is, in whatever process.
type Place struct {
	Subscriber string
	// Owner is whose it is: a token that is another one each time the place changes hands; "" if nobody has it.
	Owner string
	// Position is the position up to which it has settled everything, or put it aside. Behind is how many positions come
	// after that; events that are not for it are among them, until it has looked at them.
	Position, Behind int64
	// Waiting is how many events wait for another attempt, or have been in the handler for very long; Unknown, how many
	// for a program that knows them; Replaying, how many are to be given again.
	Waiting, Unknown, Replaying int64
}

// Done reports whether the subscriber has nothing to do, but for what its program does not know.
func (p Place) Done() bool { return p.Behind == 0 && p.Waiting == 0 && p.Replaying == 0 }

// Places returns how far all subscribers are that have a place in the journal, by name. What they have settled within
// the last 50 ms may be missing.
func (j *Journal) Places(ctx context.Context) ([]Place, error) {
	values := make(map[string]value)
	counts := make(map[string]*Place)
	notes := make(map[string]map[int64]entry)
	end, err := j.end(ctx)
	if err == nil {
		err = j.each(ctx, j.places, jetstream.AllKeys, func(e entry) error {
			name, pos, err := parseKey(e.key)
			switch {
			case err != nil:
				return err
			case pos == 0:
				values[name], err = parseValue(name, e.value)
				return err
			case notes[name] == nil:
				notes[name] = make(map[int64]entry)
			}
			notes[name][pos] = e
			return nil
		})
	}
	list := make([]Place, 0, len(values))
	for name, v := range values {
		counts[name] = &Place{Subscriber: name, Owner: v.Owner, Position: v.Floor, Behind: max(0, end-v.Floor)}
		for pos, e := range notes[name] {
			if err == nil {
				err = counts[name].count(v, pos, e)
			}
		}
		list = append(list, *counts[name])
	}
	if err != nil {
		return nil, fmt.Errorf("natsjournal: places: %w", err)
	}
	slices.SortFunc(list, func(a, b Place) int { return strings.Compare(a.Subscriber, b.Subscriber) })
	return list, nil
}

func (p *Place) count(v value, pos int64, e entry) error {
	var n note
	if err := json.Unmarshal(e.value, &n); err != nil {
		return fmt.Errorf("%w: the note at position %d is no JSON", ErrCorrupt, pos)
	}
	if !v.holds(pos, n, e.revision) {
		return nil
	}
	switch n.Reason {
	case place.Unknown:
		p.Unknown++
	case place.Replayed:
		p.Replaying++
	default:
		p.Waiting++
	}
	return nil
}

// Forget removes a subscriber's place, and what is put aside for it. Its dead letters and its marks in the inbox stay.
// One that is open here, or in another process, is not forgotten: jitney.ErrInUse. After the death of a process its
// subscribers are open until another one has had them.
func (j *Journal) Forget(ctx context.Context, name string) error {
	ctx, cancel := j.patiently(ctx, patience)
	defer cancel()
	if err := j.forget(ctx, name); err != nil {
		return fmt.Errorf("natsjournal: forget %s: %w", name, because(ctx, err))
	}
	return nil
}

func (j *Journal) forget(ctx context.Context, name string) error {
	j.mu.Lock()
	open := j.cursors[name] != nil
	j.mu.Unlock()
	e, err := j.places.Get(ctx, placeKey(name))
	if err != nil {
		return err
	}
	v, err := parseValue(name, e.Value())
	switch {
	case err != nil:
		return err
	case open || v.Owner != "":
		return jitney.ErrInUse
	}
	if was, err := j.remove(ctx, j.places, placeKey(name), e.Revision()); err != nil || !was {
		return err
	}
	_, err = j.remove(ctx, j.places, escape(name, false)+".>", 0)
	return err
}
