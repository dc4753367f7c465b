package sqljournal

import "sync"

// recent is the newest records that this process has committed, so that subscribers that keep up need not read them
// from the database, nor decode them one by one.
type recent struct {
	mu    sync.RWMutex
	list  []*record // consecutive positions
	bytes int
	end   int64         // the newest position that is committed, as far as is known here
	grown chan struct{} // closed when end rises
}

// What recent keeps at most.
const (
	maxRecent      = 8192
	maxRecentBytes = 16 << 20
)

// add appends what has been committed.
func (rc *recent) add(records []*record) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if len(rc.list) > 0 && records[0].pos != rc.list[len(rc.list)-1].pos+1 { // another process has been between
		rc.list, rc.bytes = nil, 0
	}
	for _, r := range records {
		rc.bytes += r.size()
	}
	rc.list = append(rc.list, records...)
	drop := 0
	for len(rc.list)-drop > maxRecent || rc.bytes > maxRecentBytes && drop < len(rc.list) {
		rc.bytes -= rc.list[drop].size()
		drop++
	}
	clear(rc.list[:drop])
	rc.list = rc.list[drop:]
	rc.rise(records[len(records)-1].pos)
}

// known takes note of the newest position there is.
func (rc *recent) known(end int64) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.rise(end)
}

// poke wakes whoever waits, for another reason than a newer event.
func (rc *recent) poke() {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	close(rc.grown)
	rc.grown = make(chan struct{})
}

func (rc *recent) rise(end int64) {
	if end > rc.end {
		rc.end = end
		close(rc.grown)
		rc.grown = make(chan struct{})
	}
}

// from returns the records from pos on, at most n, if they are kept; the newest position; and what is closed when
// there is a newer one.
func (rc *recent) from(pos int64, n int) (records []*record, end int64, grown <-chan struct{}) {
	rc.mu.RLock()
	defer rc.mu.RUnlock()
	if len(rc.list) > 0 && pos >= rc.list[0].pos && pos <= rc.list[len(rc.list)-1].pos {
		at := int(pos - rc.list[0].pos)
		records = rc.list[at:min(at+n, len(rc.list))]
		records = append([]*record(nil), records...)
	}
	return records, rc.end, rc.grown
}
