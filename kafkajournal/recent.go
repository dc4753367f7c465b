package kafkajournal

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jitney-go/jitney"
)

// recent knows the IDs of the newest events: those that Open has read, and what this process stores. What other
// processes store meanwhile it does not know.
type recent struct {
	mu     sync.Mutex
	known  map[uuid.UUID]*known
	order  []uuid.UUID // of known, the oldest first, from begin on
	begin  int
	most   int
	doubt  bool // more may be stored than is known
	asking sync.Mutex
}

// known is an event that is stored, or being stored.
type known struct {
	sum    digest
	done   chan struct{} // closed when it is known what has become of it; nil if nobody waits for that
	stored bool
}

func newRecent() *recent { return &recent{known: make(map[uuid.UUID]*known)} }

// claim takes drafts that are not stored for the caller, who must settle them. If one of them is being stored already it
// takes none, and returns what to wait for.
func (r *recent) claim(drafts []*draft) (fresh []*draft, wait <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var mine map[uuid.UUID]digest // of several
	if len(drafts) > 1 {
		mine = make(map[uuid.UUID]digest, len(drafts))
	}
	for _, d := range drafts {
		k := r.known[d.id]
		sum, twice := mine[d.id]
		if k != nil {
			sum = k.sum
		}
		switch {
		case k == nil && !twice:
			if fresh = append(fresh, d); mine != nil {
				mine[d.id] = d.sum
			}
		case sum != d.sum:
			return nil, nil, fmt.Errorf("kafkajournal: %w: %s", jitney.ErrIDConflict, d.env)
		case k != nil && !k.stored:
			wait = k.wait()
		}
	}
	if wait != nil {
		return nil, wait, nil
	}
	for _, d := range fresh {
		r.known[d.id] = &known{sum: d.sum}
	}
	return fresh, nil, nil
}

// settle tells what has become of drafts that were claimed.
func (r *recent) settle(drafts []*draft, err error, doubt bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doubt = r.doubt || doubt
	for _, d := range drafts {
		k := r.known[d.id]
		if k.stored = err == nil; k.stored {
			r.remember(d.id)
		} else {
			delete(r.known, d.id)
		}
		if k.done != nil {
			close(k.done)
		}
	}
}

// wait returns what is closed when it is known what has become of k. Called with mu held.
func (k *known) wait() <-chan struct{} {
	if k.done == nil {
		k.done = make(chan struct{})
	}
	return k.done
}

// remember notes that an ID is known, and forgets the oldest. Called with mu held.
func (r *recent) remember(id uuid.UUID) {
	r.order = append(r.order, id)
	for len(r.order)-r.begin > r.most {
		delete(r.known, r.order[r.begin])
		r.begin++
	}
	if r.begin > r.most {
		r.order, r.begin = append([]uuid.UUID(nil), r.order[r.begin:]...), 0
	}
}

// saw takes a record that was read.
func (r *recent) saw(id uuid.UUID, s digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[id] != nil {
		return
	}
	r.known[id] = &known{sum: s, stored: true}
	r.remember(id)
}

// sure reads what may have been stored without this process's knowing, if there is any.
func (j *Journal) sure(ctx context.Context) error {
	r := j.recent
	r.asking.Lock()
	defer r.asking.Unlock()
	r.mu.Lock()
	doubt := r.doubt
	r.doubt = false
	r.mu.Unlock()
	if !doubt {
		return nil
	}
	err := j.lookBack(ctx)
	if err != nil {
		r.mu.Lock()
		r.doubt = true
		r.mu.Unlock()
	}
	return err
}

// lookBack reads the newest events of each partition. It waits for transactions that are under way.
func (j *Journal) lookBack(ctx context.Context) error {
	if j.remembered <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	ends, err := j.ends(ctx)
	if err != nil {
		return err
	}
	starts, err := j.starts(ctx)
	if err != nil {
		return err
	}
	r := j.recent
	r.mu.Lock()
	r.most = j.remembered * len(ends)
	r.mu.Unlock()
	from := make(map[int32]int64)
	for p, end := range ends {
		if start := max(starts.at(p), end-int64(j.remembered)); start < end {
			from[int32(p)] = start
		}
	}
	return j.read(ctx, from, func(rec *kgo.Record) {
		if ends.at(int(rec.Partition)) <= rec.Offset+1 {
			delete(from, rec.Partition)
		}
		if rec.Attrs.IsControl() {
			return
		}
		m, err := message(rec)
		if err != nil {
			return
		}
		if env, err := j.types.Decode(m); err == nil {
			r.saw(env.ID, sum(record(m, env)))
		}
	})
}

// read calls f with the records of partitions, each from an offset on, until f has removed all of them from the map.
func (j *Journal) read(ctx context.Context, from map[int32]int64, f func(*kgo.Record)) error {
	if len(from) == 0 {
		return nil
	}
	at := make(map[int32]kgo.Offset, len(from))
	for p, offset := range from {
		at[p] = kgo.NewOffset().At(offset)
	}
	client, err := kgo.NewClient(j.options(append(reading(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{j.topic: at}))...)...)
	if err != nil {
		return err
	}
	defer client.Close()
	for len(from) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("partition %d: %w", errs[0].Partition, errs[0].Err)
		}
		fetches.EachRecord(f)
	}
	return nil
}

// reading are the options of a client that reads events.
func reading() []kgo.Opt {
	return []kgo.Opt{
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(8 << 20), kgo.FetchMaxPartitionBytes(1 << 20),
	}
}
