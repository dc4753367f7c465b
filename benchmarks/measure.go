package benchmarks

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Scenario is a shape of traffic.
type Scenario struct {
	Name        string
	Topics      int
	Subscribers int // of each topic
	Publishers  int // publisher p publishes to topics p, p+Publishers, …, in turn
}

// Scenarios of which the time per event published is measured.
var Scenarios = []Scenario{
	{"1→1", 1, 1, 1},
	{"1→10", 1, 10, 1},
	{"8→1", 1, 1, 8},
	{"8 topics", 8, 1, 8},
	{"1,000 types", 1000, 1, 1},
	{"nobody", 1, 0, 1},
}

// Result is one measurement.
type Result struct {
	Nanoseconds float64 // per event published
	Allocs      float64 // per event published
	Bytes       float64
	Events      int64
	Lost        int64 // deliveries that had not come 3 s after the last one that did
	Reordered   int64 // deliveries that came behind a later event of the same publisher

	Publish, EndToEnd *Quantiles // of latency, ns; of runs at a fixed rate
}

// Quantiles of a distribution.
type Quantiles struct{ P50, P99, P999 float64 }

func quantiles(ns []int64) *Quantiles {
	slices.Sort(ns)
	at := func(q float64) float64 { return float64(ns[min(len(ns)-1, int(q*float64(len(ns))))]) }
	return &Quantiles{at(0.5), at(0.99), at(0.999)}
}

const queueSize = 1024

// run is a system under one scenario.
type run struct {
	bus     *Bus
	tallies []Tally
	done    sync.WaitGroup
	s       Scenario
}

func newRun(sys System, s Scenario, buffer int) (*run, error) {
	r := &run{s: s, tallies: make([]Tally, s.Topics*s.Subscribers)}
	bus, err := sys.Open(Setup{
		Topics: s.Topics, Subscribers: s.Subscribers, Publishers: s.Publishers, Buffer: buffer,
		Tally: func(topic, subscriber int) *Tally { return &r.tallies[topic*s.Subscribers+subscriber] },
	})
	r.bus = bus
	return r, err
}

// expect prepares for n events: each topic gets as many as the next one, or one more.
func (r *run) expect(n int64) {
	for i := range r.tallies {
		t := &r.tallies[i]
		t.Handled, t.Reordered, t.last, t.done = 0, 0, [16]int64{}, &r.done
		t.want = r.share(n, i/r.s.Subscribers)
		if t.want > 0 {
			r.done.Add(1)
		}
	}
}

// share is how many of n events topic gets.
func (r *run) share(n int64, topic int) (events int64) {
	for p := range r.s.Publishers {
		of, each := int64(p), int64(r.s.Publishers)
		mine := (n - of + each - 1) / each // events of publisher p
		topics := int64(r.s.Topics)
		if r.s.Topics >= r.s.Publishers {
			if int64(topic)%each != of {
				continue
			}
			topics /= each
			events += (mine - int64(topic)/each + topics - 1) / topics
		} else {
			events += mine
		}
	}
	return events
}

// publish publishes n events from all publishers.
func (r *run) publish(n int64) {
	var wg sync.WaitGroup
	for p := range r.s.Publishers {
		of, each := int64(p), int64(r.s.Publishers)
		mine := (n - of + each - 1) / each
		wg.Go(func() {
			topic := p % r.s.Topics
			for seq := range mine {
				if err := r.bus.Publish(p, topic, NewOrder(p, seq)); err != nil {
					panic(err)
				}
				if topic += r.s.Publishers; topic >= r.s.Topics {
					topic = p % r.s.Topics
				}
			}
		})
	}
	wg.Wait()
}

// patience is how long nothing has to come before what is missing is lost.
var patience = 3 * time.Second

// wait waits until every subscriber has handled all, or nothing has come for as long as patience.
func (r *run) wait() (lost int64) {
	all := make(chan struct{})
	go func() { r.done.Wait(); close(all) }()
	before := int64(-1)
	for {
		select {
		case <-all:
			return 0
		case <-time.After(patience):
		}
		missing := int64(0)
		for i := range r.tallies {
			missing += max(0, r.tallies[i].want-atomic.LoadInt64(&r.tallies[i].Handled)) // of a system that has come to rest
		}
		if missing == before {
			return missing
		}
		before = missing
	}
}

func (r *run) measure(n int64) (res Result, took time.Duration) {
	r.expect(n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	r.publish(n)
	res.Lost = r.wait()
	took = time.Since(begin)
	runtime.ReadMemStats(&after)
	res.Events = n
	res.Nanoseconds = float64(took) / float64(n)
	res.Allocs = float64(after.Mallocs-before.Mallocs) / float64(n)
	res.Bytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
	for i := range r.tallies {
		res.Reordered += r.tallies[i].Reordered
	}
	return res, took
}

// Throughput measures the time per event for about as long as said.
func Throughput(sys System, s Scenario, about time.Duration) (Result, error) {
	r, err := newRun(sys, s, queueSize)
	if err != nil {
		return Result{}, err
	}
	defer r.bus.Close()
	n := int64(8000)
	for {
		res, took := r.measure(n)
		if took >= about*9/10 || res.Lost > 0 {
			return res, nil
		}
		n = int64(float64(n) * min(8, max(1.2, float64(about)/float64(took))))
	}
}

// Latency publishes at a steady rate, from a goroutine that does not sleep in between, and measures the time
// of each call of Publish, and from its begin until the event is in the handler.
func Latency(sys System, rate int, about time.Duration) (Result, error) {
	r, err := newRun(sys, Scenario{Topics: 1, Subscribers: 1, Publishers: 1}, queueSize)
	if err != nil {
		return Result{}, err
	}
	defer r.bus.Close()
	n := int64(about.Seconds() * float64(rate))
	r.expect(n)
	begun, taken, endToEnd := make([]int64, n), make([]int64, n), make([]int64, n)
	epoch := time.Now()
	r.tallies[0].Latency = func(seq int64) {
		endToEnd[seq] = int64(time.Since(epoch)) - begun[seq]
	}
	for seq := range n {
		due := time.Duration(seq) * time.Second / time.Duration(rate)
		for time.Since(epoch) < due {
		}
		begun[seq] = int64(time.Since(epoch))
		if err := r.bus.Publish(0, 0, NewOrder(0, seq)); err != nil {
			return Result{}, err
		}
		taken[seq] = int64(time.Since(epoch)) - begun[seq]
	}
	res := Result{Events: n, Lost: r.wait(), Publish: quantiles(taken)}
	if res.Lost == 0 {
		res.EndToEnd = quantiles(endToEnd)
	}
	return res, nil
}

// Queued measures the memory that an event takes while it waits, its payload included; then all are handled.
func Queued(sys System, n int64) (Result, error) {
	var before, full runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := newRun(sys, Scenario{Topics: 1, Subscribers: 1, Publishers: 1}, int(n)+1)
	if err != nil {
		return Result{}, err
	}
	defer r.bus.Close()
	hold := make(chan struct{})
	r.tallies[0].hold = hold
	r.expect(n)
	published := make(chan struct{})
	go func() { r.publish(n); close(published) }()
	select {
	case <-published:
	case <-time.After(30 * time.Second):
		close(hold)
		<-published
		r.wait()
		return Result{}, fmt.Errorf("%s cannot queue %d events", sys.Name, n)
	}
	runtime.GC()
	runtime.ReadMemStats(&full)
	close(hold)
	return Result{Events: n, Lost: r.wait(), Bytes: float64(full.HeapAlloc-before.HeapAlloc) / float64(n)}, nil
}
