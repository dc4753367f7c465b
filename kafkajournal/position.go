package kafkajournal

import (
	"context"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A position is the number of a partition and, in the lower 48 bits, the offset behind the event there. So positions
// rise within a partition, and in the first one they are simply how many records there are up to here.

const (
	offsetBits    = 48
	maxPartitions = 1 << (63 - offsetBits)
)

func position(partition int32, behind int64) int64 { return int64(partition)<<offsetBits | behind }

func located(position int64) (partition int32, behind int64) {
	return int32(position >> offsetBits), position & (1<<offsetBits - 1)
}

// vector is how far something goes, in each partition.
type vector []int64

func (v vector) at(partition int) int64 {
	if partition < len(v) {
		return v[partition]
	}
	return 0
}

func (v vector) sum() (n int64) {
	for _, behind := range v {
		n += behind
	}
	return n
}

// covers reports whether v goes as far as w everywhere.
func (v vector) covers(w vector) bool {
	for p, behind := range w {
		if v.at(p) < behind {
			return false
		}
	}
	return true
}

// or is the further of v and w in each partition.
func (v vector) or(w vector) vector {
	further := make(vector, max(len(v), len(w)))
	for p := range further {
		further[p] = max(v.at(p), w.at(p))
	}
	return further
}

// horizon are the ends that have been told of. Each goes as far as the one before everywhere, and as far as any cursor
// had said then that it has come. So their sums rise, and are told instead of them: a sum that is as great as an end's is
// of who has passed it everywhere.
type horizon struct {
	mu      sync.Mutex
	ends    []vector // the newest last
	reached vector   // by the cursors together
}

// maxEnds is how many ends are known. Who waits for one that has been forgotten waits for a later one.
const maxEnds = 64

// tell returns the sum of v and the newest end together, and whether that is new.
func (h *horizon) tell(v vector) (sum int64, fresh bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.newest()
	end := v.or(last).or(h.reached)
	if sum = end.sum(); sum == last.sum() {
		return sum, false
	}
	h.ends = append(h.ends, end)
	h.ends = h.ends[max(0, len(h.ends)-maxEnds):]
	return sum, true
}

func (h *horizon) newest() vector {
	if len(h.ends) == 0 {
		return nil
	}
	return h.ends[len(h.ends)-1]
}

// through is the number that says of who has come as far as v: it is that of an end, or greater, only if v covers it.
// Partitions that are not his count as the newest end has them.
func (h *horizon) through(v vector, his func(partition int) bool) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.newest()
	far := make(vector, max(len(v), len(last)))
	for p := range far {
		if far[p] = v.at(p); !his(p) {
			far[p] = last.at(p)
		}
	}
	if far.covers(last) {
		h.reached = h.reached.or(far)
		return far.sum()
	}
	for i := len(h.ends) - 2; i >= 0; i-- {
		if far.covers(h.ends[i]) {
			return h.ends[i].sum()
		}
	}
	return 0
}

// End implements [jitney.Journal]. It is the sum of the partitions' ends, as a cursor's through is.
func (j *Journal) End(ctx context.Context) (int64, error) {
	ends, err := j.ends(ctx)
	if err != nil {
		return 0, fmt.Errorf("kafkajournal: end of %s: %w", j.topic, err)
	}
	sum, fresh := j.horizon.tell(ends)
	if fresh {
		j.poke()
	}
	return sum, nil
}

// poke has all cursors look how far they are.
func (j *Journal) poke() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.cursors {
		c.poke()
	}
}

func (j *Journal) ends(ctx context.Context) (vector, error) {
	list, err := j.admin.ListEndOffsets(ctx, j.topic)
	return offsets(j.topic, list, err)
}

func (j *Journal) starts(ctx context.Context) (vector, error) {
	list, err := j.admin.ListStartOffsets(ctx, j.topic)
	return offsets(j.topic, list, err)
}

func offsets(topic string, list kadm.ListedOffsets, err error) (vector, error) {
	if err == nil {
		err = list.Error()
	}
	if err != nil {
		return nil, err
	}
	v := make(vector, len(list[topic]))
	for p, o := range list[topic] {
		if int(p) >= len(v) {
			return nil, fmt.Errorf("partition %d of %d", p, len(v))
		}
		v[p] = o.Offset
	}
	return v, nil
}
