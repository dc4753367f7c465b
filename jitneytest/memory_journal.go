package jitneytest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// MemoryJournal is a [jitney.Journal] for tests: it keeps events as bytes, as a durable one does, and they end with
// it. What has been lent to a bus can be lent to another after [MemoryJournal.Crash], as if the process had died.
type MemoryJournal struct {
	mu      sync.Mutex
	types   *wire.Types
	log     []wire.Message
	byID    map[uuid.UUID]int
	places  map[string]*memoryPlace
	later   []memoryLater
	changed chan struct{} // closed when log grows
}

// memoryPlace is what is kept of a durable subscriber.
type memoryPlace struct {
	start   int          // entries before it are not for it
	settled map[int]bool // indexes of log
	aside   map[int]bool // unknown to the program that had it open
	waits   map[int]*jitney.Progress
	held    jitney.Held
	open    *memoryCursor // nil if it is not
}

// NewMemoryJournal returns an empty journal for events of these types.
func NewMemoryJournal(types *wire.Types) *MemoryJournal {
	return &MemoryJournal{
		types: types, byID: make(map[uuid.UUID]int), places: make(map[string]*memoryPlace), changed: make(chan struct{}),
	}
}

// Crash frees all names, as the death of a process does: what their cursors settle from now on is forgotten. types are
// those that the next program knows.
func (j *MemoryJournal) Crash(types *wire.Types) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.types = types
	for _, p := range j.places {
		p.open = nil
	}
}

// Append implements [jitney.Journal].
func (j *MemoryJournal) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var fresh []wire.Message
	var ids []uuid.UUID
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, env := range envs {
		m, err := wire.Encode(env, wire.Limits{})
		if err != nil {
			return err
		}
		if at, stored := j.byID[env.ID]; stored {
			if old := j.log[at]; !bytes.Equal(old.Data, m.Data) || !maps.Equal(old.Attributes, m.Attributes) {
				return fmt.Errorf("%w: %s", jitney.ErrIDConflict, env)
			}
			continue
		}
		fresh, ids = append(fresh, m), append(ids, env.ID)
	}
	for i, m := range fresh {
		j.byID[ids[i]] = len(j.log)
		j.log = append(j.log, m)
	}
	close(j.changed)
	j.changed = make(chan struct{})
	return nil
}

// Capabilities implements [jitney.Capable].
func (j *MemoryJournal) Capabilities() []jitney.Capability { return Profile{}.capabilities() }

// End implements [jitney.Journal].
func (j *MemoryJournal) End(context.Context) (int64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return int64(len(j.log)), nil
}

// Open implements [jitney.Journal].
func (j *MemoryJournal) Open(_ context.Context, d jitney.Durable) (jitney.Cursor, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.places[d.Name]
	if p == nil {
		start, err := j.start(d.From)
		if err != nil {
			return nil, err
		}
		p = &memoryPlace{start: start, settled: make(map[int]bool), aside: make(map[int]bool), waits: make(map[int]*jitney.Progress)}
		j.places[d.Name] = p
	}
	if p.open != nil {
		return nil, fmt.Errorf("%w: %s", jitney.ErrInUse, d.Name)
	}
	c := &memoryCursor{j: j, p: p, d: d, next: p.start}
	for at := range p.aside {
		if m := j.log[at]; j.known(m) {
			delete(p.aside, at)
		}
	}
	p.open = c
	return c, nil
}

func (j *MemoryJournal) known(m wire.Message) bool {
	env, err := j.types.Decode(m)
	if err != nil {
		return false
	}
	_, raw := env.Event.(jitney.RawEvent)
	return !raw
}

func (j *MemoryJournal) start(from jitney.Start) (int, error) {
	beginning, t := from.At()
	if beginning {
		return 0, nil
	}
	if t.IsZero() {
		return len(j.log), nil
	}
	for i, m := range j.log {
		env, err := j.types.Decode(m)
		if err != nil {
			return 0, err
		}
		if !env.Time.Before(t) {
			return i, nil
		}
	}
	return len(j.log), nil
}

type memoryCursor struct {
	j    *MemoryJournal
	p    *memoryPlace
	d    jitney.Durable
	next int

	begun bool // Next has returned before
}

// Next implements [jitney.Cursor].
func (c *memoryCursor) Next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	if !c.begun && c.d.Held != nil {
		c.d.Held(c.wasHeld())
	}
	for {
		entries, through, changed := c.look(most)
		if changed == nil || !c.begun {
			c.begun = true
			return entries, through, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		}
	}
}

// look returns what there is, or what to wait for.
func (c *memoryCursor) look(most int) (entries []jitney.Entry, through int64, changed <-chan struct{}) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.next == len(c.j.log) {
		return nil, int64(c.next), c.j.changed
	}
	for ; c.next < len(c.j.log) && len(entries) < most; c.next++ {
		m := c.j.log[c.next]
		if c.p.settled[c.next] || c.p.aside[c.next] || c.d.Type != "" && m.Attributes[wire.Type] != c.d.Type {
			continue
		}
		env, err := c.j.types.Decode(m)
		entries = append(entries, jitney.Entry{Position: int64(c.next + 1), Envelope: env, Progress: c.p.waits[c.next], Err: err})
	}
	return entries, int64(c.next), nil
}

func (c *memoryCursor) wasHeld() jitney.Held {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return c.p.held
}

func (c *memoryCursor) atEnd() bool {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return c.next == len(c.j.log)
}

func (c *memoryCursor) progress(position int64) *jitney.Progress {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	return c.p.waits[int(position-1)]
}

// Settle implements [jitney.Cursor].
func (c *memoryCursor) Settle(position int64, o jitney.Outcome) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	switch {
	case c.p.open != c:
	case o == jitney.Unknown:
		c.p.aside[int(position-1)] = true
	default:
		c.p.settled[int(position-1)] = true
		delete(c.p.waits, int(position-1))
	}
}

// Postpone implements [jitney.Cursor].
func (c *memoryCursor) Postpone(position int64, p jitney.Progress) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.p.open == c {
		c.p.waits[int(position-1)] = &p
	}
}

// Hold implements [jitney.Cursor].
func (c *memoryCursor) Hold(_ context.Context, h jitney.Held) error {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.p.open != c {
		return jitney.ErrInUse
	}
	c.p.held = h
	return nil
}

// Close implements [jitney.Cursor].
func (c *memoryCursor) Close(context.Context) error {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.p.open == c {
		c.p.open = nil
	}
	return nil
}

// Schedule implements [jitney.ScheduleStore].
func (j *MemoryJournal) Schedule(_ context.Context, s jitney.Scheduled) error {
	m, err := wire.Encode(s.Envelope, wire.Limits{})
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if slices.ContainsFunc(j.later, func(l memoryLater) bool { return l.id == s.ID }) {
		return fmt.Errorf("%w: %s", jitney.ErrIDConflict, s.Envelope)
	}
	j.later = append(j.later, memoryLater{s.At, s.ID, m})
	slices.SortFunc(j.later, func(a, b memoryLater) int { return cmp.Or(a.at.Compare(b.at), bytes.Compare(a.id[:], b.id[:])) })
	return nil
}

// Unschedule implements [jitney.ScheduleStore].
func (j *MemoryJournal) Unschedule(_ context.Context, id uuid.UUID) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.later)
	if j.later = slices.DeleteFunc(j.later, func(l memoryLater) bool { return l.id == id }); len(j.later) == n {
		return fmt.Errorf("%w: %s", jitney.ErrNotScheduled, id)
	}
	return nil
}

// Scheduled implements [jitney.ScheduleStore].
func (j *MemoryJournal) Scheduled(_ context.Context, most int) (list []jitney.Scheduled, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, l := range j.later[:min(len(j.later), max(most, 0))] {
		env, err := j.types.Decode(l.message)
		list = append(list, jitney.Scheduled{ID: l.id, At: l.at, Envelope: env, Err: err})
	}
	return list, nil
}

// memoryLater is an event that is to be published later.
type memoryLater struct {
	at      time.Time
	id      uuid.UUID
	message wire.Message
}
