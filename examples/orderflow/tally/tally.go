// Package tally keeps what the shop's modules know, as sums by name: in memory, or in the database of the bus's
// journal. There a sum is a part of the transaction in which the event is marked as handled, and so changes once for
// each event, whatever happens to the process.
package tally

import (
	"context"
	"errors"
	"math"
)

// Sums are whole numbers by name, 0 at first.
type Sums interface {
	// Add adds d to the sum called name, and returns it. ErrRange if it would not fit into 64 bits; then it is as before.
	Add(ctx context.Context, name string, d int64) (int64, error)
	// All returns the sums that have been added to.
	All(ctx context.Context) (map[string]int64, error)
}

// ErrRange says that a sum does not fit into 64 bits.
var ErrRange = errors.New("sum out of range")

func add(a, d int64) (int64, error) {
	if d > 0 && a > math.MaxInt64-d || d < 0 && a < math.MinInt64-d {
		return 0, ErrRange
	}
	return a + d, nil
}
