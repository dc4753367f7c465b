package tally

import (
	"context"
	"maps"
	"sync"
)

// Memory is sums that end with the process. The zero value is ready to use.
type Memory struct {
	mu   sync.Mutex
	sums map[string]int64
}

// Add implements [Sums].
func (m *Memory) Add(_ context.Context, name string, d int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum, err := add(m.sums[name], d)
	if err != nil {
		return 0, err
	}
	if m.sums == nil {
		m.sums = make(map[string]int64)
	}
	m.sums[name] = sum
	return sum, nil
}

// All implements [Sums].
func (m *Memory) All(context.Context) (map[string]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.sums), nil
}
