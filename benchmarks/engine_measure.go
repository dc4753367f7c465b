package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// publishing has so many publishers publish for a while, each waiting for its event's acknowledgement, and returns how
// many were acknowledged. Each publisher's events are numbered from 0 on.
func publishing(ctx context.Context, c Client, publishers int, about time.Duration) (acknowledged int64, err error) {
	var all sync.WaitGroup
	var total atomic.Int64
	errs := make([]error, publishers)
	begin := time.Now()
	for p := range publishers {
		all.Go(func() {
			for seq := int64(0); time.Since(begin) < about; seq++ {
				if errs[p] = c.Publish(ctx, NewCarried(p, seq)); errs[p] != nil {
					return
				}
				total.Add(1)
			}
		})
	}
	all.Wait()
	return total.Load(), errors.Join(errs...)
}

// PublishTo measures how many events a second so many publishers get acknowledged by c. All of them must be in p then.
func PublishTo(ctx context.Context, p Place, c Client, publishers int, about time.Duration) (perSecond float64, err error) {
	begin := time.Now()
	n, err := publishing(ctx, c, publishers, about)
	perSecond = rate(int(n), begin)
	if err = errors.Join(err, c.Close(ctx)); err != nil {
		return 0, err
	}
	return perSecond, has(ctx, p, n)
}

func has(ctx context.Context, p Place, n int64) error {
	end, err := End(ctx, p)
	if err == nil && end != n {
		err = fmt.Errorf("%d events acknowledged, %d stored", n, end)
	}
	return err
}

// EndToEnd measures how many events a second are published and handled: the clock stops when the last is.
func EndToEnd(ctx context.Context, p Place, c Client, publishers int, about time.Duration) (perSecond float64, err error) {
	w := NewWitness(-1)
	stop, err := c.Consume(ctx, w.Handle)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	n, err := publishing(ctx, c, publishers, about)
	err = errors.Join(err, w.Await(n))
	perSecond = rate(int(n), begin)
	if err = errors.Join(err, stop(), c.Close(ctx)); err != nil {
		return 0, err
	}
	return perSecond, has(ctx, p, n)
}

// CatchUpWith measures how many events a second a new consumer handles of the n that FillPlace has stored.
func CatchUpWith(ctx context.Context, c Client, n int64) (perSecond float64, err error) {
	w := NewWitness(n)
	begin := time.Now()
	stop, err := c.Consume(ctx, w.Handle)
	if err != nil {
		return 0, err
	}
	err = w.Await(n)
	perSecond = rate(int(n), begin)
	return perSecond, errors.Join(err, stop(), c.Close(ctx))
}

// What is measured of an engine.
const (
	OnePublisher   = "1 publisher"
	ManyPublishers = "64 publishers"
	ToTheEnd       = "end to end"
	CatchingUp     = "catch-up"
)

// EngineScenarios is all of that.
var EngineScenarios = []string{OnePublisher, ManyPublishers, ToTheEnd, CatchingUp}

// Side names what is measured: the client library alone, or a bus.
func Side(bare bool) string {
	if bare {
		return "bare"
	}
	return "Jitney"
}

// MeasureEngine makes one measurement in a new place: for about so long, or with size events. The place may keep files
// in dir.
func MeasureEngine(ctx context.Context, e Engine, dir, scenario string, bare bool, about time.Duration, size int64) (perSecond float64, err error) {
	p, err := e.Begin(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if scenario == CatchingUp {
		if err := FillPlace(ctx, p, size); err != nil {
			return 0, err
		}
	}
	publishers := witnessed
	if scenario == OnePublisher {
		publishers = 1
	}
	c, err := client(ctx, p, bare, publishers > 1)
	if err != nil {
		return 0, err
	}
	switch scenario {
	case OnePublisher, ManyPublishers:
		return PublishTo(ctx, p, c, publishers, about)
	case ToTheEnd:
		return EndToEnd(ctx, p, c, publishers, about)
	case CatchingUp:
		return CatchUpWith(ctx, c, size)
	}
	return 0, errors.Join(fmt.Errorf("no such measurement: %q", scenario), c.Close(ctx))
}

func client(ctx context.Context, p Place, bare, shared bool) (Client, error) {
	if bare {
		return p.Bare(ctx, shared)
	}
	return NewBus(ctx, p)
}
