package kafkajournal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
)

// cursor implements [jitney.Cursor]: a member of the subscriber's group.
type cursor struct {
	j      *Journal
	d      jitney.Durable
	name   string
	group  string
	client *kgo.Client
	window int
	birth  birth

	begun   bool       // Next has returned before; Next's alone
	said    int64      // through, as Next has returned it last; Next's alone
	pending *suspicion // what is to be returned when it has been noted; Next's alone
	turn    int32      // the partition that was asked last; Next's alone
	asked   int        // recalls when Next was called; Next's alone

	strange int // errors of fetches; pump's alone

	life    context.Context // of its goroutines
	stop    context.CancelFunc
	running sync.WaitGroup
	dirty   chan struct{} // has an element when there is something to be stored
	full    chan struct{} // has an element when that should not wait
	roomier chan struct{} // has an element when a queue may not be full any more

	writing sync.Mutex // held by whoever stores what was settled; taken before mu

	mu       sync.Mutex
	parts    map[int32]*partition // that are this process's
	metadata map[int32]string     // committed with the offsets that are being fetched
	joined   bool                 // it is known which are
	recalls  int                  // times that something in flight was taken back
	closed   bool                 // nothing is given or taken any more
	patient  context.Context      // of Close; before that, without end
	stored   bool                 // all that was settled before
	grown    chan struct{}        // closed when Next should look again
}

// Open implements [jitney.Journal]. Other processes may have the same name open, and share its partitions.
func (j *Journal) Open(ctx context.Context, d jitney.Durable) (jitney.Cursor, error) {
	c := &cursor{
		j: j, d: d, name: d.Name, group: j.topic + "." + d.Name, window: max(d.Window, 1),
		dirty: make(chan struct{}, 1), full: make(chan struct{}, 1), roomier: make(chan struct{}, 1),
		parts: make(map[int32]*partition), grown: make(chan struct{}), patient: context.Background(),
	}
	c.life, c.stop = context.WithCancel(context.Background())
	err := j.reserve(c)
	if err == nil {
		if err = c.begin(ctx); err != nil {
			c.stop()
			j.release(c)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("kafkajournal: open %s: %w", d.Name, err)
	}
	return c, nil
}

func (j *Journal) reserve(c *cursor) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return ErrClosed
	case c.name == "":
		return errors.New("a durable subscriber has no name")
	case j.cursors[c.name] != nil:
		return jitney.ErrInUse
	}
	j.cursors[c.name] = c
	return nil
}

func (j *Journal) release(c *cursor) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cursors[c.name] == c {
		delete(j.cursors, c.name)
	}
}

// begin finds the subscriber's place, or makes one, and joins its group.
func (c *cursor) begin(ctx context.Context) error {
	if err := c.born(ctx); err != nil {
		return err
	}
	client, err := kgo.NewClient(c.j.options(append(reading(), c.membership()...)...)...)
	if err != nil {
		return err
	}
	c.client = client
	c.running.Go(c.pump)
	c.running.Go(c.store)
	return nil
}

// Settle implements [jitney.Cursor].
func (c *cursor) Settle(position int64, o jitney.Outcome) {
	c.tell(position, func(p *partition, behind int64) bool { return p.place.Settle(behind, o) })
}

// Postpone implements [jitney.Cursor].
func (c *cursor) Postpone(position int64, progress jitney.Progress) {
	c.tell(position, func(p *partition, behind int64) bool { return p.place.Postpone(behind, progress) })
}

// tell has f take note of a position that is this process's.
func (c *cursor) tell(position int64, f func(p *partition, behind int64) bool) {
	number, behind := located(position)
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.parts[number]
	if c.closed || p == nil || p.place == nil || !f(p, behind) {
		return
	}
	c.touch(p)
	if p.recovery.last == behind || p.leaving {
		p.recovery.survive(behind)
		c.pokeLocked()
	}
}

// touch notes that something is to be stored. Called with mu held.
func (c *cursor) touch(p *partition) {
	signal(c.dirty)
	if p.place.Changed() >= flushCount {
		signal(c.full)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (c *cursor) poke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pokeLocked()
}

func (c *cursor) pokeLocked() {
	close(c.grown)
	c.grown = make(chan struct{})
}

// Hold implements [jitney.Cursor]. Other processes that have the name open are told when they open it again.
func (c *cursor) Hold(ctx context.Context, h jitney.Held) error {
	var value []byte
	if h != (jitney.Held{}) {
		value = row(h)
	}
	if err := c.j.places.put(ctx, map[string][]byte{helds + c.name: value}); err != nil {
		return fmt.Errorf("kafkajournal: hold %s: %w", c.name, err)
	}
	return nil
}

// Close implements [jitney.Cursor]. The partitions become other processes' at once.
func (c *cursor) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed, c.patient = true, ctx
	c.pokeLocked()
	c.mu.Unlock()
	defer c.j.release(c)
	err := c.storeLast(ctx)
	c.stop()
	c.running.Wait()
	err = errors.Join(err, c.leave(ctx))
	if err != nil {
		return fmt.Errorf("kafkajournal: close %s: %w", c.name, err)
	}
	return nil
}

// storeLast stores all that was settled. While the group is being balanced Kafka takes nothing, for a moment.
func (c *cursor) storeLast(ctx context.Context) error {
	for {
		c.mu.Lock()
		mine, grown := c.mine(), c.grown
		c.mu.Unlock()
		err := c.flush(ctx, mine, true)
		if !errors.Is(err, kerr.RebalanceInProgress) && !errors.Is(err, kerr.IllegalGeneration) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.stored = err == nil
			return err
		}
		select {
		case <-grown:
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// leave leaves the group. Without an answer the others have to wait for the lease to end.
func (c *cursor) leave(ctx context.Context) error {
	c.client.AllowRebalance()
	err := c.client.LeaveGroupContext(ctx)
	c.client.CloseAllowingRebalance()
	return err
}

// mine are the partitions that are this process's and known. Called with mu held.
func (c *cursor) mine() (list []*partition) {
	for _, p := range c.parts {
		if p.place != nil {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *partition) int { return int(a.number - b.number) })
	return list
}

// patience is how long a request to Kafka is waited for that nobody else waits for.
const patience = 10 * time.Second
