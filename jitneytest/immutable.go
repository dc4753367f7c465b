package jitneytest

import (
	"context"
	"hash/maphash"
	"reflect"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// Immutable fails the test when an event is changed after it was published: it compares what each handler
// was given and what it left with what the first one was given, and names the subscriber and the type. It
// looks at unexported fields too, and behind pointers. A change before the first handler runs is not seen.
func Immutable(t testing.TB) jitney.Option {
	c := &changes{t: t, prints: make(map[uuid.UUID]uint64), seed: maphash.MakeSeed()}
	t.Cleanup(c.close)
	return jitney.WithMiddleware(c.middleware)
}

type changes struct {
	mu     sync.Mutex
	t      testing.TB // nil once its test has ended
	prints map[uuid.UUID]uint64
	seed   maphash.Seed
}

func (c *changes) middleware(next jitney.Handler) jitney.Handler {
	return func(ctx context.Context, e jitney.Event) error {
		all := jitney.Deliveries(ctx)
		c.compare(all, "was changed before it reached")
		defer c.compare(all, "was changed while it was handled by")
		return next(ctx, e)
	}
}

func (c *changes) compare(all []*jitney.Delivery, what string) {
	for _, d := range all {
		c.compareOne(d, what)
	}
}

func (c *changes) compareOne(d *jitney.Delivery, what string) {
	p := printer{seed: c.seed, seen: make(map[uintptr]bool)}
	now := p.of(reflect.ValueOf(d.Event))
	c.mu.Lock()
	defer c.mu.Unlock()
	before, known := c.prints[d.ID]
	c.prints[d.ID] = now // one change is reported once
	if known && now != before && c.t != nil {
		c.t.Errorf("%s %s %s: a published event is shared and must not change", d.Type, what, d.Subscriber)
	}
}

func (c *changes) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = nil
}

// printer makes the fingerprint of a value and all it leads to.
type printer struct {
	seed maphash.Seed
	seen map[uintptr]bool // pointers and maps on the way: a ring must end
}

func (p *printer) of(v reflect.Value) uint64 {
	switch v.Kind() {
	case reflect.Invalid:
		return 0
	case reflect.Pointer, reflect.Interface:
		return p.behind(v)
	case reflect.Struct:
		return p.list(v.NumField(), v.Field)
	case reflect.Array:
		return p.list(v.Len(), v.Index)
	case reflect.Slice:
		if v.IsNil() {
			return 1
		}
		return p.list(v.Len(), v.Index)
	case reflect.Map:
		return p.pairs(v)
	case reflect.String:
		return maphash.String(p.seed, v.String())
	}
	return p.scalar(v)
}

func (p *printer) behind(v reflect.Value) uint64 {
	if v.IsNil() {
		return 2
	}
	if v.Kind() == reflect.Pointer {
		if p.seen[v.Pointer()] {
			return 3
		}
		p.seen[v.Pointer()] = true
		defer delete(p.seen, v.Pointer())
		return p.mix(4, p.of(v.Elem()))
	}
	return p.mix(maphash.String(p.seed, v.Elem().Type().String()), p.of(v.Elem()))
}

func (p *printer) list(n int, at func(int) reflect.Value) uint64 {
	h := uint64(n)
	for i := range n {
		h = p.mix(h, p.of(at(i)))
	}
	return h
}

// pairs adds up, so that the order of a map does not count.
func (p *printer) pairs(v reflect.Value) uint64 {
	if v.IsNil() {
		return 5
	}
	if p.seen[v.Pointer()] {
		return 6
	}
	p.seen[v.Pointer()] = true
	defer delete(p.seen, v.Pointer())
	h := uint64(v.Len())
	for pairs := v.MapRange(); pairs.Next(); {
		h += p.mix(p.of(pairs.Key()), p.of(pairs.Value()))
	}
	return h
}

func (p *printer) scalar(v reflect.Value) uint64 {
	switch {
	case v.CanInt():
		return maphash.Comparable(p.seed, v.Int())
	case v.CanUint():
		return maphash.Comparable(p.seed, v.Uint())
	case v.CanFloat():
		return maphash.Comparable(p.seed, v.Float())
	case v.CanComplex():
		return maphash.Comparable(p.seed, v.Complex())
	case v.Kind() == reflect.Bool:
		return maphash.Comparable(p.seed, v.Bool())
	}
	return uint64(v.Pointer()) // a channel or a function
}

func (p *printer) mix(a, b uint64) uint64 { return maphash.Comparable(p.seed, [2]uint64{a, b}) }
