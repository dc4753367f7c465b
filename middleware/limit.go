package middleware

import (
	"sync"
	"time"
)

// LimitStats is what a RateLimit or a Bulkhead has done so far.
type LimitStats struct {
	Passed uint64        // attempts let through
	Waited uint64        // the part of them that had to wait
	Wait   time.Duration // how long those waited in all
	GaveUp uint64        // attempts whose context ended, or would have, before it was their turn

	Waiting int // attempts that wait now
}

// account keeps a limit's LimitStats.
type account struct {
	mu sync.Mutex
	s  LimitStats
}

// Stats returns the account at this moment.
func (a *account) Stats() LimitStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.s
}

// atOnce counts an attempt that does not wait.
func (a *account) atOnce(passed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if passed {
		a.s.Passed++
	} else {
		a.s.GaveUp++
	}
}

// wait calls f, which waits until it is an attempt's turn, and counts how that went.
func (a *account) wait(f func() error) error {
	a.mu.Lock()
	a.s.Waiting++
	a.mu.Unlock()
	begin := time.Now()
	err := f()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.s.Waiting--
	if err != nil {
		a.s.GaveUp++
		return err
	}
	a.s.Passed++
	a.s.Waited++
	a.s.Wait += time.Since(begin)
	return nil
}
