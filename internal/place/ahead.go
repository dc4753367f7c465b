package place

import (
	"encoding/binary"
	"errors"
)

// ErrCorrupt says that what AppendAhead has written is not what ReadAhead is given.
var ErrCorrupt = errors.New("positions ahead of the floor are corrupt")

// AppendAhead appends positions, which are in order and above floor, to b: the distance of each to the one before, as
// uvarints.
func AppendAhead(b []byte, floor int64, positions []int64) []byte {
	for _, pos := range positions {
		b = binary.AppendUvarint(b, uint64(pos-floor))
		floor = pos
	}
	return b
}

// ReadAhead reads what AppendAhead has written.
func ReadAhead(floor int64, b []byte) (positions []int64, err error) {
	for len(b) > 0 {
		d, n := binary.Uvarint(b)
		if n <= 0 || d == 0 || d > 1<<62 || floor > 1<<62-int64(d) {
			return nil, ErrCorrupt
		}
		floor += int64(d)
		positions = append(positions, floor)
		b = b[n:]
	}
	return positions, nil
}
