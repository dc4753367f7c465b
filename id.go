package jitney

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// ids makes the IDs of this process. They rise within the process, not only within a bus, because
// envelopes are forwarded from one bus to another.
var ids idSource

// idSource makes UUIDv7s that rise, whatever the clock does.
//
// The layout is RFC 9562's section 5.7 with method 3 of section 6.2: 48 bits of Unix milliseconds, then
// 12 bits that hold the fraction of the millisecond, then 62 random bits from the runtime's ChaCha8. A
// reading that does not lie behind the one before (a burst, or a clock set back) counts on from there.
type idSource struct {
	last atomic.Int64 // milliseconds<<12 | fraction
}

// next returns an ID for something that happens at now, in Unix ns.
func (s *idSource) next(now int64) uuid.UUID {
	stamp := s.stamp(now)
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(stamp>>12)<<16|0x7000|uint64(stamp&0xfff))
	binary.BigEndian.PutUint64(id[8:], 1<<63|rand.Uint64()>>2)
	return id
}

func (s *idSource) stamp(now int64) int64 {
	const fraction = int64(time.Millisecond) / 4096 // ns per step: 244
	stamp := now/1e6<<12 | min(now%1e6/fraction, 0xfff)
	for {
		last := s.last.Load()
		if stamp <= last {
			stamp = last + 1
		}
		if s.last.CompareAndSwap(last, stamp) {
			return stamp
		}
	}
}

// idText is id.String() for half the price.
func idText(id uuid.UUID) string {
	text := [36]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	hex := func(at int, b byte) { text[at], text[at+1] = "0123456789abcdef"[b>>4], "0123456789abcdef"[b&15] }
	hex(0, id[0])
	hex(2, id[1])
	hex(4, id[2])
	hex(6, id[3])
	hex(9, id[4])
	hex(11, id[5])
	hex(14, id[6])
	hex(16, id[7])
	hex(19, id[8])
	hex(21, id[9])
	hex(24, id[10])
	hex(26, id[11])
	hex(28, id[12])
	hex(30, id[13])
	hex(32, id[14])
	hex(34, id[15])
	return string(text[:])
}
