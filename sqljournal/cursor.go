package sqljournal

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/jitney-go/jitney"
)

// When what subscribers have settled is written: together with events, or after so long or so many.
const (
	flushAfter = 50 * time.Millisecond
	flushCount = 64
)

// cursor implements [jitney.Cursor].
type cursor struct {
	j    *Journal
	name string
	typ  string // "" for all

	next  int64 // the position to read next; Next's alone
	begun bool  // Next has returned before
	// standby says that the place is another process's, and that Next has said so.
	standby  bool
	after    int64    // what is put aside is looked at from behind this position on; Next's alone
	window   int      // entries that may be in flight at a time
	recovery recovery // Next's alone
	scan     bool     // there may be more of that; Next's alone

	// What follows is guarded by j.mu.
	closed  bool
	floor   int64          // all up to here is settled, or not for us
	through int64          // all up to here has been returned, or is not for us
	out     []int64        // returned and above the floor, in order; the first one is not settled
	settled map[int64]bool // of out
	ahead   map[int64]bool // settled above the floor by an earlier process: not to be returned
	aside   map[int64]bool // to be put aside (true), or no longer (false), at the next write
	waiting map[int64]bool // returned from aside: they are below the floor, and stay there until they are settled
	look    bool           // what is put aside is to be looked at from the beginning
	changed int            // settlements that are not written
	since   time.Time      // when the first of them came
	writing bool           // they are being written
	leased  bool           // it is this process's, where several share a database
	awaited int64          // recovery waits for it to be settled

	sideEffects bool
}

// Open implements [jitney.Journal].
func (j *Journal) Open(ctx context.Context, d jitney.Durable) (jitney.Cursor, error) {
	c := &cursor{
		j: j, name: d.Name, typ: d.Type, sideEffects: d.SideEffects, look: true, window: max(d.Window, 1),
		settled: make(map[int64]bool), ahead: make(map[int64]bool), aside: make(map[int64]bool), waiting: make(map[int64]bool),
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
	var ahead []byte
	var crc uint32
	row := c.j.db.QueryRowContext(ctx, c.j.sql(`SELECT position, ahead, crc FROM {p}subscriber WHERE name = ?`), c.name)
	err := row.Scan(&c.floor, &ahead, &crc)
	switch {
	case isNoRows(err):
		err = c.create(ctx, from)
	case err == nil && crc != c.sum(c.floor, ahead):
		err = fmt.Errorf("%w: the subscriber's position", ErrCorrupt)
	}
	if err != nil {
		return err
	}
	if end, err := c.j.End(ctx); err != nil || c.floor > end {
		return errors.Join(err, fmt.Errorf("%w: %d, and the newest event is %d", ErrPositionAhead, c.floor, end))
	}
	if c.ahead, err = readAhead(c.floor, ahead); err != nil {
		return err
	}
	c.through, c.next = c.floor, c.floor+1
	return c.begin(ctx)
}

// ErrPositionAhead says that a subscriber has settled what the journal does not have: an older copy of it was restored.
var ErrPositionAhead = errors.New("subscriber is ahead of the journal")

// sum is the checksum of the subscriber's row.
func (c *cursor) sum(floor int64, ahead []byte) uint32 {
	var at [8]byte
	binary.LittleEndian.PutUint64(at[:], uint64(floor))
	return sum([]byte(c.name), at[:], ahead)
}

func (c *cursor) create(ctx context.Context, from jitney.Start) error {
	c.j.writing.Lock()
	defer c.j.writing.Unlock()
	return c.j.tx(ctx, func(tx *writeTx) (err error) {
		if c.floor, err = tx.start(ctx, from); err != nil {
			return err
		}
		return tx.exec(ctx, `INSERT INTO {p}subscriber (name, position, crc, clean, suspect, deaths) VALUES (?, ?, ?, 1, 0, 0)`, c.name, c.floor, int64(c.sum(c.floor, nil)))
	})
}

// start is the position before the first event of from. The log's head is locked, so that nothing is committed
// between this and the subscriber's row.
func (tx *writeTx) start(ctx context.Context, from jitney.Start) (int64, error) {
	next, err := tx.number(ctx, `SELECT next FROM {p}head WHERE id = 1{lock}`)
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

// Why an event is put aside.
const (
	asideUnknown = 0 // this program could not decode it
	asideReplay  = 1 // it is to be given again
)

// fromAside returns the next of what is put aside, as far as this program can decode it.
func (c *cursor) fromAside(ctx context.Context, most int) (entries []jitney.Entry, err error) {
	c.j.mu.Lock()
	if c.look {
		c.look, c.scan, c.after = false, true, 0
	}
	c.j.mu.Unlock()
	for c.scan && len(entries) == 0 {
		records, reasons, err := c.j.readAside(ctx, c.name, c.after, most)
		if err != nil {
			return nil, fmt.Errorf("sqljournal: read for %s: %w", c.name, err)
		}
		if c.scan = len(records) > 0; !c.scan {
			break
		}
		c.after = records[len(records)-1].pos
		entries = c.decodable(records, reasons)
	}
	return entries, nil
}

// decodable returns the entries of records that are to be returned now.
func (c *cursor) decodable(records []*record, reasons []int) (entries []jitney.Entry) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	for i, r := range records {
		e := r.entry(c.j.types)
		if e.Err != nil || c.waiting[r.pos] {
			continue
		}
		if _, raw := e.Envelope.Event.(jitney.RawEvent); raw && reasons[i] == asideUnknown {
			continue
		}
		c.waiting[r.pos] = true
		entries = append(entries, e)
	}
	return entries
}

// readAside returns what is put aside for a subscriber behind a position, and why.
func (j *Journal) readAside(ctx context.Context, name string, after int64, most int) (records []*record, reasons []int, err error) {
	rows, err := j.db.QueryContext(ctx, j.sql(`SELECT l.pos, l.id, l.type, l.at, l.attributes, l.data, l.crc, a.reason `+
		`FROM {p}aside a JOIN {p}log l ON l.pos = a.pos WHERE a.subscriber = ? AND a.pos > ? ORDER BY a.pos LIMIT ?`), name, after, max(most, 1))
	if err != nil {
		return nil, nil, err
	}
	if records, err = scan(rows); err != nil {
		return nil, nil, err
	}
	for _, r := range records { // the last column is the version elsewhere
		reasons = append(reasons, r.version)
	}
	return records, reasons, nil
}

// Next implements [jitney.Cursor].
func (c *cursor) Next(ctx context.Context, most int) ([]jitney.Entry, int64, error) {
	if c.j.d.Shared {
		elsewhere, err := c.hold(ctx)
		if err != nil {
			return nil, 0, err
		}
		if elsewhere { // nothing needs handling here, whatever comes
			return nil, math.MaxInt64, nil
		}
	}
	first := !c.begun
	c.begun = true
	recovering := c.recovery.left > 0
	if recovering {
		if err := c.awaitLast(ctx); err != nil {
			return nil, 0, err
		}
		most = 1
	}
	for {
		entries, err := c.fromAside(ctx, most)
		if err != nil {
			return nil, 0, err
		}
		if len(entries) > 0 {
			return c.given(ctx, entries, recovering)
		}
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		records, end, grown := c.j.recent.from(c.next, most)
		if len(records) == 0 && c.next <= end {
			if records, err = c.j.read(ctx, `WHERE pos >= ? ORDER BY pos LIMIT ?`, c.next, max(most, 1)); err != nil {
				return nil, 0, fmt.Errorf("sqljournal: read for %s: %w", c.name, err)
			}
			if pruned, err := c.pruned(ctx, records); err != nil || pruned {
				if err != nil {
					return nil, 0, fmt.Errorf("sqljournal: read for %s: %w", c.name, err)
				}
				continue
			}
		}
		if n := int64(len(records)); n == 0 && c.next <= end || n > 0 && (records[0].pos != c.next || records[n-1].pos != c.next+n-1) {
			return nil, 0, fmt.Errorf("sqljournal: read for %s: %w: events are missing from position %d on", c.name, ErrCorrupt, c.next)
		}
		if len(records) > 0 {
			entries = c.pass(records)
			return c.given(ctx, entries, recovering)
		}
		c.recovery.left = 0 // all that had been in flight has been given
		if first {
			return nil, c.next - 1, nil
		}
		if err := c.j.await(ctx, grown); err != nil {
			return nil, 0, err
		}
		if c.j.d.Shared {
			return nil, c.next - 1, nil // is it still ours?
		}
	}
}

// given returns entries from Next.
func (c *cursor) given(ctx context.Context, entries []jitney.Entry, recovering bool) ([]jitney.Entry, int64, error) {
	if recovering && len(entries) > 0 {
		if err := c.suspected(ctx, &entries[0]); err != nil {
			return nil, 0, err
		}
	}
	return entries, c.next - 1, nil
}

// pruned reports whether events that c has not read have been pruned. It goes on behind them then, and says so.
func (c *cursor) pruned(ctx context.Context, records []*record) (bool, error) {
	if len(records) > 0 && records[0].pos == c.next {
		return false, nil
	}
	var oldest int64
	if err := c.j.db.QueryRowContext(ctx, c.j.sql(`SELECT oldest FROM {p}head WHERE id = 1`)).Scan(&oldest); err != nil {
		return false, err
	}
	if oldest <= c.next {
		return false, nil
	}
	c.j.log.Error("sqljournal: events were pruned before their subscriber has had them",
		slog.String("subscriber", c.name), slog.Int64("from", c.next), slog.Int64("to", oldest-1))
	c.next = oldest
	return true, nil
}

// pass returns the entries for this subscriber among records.
func (c *cursor) pass(records []*record) (entries []jitney.Entry) {
	for _, r := range records {
		if c.typ == "" || r.typ == c.typ || r.crc != r.sum() {
			entries = append(entries, r.entry(c.j.types))
		}
	}
	c.next = records[len(records)-1].pos + 1
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	entries = slices.DeleteFunc(entries, func(e jitney.Entry) bool {
		c.out = append(c.out, e.Position)
		if !c.ahead[e.Position] {
			return false
		}
		delete(c.ahead, e.Position)
		c.settled[e.Position] = true
		return true
	})
	c.through = c.next - 1
	c.rise()
	return entries
}

// rise moves the floor up as far as everything is settled. Called with j.mu held.
func (c *cursor) rise() {
	n := 0
	for n < len(c.out) && c.settled[c.out[n]] {
		delete(c.settled, c.out[n])
		n++
	}
	c.out = slices.Delete(c.out, 0, n)
	if len(c.out) == 0 {
		c.floor = c.through
	} else {
		c.floor = c.out[0] - 1
	}
}

// Settle implements [jitney.Cursor].
func (c *cursor) Settle(position int64, o jitney.Outcome) {
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	if c.closed {
		return
	}
	switch {
	case c.waiting[position] && o == jitney.Settled:
		delete(c.waiting, position)
		c.aside[position] = false
	case c.waiting[position]:
	default:
		if _, is := slices.BinarySearch(c.out, position); !is || c.settled[position] {
			return // it has been settled before
		}
		if o == jitney.Unknown {
			c.aside[position] = true
		}
		c.settled[position] = true
		if c.out[0] == position {
			c.rise()
		}
	}
	if c.awaited == position {
		c.j.recent.poke()
	}
	if c.changed++; c.changed == 1 {
		c.since = time.Now()
		c.j.wake()
	} else if c.changed == flushCount {
		c.j.wake()
	}
}

// change is what is to be written of a cursor.
type change struct {
	c     *cursor
	n     int
	floor int64
	ahead []byte
	aside map[int64]bool
	last  bool // the cursor is being closed
	lost  bool // the place has become another process's meanwhile
}

// changes returns what is to be written: all there is, or what is due.
func (j *Journal) changes(all bool) (list []*change) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.cursors {
		if c.changed == 0 || c.writing || c.closed || !all && c.changed < flushCount && time.Since(c.since) < flushAfter {
			continue
		}
		list = append(list, c.change())
	}
	return list
}

// change takes what is to be written of c. Called with j.mu held.
func (c *cursor) change() *change {
	ch := &change{c: c, n: c.changed, floor: c.floor, aside: c.aside}
	var ahead []int64
	for pos := range c.settled {
		ahead = append(ahead, pos)
	}
	for pos := range c.ahead {
		ahead = append(ahead, pos)
	}
	ch.ahead = writeAhead(c.floor, ahead)
	c.aside, c.changed, c.writing = make(map[int64]bool), 0, true
	return ch
}

func (ch *change) write(ctx context.Context, tx *writeTx) error {
	if tx.j.d.Shared {
		if ours, err := ch.c.isOurs(ctx, tx); err != nil || !ours {
			ch.lost = !ours
			return err
		}
	}
	crc := ch.c.sum(ch.floor, ch.ahead)
	if err := tx.exec(ctx, `UPDATE {p}subscriber SET position = ?, ahead = ?, crc = ? WHERE name = ?`, ch.floor, ch.ahead, int64(crc), ch.c.name); err != nil {
		return err
	}
	if ch.last {
		if err := tx.exec(ctx, `UPDATE {p}subscriber SET owner = NULL, clean = 1, suspect = 0, deaths = 0 WHERE name = ?`, ch.c.name); err != nil {
			return err
		}
	}
	for pos, put := range ch.aside {
		if err := tx.exec(ctx, `DELETE FROM {p}aside WHERE subscriber = ? AND pos = ?`, ch.c.name, pos); err != nil {
			return err
		}
		if !put {
			continue
		}
		if err := tx.exec(ctx, `INSERT INTO {p}aside (subscriber, pos, reason) VALUES (?, ?, ?)`, ch.c.name, pos, asideUnknown); err != nil {
			return err
		}
	}
	return nil
}

// flushed is called when ch has been written, or not.
func (ch *change) flushed(err error) {
	c := ch.c
	c.j.mu.Lock()
	defer c.j.mu.Unlock()
	defer c.j.written.Broadcast()
	c.writing = false
	if ch.lost {
		c.forget()
	}
	if err == nil || ch.lost {
		return
	}
	for pos, put := range ch.aside {
		if _, newer := c.aside[pos]; !newer {
			c.aside[pos] = put
		}
	}
	if c.changed == 0 {
		c.since = time.Now()
	}
	c.changed += ch.n
}

// flushIn says when settlements are due to be written next, or the outbox to be looked at.
func (j *Journal) flushIn() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	wait := j.poll
	for _, c := range j.cursors {
		if c.changed > 0 && !c.writing {
			wait = min(wait, flushAfter-time.Since(c.since))
		}
	}
	return max(wait, time.Millisecond)
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

// writeAhead writes positions above floor: the distance of each to the one before, as uvarints.
func writeAhead(floor int64, positions []int64) []byte {
	slices.Sort(positions)
	var b []byte
	for _, pos := range positions {
		b = binary.AppendUvarint(b, uint64(pos-floor))
		floor = pos
	}
	return b
}

func readAhead(floor int64, b []byte) (map[int64]bool, error) {
	positions := make(map[int64]bool)
	for len(b) > 0 {
		d, n := binary.Uvarint(b)
		if n <= 0 || d == 0 || d > 1<<40 {
			return nil, fmt.Errorf("%w: what it has settled ahead of position %d", ErrCorrupt, floor)
		}
		floor += int64(d)
		positions[floor] = true
		b = b[n:]
	}
	return positions, nil
}

// read returns the records that a clause selects.
func (j *Journal) read(ctx context.Context, clause string, args ...any) (records []*record, err error) {
	rows, err := j.db.QueryContext(ctx, j.sql(`SELECT pos, id, type, at, attributes, data, crc, 0 FROM {p}log `+clause), args...)
	if err != nil {
		return nil, err
	}
	return scan(rows)
}

func scan(rows *sql.Rows) (records []*record, err error) {
	defer rows.Close() //nolint:errcheck // Err tells
	var id sql.RawBytes
	for rows.Next() {
		r := &record{}
		if err := rows.Scan(&r.pos, &id, &r.typ, &r.at, &r.attributes, &r.data, &r.crc, &r.version); err != nil {
			return nil, err
		}
		copy(r.id[:], id)
		records = append(records, r)
	}
	return records, rows.Err()
}
