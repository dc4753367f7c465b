package jitney

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// feed leads a durable subscription's events from the journal into its queue. It fetches no more than the queue has
// room for, with what is parked or asleep beside, so it never waits for room there, and tells the journal what has become of each event.
type feed struct {
	s      *Subscription
	from   Start
	cursor Cursor

	effects bool // they cannot be taken back

	taking   chan struct{}  // has an element while somebody has what follows, or brings an entry into the queue
	recalled map[int64]bool // since Next was called last

	asked   atomic.Pointer[Envelope] // what filters and FairShare are asked about now, or nil
	through atomic.Int64             // how far it has come; set when the entries up to there are in the queue
	mu      sync.Mutex
	free    int             // entries that may still be fetched, beside those that do not count
	opened  bool            // the journal has found the subscription's place
	said    bool            // somebody has paused the subscription in this process, or let it go on
	more    chan struct{}   // has an element when free has risen
	life    context.Context // of the fetching
	stop    context.CancelFunc
	stopped chan struct{}
}

func newFeed(s *Subscription, from Start, effects bool) *feed {
	f := &feed{s: s, from: from, effects: effects, free: s.queue.limit, more: make(chan struct{}, 1), stopped: make(chan struct{}), taking: make(chan struct{}, 1), recalled: make(map[int64]bool)}
	s.queue.roomier = f.roomier
	f.life, f.stop = context.WithCancel(context.Background())
	return f
}

// begin finds the subscription's place in the journal and begins to feed it. A journal that does not answer now is
// asked again: the subscription begins at this moment then, if its name is new and it is to begin at the end. Only
// a name that is in use is an error.
func (f *feed) begin() error {
	d := Durable{Name: f.s.name, From: f.from, SideEffects: f.effects, Window: f.s.queue.limit, Held: f.wasHeld, Recall: f.recall}
	if f.s.want.Kind() != reflect.Interface {
		d.Type = f.s.typ
	}
	err := f.open(f.life, d)
	if is(err, ErrInUse) {
		close(f.stopped)
		return err
	}
	if err != nil && d.From == (Start{}) {
		d.From = FromTime(time.Now())
	}
	go func() {
		defer close(f.stopped)
		ok := f.persist(f.life, err, "jitney: durable subscription not opened, will try again", func() error { return f.open(f.life, d) })
		if ok && f.s.queue.parking.limit > 0 && f.s.letters != nil {
			stand := func() error { return f.s.standAgain(f.life) }
			ok = f.persist(f.life, contain(stand), "jitney: dead letters cannot be read, will try again", stand)
		}
		if ok {
			f.run(f.life)
		}
	}()
	return nil
}

func (f *feed) open(ctx context.Context, d Durable) error {
	return contain(func() error {
		c, err := f.s.bus.journal.Open(ctx, d)
		if err != nil {
			return err
		}
		f.mu.Lock() // end may not have waited for this
		defer f.mu.Unlock()
		f.cursor = c
		return nil
	})
}

// persist calls try, which has failed with err, until it succeeds, and reports whether it did before ctx ended.
func (f *feed) persist(ctx context.Context, err error, text string, try func() error) bool {
	for n := 1; err != nil; n++ {
		if ctx.Err() != nil {
			return false
		}
		f.s.queue.count(func(st *Stats) { st.StoreErrors++ })
		if powerOfTwo(n) {
			f.s.bus.log(ctx, slog.LevelError, text,
				slog.String("subscriber", f.s.name), slog.Int("times", n), slog.String("error", errorText(err)))
		}
		wait, _ := storePolicy.Next(n, 0, f.s.random())
		_ = sleep(ctx, ctx, wait)
		err = contain(try)
	}
	return true
}

// run fetches entries until ctx ends.
func (f *feed) run(ctx context.Context) {
	for f.await(ctx) {
		var entries []Entry
		var through int64
		fetch := func() (err error) {
			f.ask()
			entries, through, err = f.cursor.Next(ctx, f.room())
			return err
		}
		if err := contain(fetch); !f.persist(ctx, err, "jitney: journal cannot be read, will try again", fetch) {
			return
		}
		for _, e := range entries {
			if !f.take(ctx, e) {
				return // the queue is closed: the entry comes again
			}
		}
		f.looked(through)
		f.s.bus.bell.ring()
	}
}

// take puts an entry into the queue, or settles it at once, unless it has been recalled.
func (f *feed) take(ctx context.Context, e Entry) bool {
	defer f.exclude()()
	if f.recalled[e.Position] {
		return true
	}
	f.asked.Store(e.Envelope)
	defer f.asked.Store(nil)
	switch f.matches(e) {
	case notForUs:
		f.cursor.Settle(e.Position, Settled)
		return true
	case unknown:
		f.unknown(e)
		return true
	}
	f.use(1)
	r := &rare{position: e.Position, crashes: e.Crashes, progress: e.Progress}
	if f.s.queue.batching != nil {
		r.came = time.Now().UnixNano()
	}
	w, err := f.s.offer(parcel{env: e.Envelope, rare: r}, false)
	if w != nil { // what is redelivered has taken the room
		err = f.s.queue.await(ctx, w, time.NewTimer(math.MaxInt64))
	}
	if err != nil {
		f.use(-1)
	}
	return err == nil
}

type match uint8

const (
	forUs match = iota
	notForUs
	unknown // it could be, for a program that knows it
)

func (f *feed) matches(e Entry) match {
	if e.Err != nil {
		return unknown
	}
	if f.s.queue.parking.limit > 0 && f.s.lies(e.Envelope) {
		return notForUs // the process died before the journal knew that it is dead
	}
	typ := reflect.TypeOf(e.Envelope.Event)
	switch raw := typ == rawType; {
	case f.s.wants(typ) && (!raw || f.s.want == eventType):
		if f.s.picky && !f.s.hears(e.Envelope) {
			return notForUs
		}
		return forUs
	case raw && (f.s.want.Kind() == reflect.Interface || e.Envelope.Type == f.s.typ):
		return unknown
	}
	return notForUs
}

var eventType = reflect.TypeFor[Event]()

// unknown puts an entry aside.
func (f *feed) unknown(e Entry) {
	var n uint64
	f.s.queue.count(func(st *Stats) { st.Unknown++; n = st.Unknown })
	f.cursor.Settle(e.Position, Unknown)
	if e.Err == nil && !powerOfTwo(n) {
		return
	}
	f.s.bus.log(context.Background(), slog.LevelError, "jitney: event put aside, this program cannot decode it",
		slog.String("subscriber", f.s.name), slog.Int64("position", e.Position), slog.Any("event", e.Envelope),
		slog.Uint64("put_aside_in_all", n), slog.String("error", errorText(e.Err)))
}

// settled tells the journal what has become of a delivery.
func (f *feed) settled(position int64, end ending) {
	if end != interrupted { // it comes again, to the next process
		_ = contain(func() error { f.cursor.Settle(position, Settled); return nil }) // if it panics, likewise
	}
	f.use(-1)
}

// postponed tells the journal that a delivery waits for its next attempt, if that is worth it.
func (f *feed) postponed(e *entry, v *verdict) {
	if v.wait < worthKeeping {
		return
	}
	now := time.Now()
	p := Progress{Attempts: e.file.attempts, First: e.file.first, Due: now.Add(v.wait), Wait: v.wait}
	if h := e.file.history; len(h) > 0 {
		p.Last = h[len(h)-1]
	}
	v.kept = contain(func() error { f.cursor.Postpone(e.position(), p); return nil }) == nil
}

// worthKeeping is the wait from which on a journal is told of it. After a death, a delivery with a shorter one begins
// at the attempt that was noted last.
const worthKeeping = time.Second

// use takes n entries' room, or gives it back.
func (f *feed) use(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free -= n
	if n <= 0 {
		f.roomier()
	}
}

// roomier has the feed look whether there is room.
func (f *feed) roomier() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}

func (f *feed) room() int {
	q := &f.s.queue
	q.mu.Lock()
	aside := q.aside() + int(q.stats.Recalled) // which have not given back what they used
	q.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.free + aside
}

// await waits for room, and reports whether there is some before ctx ends.
func (f *feed) await(ctx context.Context) bool {
	for f.room() <= 0 {
		select {
		case <-f.more:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// halt keeps further entries from coming, and waits until done for the last one to be in the queue.
func (s *Subscription) halt(done <-chan struct{}) {
	if s.feed == nil {
		return
	}
	s.feed.stop()
	select {
	case <-s.feed.stopped:
	case <-done:
	}
}

// errUndecided is why a feed does not end.
var errUndecided = errors.New("whose filter or FairShare does not return")

// undecided returns the event that s's feed hangs at, if it does.
func (s *Subscription) undecided() []Unhandled {
	f := s.feed
	if f == nil {
		return nil
	}
	select {
	case <-f.stopped:
		return nil
	default:
	}
	if env := f.asked.Load(); env != nil {
		return []Unhandled{{Envelope: env, Subscriber: s.name, Running: true, Err: errUndecided}}
	}
	s.bus.log(s.life, slog.LevelError, "jitney: journal, dead letters or FairShare do not return; no longer waited for",
		slog.String("subscriber", s.name), slog.String("subscribed_at", s.at))
	return nil
}

// endFeeds stores what has been settled, of all subs at the same time, before last.
func (b *Bus) endFeeds(last time.Time, subs []*Subscription) {
	ctx, cancel := context.WithDeadline(context.Background(), last)
	defer cancel()
	var feeds sync.WaitGroup
	for _, s := range subs {
		if s.feed != nil {
			feeds.Go(func() { s.feed.end(ctx) })
		}
	}
	feeds.Wait()
}

// end stores what has been settled.
func (f *feed) end(ctx context.Context) {
	f.mu.Lock()
	c := f.cursor
	f.mu.Unlock()
	if c == nil {
		return
	}
	if err := contain(func() error { return c.Close(ctx) }); err != nil {
		f.s.bus.log(ctx, slog.LevelError, "jitney: the journal does not know all that was settled; some of it will be handled again",
			slog.String("subscriber", f.s.name), slog.String("error", errorText(err)))
	}
}

// caughtUp reports whether all durable subscriptions have been fed all that the journal has up to end.
func (b *Bus) caughtUp(end int64) bool {
	for _, s := range b.routes.all() {
		if s.feed != nil && s.feed.through.Load() < end {
			return false
		}
	}
	return true
}
