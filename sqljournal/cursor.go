package sqljournal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jitney-go/jitney"
)

// cursor implements [jitney.Cursor].
type cursor struct {
	j    *Journal
	name string
	typ  string // "" for all

	next     int64     // the position to read next; Next's alone
	fetched  []*record // read before they were asked for; Next's alone
	fetching *fetch    // what comes behind them, or nil; Next's alone
	begun    bool      // Next has returned before
	// standby says that the place is another process's, and that Next has said so.
	standby  bool
	after    int64    // what is put aside is looked at from behind this position on; Next's alone
	window   int      // entries that may be in flight at a time
	recovery recovery // Next's alone
	scan     bool     // there may be more of that; Next's alone
	wasHeld  func(jitney.Held)
	takeBack func(context.Context, ...int64) error // jitney.Durable.Recall, or nil

	// What follows is guarded by j.mu.
	closed  bool
	floor   int64            // all up to here is settled, or not for us
	through int64            // all up to here has been returned, or is not for us
	out     []int64          // returned and above the floor, in order; the first one is not settled
	settled map[int64]bool   // of out
	ahead   map[int64]bool   // settled above the floor by an earlier process: not to be returned
	aside   map[int64]*aside // to be put aside, or, if nil, no longer, at the next write
	waiting map[int64]bool   // returned, and put aside: they are below the floor, and stay there until they are settled
	look    bool             // what is put aside is to be looked at from the beginning
	changed int              // settlements that are not written
	since   time.Time        // when the first of them came
	passed  time.Time        // when the floor rose without any, by what is not for us; zero if that is written
	writing bool             // they are being written
	leased  bool             // it is this process's, where several share a database
	awaited int64            // recovery waits for its handler to return
	freed   chan struct{}    // closed when nothing runs any more of what was in flight when the place was lost; nil if it was not

	sideEffects bool
}

// Open implements [jitney.Journal].
func (j *Journal) Open(ctx context.Context, d jitney.Durable) (jitney.Cursor, error) {
	c := &cursor{
		j: j, name: d.Name, typ: d.Type, sideEffects: d.SideEffects, look: true, window: max(d.Window, 1), wasHeld: d.Held, takeBack: d.Recall,
		settled: make(map[int64]bool), ahead: make(map[int64]bool), aside: make(map[int64]*aside), waiting: make(map[int64]bool),
	}
	if err := j.reserve(c); err != nil {
		return nil, fmt.Errorf("sqljournal: open %s: %w", d.Name, err)
	}
	load := c.load
	if j.d.Shared { // the place is another process's, perhaps, and is looked at when it is ours
		load = c.ensure
	}
	if err := load(ctx, d.From); err != nil {
		j.release(c)
		return nil, fmt.Errorf("sqljournal: open %s: %w", d.Name, err)
	}
	return c, nil
}

func (j *Journal) reserve(c *cursor) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return ErrClosed
	case j.cursors[c.name] != nil:
		return jitney.ErrInUse
	}
	j.cursors[c.name] = c
	return nil
}

func (j *Journal) release(c *cursor) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c.closed = true
	if j.cursors[c.name] == c {
		delete(j.cursors, c.name)
	}
}

// load finds the subscriber's place, or makes one.
func (c *cursor) load(ctx context.Context, from jitney.Start) error {
	ctx, cancel := c.j.patiently(ctx)
	defer cancel()
	var floor int64
	var ahead []byte
	var crc uint32
	row := c.j.db.QueryRowContext(ctx, c.j.sql(`SELECT position, ahead, crc FROM {p}subscriber WHERE name = ?`), c.name)
	err := row.Scan(&floor, &ahead, &crc)
	switch {
	case isNoRows(err):
		floor, err = c.create(ctx, from)
	case err == nil && crc != c.sum(floor, ahead):
		err = fmt.Errorf("%w: the subscriber's position", ErrCorrupt)
	}
	if err != nil {
		return err
	}
	end, err := c.j.End(ctx)
	if err != nil {
		return err
	}
	positions, err := readAhead(floor, ahead)
	if err != nil {
		return err
	}
	if err := c.within(floor, positions, end); err != nil {
		return err
	}
	c.goOn(floor, positions)
	return c.begin(ctx)
}

// within returns an error if more is settled than the journal has. It does so as well when the journal has grown since:
// other events have the positions now of those that are settled.
func (c *cursor) within(floor int64, ahead map[int64]bool, end int64) error {
	settled := floor
	for pos := range ahead {
		settled = max(settled, pos)
	}
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if settled > end {
		c.j.ahead[c.name] = [2]int64{settled, end}
	}
	if was, ever := c.j.ahead[c.name]; ever && was[0] == settled {
		return fmt.Errorf("%w: %d, and the newest event was %d", ErrPositionAhead, was[0], was[1])
	}
	return nil
}

// goOn makes a place the cursor's.
func (c *cursor) goOn(floor int64, ahead map[int64]bool) {
	c.next, c.fetched, c.fetching = floor+1, nil, nil
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	c.floor, c.through, c.ahead = floor, floor, ahead
}

// ErrPositionAhead says that a subscriber has settled what the journal does not have: an older copy of it was restored.
// The subscriber is given nothing until it is forgotten, see [Journal.Forget], or its own copy is restored. Do that before
// the program starts anew: the journal may have got as far again by then, with events that would not be given.
var ErrPositionAhead = errors.New("subscriber is ahead of the journal")

// sum is the checksum of the subscriber's row.
func (c *cursor) sum(floor int64, ahead []byte) uint32 {
	var at [8]byte
	binary.LittleEndian.PutUint64(at[:], uint64(floor))
	return sum([]byte(c.name), at[:], ahead)
}

func (c *cursor) create(ctx context.Context, from jitney.Start) (floor int64, err error) {
	c.j.mu.Lock()
	delete(c.j.ahead, c.name) // its row was removed
	c.j.mu.Unlock()
	c.j.writing.Lock()
	defer c.j.writing.Unlock()
	err = c.j.tx(ctx, func(tx *writeTx) (err error) {
		if floor, err = tx.start(ctx, from); err != nil {
			return err
		}
		return tx.exec(ctx, `INSERT INTO {p}subscriber (name, position, crc, clean, suspect, deaths) VALUES (?, ?, ?, 1, 0, 0)`, c.name, floor, int64(c.sum(floor, nil)))
	})
	return floor, err
}

// start is the position before the first event of from. The log's head is locked, so that nothing is committed
// between this and the subscriber's row.
func (tx *writeTx) start(ctx context.Context, from jitney.Start) (int64, error) {
	next, err := tx.number(ctx, `SELECT {next}{lock}`)
	if err != nil {
		return 0, err
	}
	beginning, t := from.At()
	switch {
	case beginning:
		oldest, err := tx.number(ctx, `SELECT oldest FROM {p}head WHERE id = 1`)
		return oldest - 1, err
	case t.IsZero():
		return next - 1, nil
	}
	oldest, err := tx.number(ctx, `SELECT oldest FROM {p}head WHERE id = 1`)
	if err != nil {
		return 0, err
	}
	first, err := tx.since(ctx, t, oldest, next)
	return first - 1, err
}

// since returns the first position from on whose event has time t or a later one; next if there is none.
func (tx *writeTx) since(ctx context.Context, t time.Time, from, next int64) (int64, error) {
	pos, err := tx.number(ctx, `SELECT pos FROM {p}log WHERE at >= ? AND pos >= ? ORDER BY pos LIMIT 1`, t.UnixNano(), from)
	if isNoRows(err) {
		return next, nil
	}
	return pos, err
}

// Close implements [jitney.Cursor].
func (c *cursor) Close(ctx context.Context) error {
	c.j.mu.Lock()
	if c.closed {
		c.j.mu.Unlock()
		return nil
	}
	c.closed = true
	for c.writing {
		c.j.written.Wait()
	}
	c.changed++ // the floor may have risen by what was not for us
	ch, leased := c.change(), c.leased
	c.j.mu.Unlock()
	defer c.j.release(c)
	if c.j.d.Shared && !leased {
		return nil
	}
	ch.last = true
	if err := c.j.commit(ctx, nil, []*change{ch}); err != nil {
		return fmt.Errorf("sqljournal: close %s: %w", c.name, err)
	}
	return nil
}
