package jitney

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
)

// routes knows which Go type each event name belongs to, and which subscriptions want which type.
// Publish reads it without a lock; Subscribe and Close change it under one.
type routes struct {
	byType    sync.Map // reflect.Type → *route; a raw event's name → *route
	answerers sync.Map // reflect.Type of a question → *Subscription

	mu     sync.Mutex
	names  map[string]reflect.Type
	subs   []*Subscription // open or closing, in the order of Subscribe
	byName map[string]*Subscription
	closed bool
}

func (rs *routes) init() {
	rs.names = make(map[string]reflect.Type)
	rs.byName = make(map[string]*Subscription)
}

// route is where events of one Go type go.
type route struct {
	name      string
	typ       reflect.Type
	pointer   bool
	keyed     bool                            // has EventKey
	versioned bool                            // has EventVersion
	retained  *retained                       // nil unless the bus keeps what goes here
	subs      atomic.Pointer[[]*Subscription] // in the order of Subscribe
	unheard   atomic.Uint64

	published     atomic.Uint64 // counted if somebody measures
	publish, deal string        // names of spans
}

// of finds the route of e's type; the type's first use binds its name.
func (rs *routes) of(e Event) (*route, error) {
	if e == nil {
		return nil, ErrNilEvent
	}
	typ := reflect.TypeOf(e)
	found, ok := rs.byType.Load(typ)
	if !ok {
		return rs.bind(e, typ)
	}
	r := found.(*route)
	if r.pointer && reflect.ValueOf(e).IsNil() {
		return nil, fmt.Errorf("%w: a nil %s", ErrNilEvent, typ)
	}
	if name := e.EventType(); name != r.name {
		return nil, fmt.Errorf("%w: %s was named %q and now %q; EventType must not depend on the value",
			ErrTypeConflict, typ, r.name, clip(name, maxName))
	}
	return r, nil
}

func (rs *routes) bind(e Event, typ reflect.Type) (*route, error) {
	if v := reflect.ValueOf(e); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, fmt.Errorf("%w: a nil %s", ErrNilEvent, typ)
	}
	name := e.EventType() // the user's code: not under the lock
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if typ == rawType {
		return rs.raw(name)
	}
	return rs.bindLocked(name, typ)
}

var rawType = reflect.TypeFor[RawEvent]()

// raw finds the route of raw events of that name: many names share their Go type. A name that belongs to
// another Go type is refused, for its subscribers would not hear the event.
func (rs *routes) raw(name string) (*route, error) {
	if other, taken := rs.names[name]; taken {
		return nil, fmt.Errorf("%w: %q belongs to %s, not %s", ErrTypeConflict, name, other, rawType)
	}
	if r, ok := rs.byType.Load(name); ok {
		return r.(*route), nil
	}
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("%w (Type of a RawEvent)", err)
	}
	return rs.newRoute(name, rawType, name), nil
}

func (rs *routes) bindLocked(name string, typ reflect.Type) (*route, error) {
	if r, ok := rs.byType.Load(typ); ok {
		return r.(*route), nil
	}
	if typ.Implements(questionType) {
		return nil, fmt.Errorf("%w: %s is for Ask and Answer", ErrQuestion, typ)
	}
	if err := rs.bindName(name, typ); err != nil {
		return nil, err
	}
	return rs.newRoute(name, typ, typ), nil
}

// bindName has name belong to typ from now on. Called with mu held.
func (rs *routes) bindName(name string, typ reflect.Type) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("%w (EventType of %s)", err, typ)
	}
	if other, taken := rs.names[name]; taken && other != typ {
		return fmt.Errorf("%w: %q belongs to %s, not %s", ErrTypeConflict, name, other, typ)
	}
	rs.names[name] = typ
	return nil
}

// newRoute makes a route, and has it found under key. Called with mu held.
func (rs *routes) newRoute(name string, typ reflect.Type, key any) *route {
	r := &route{name: name, typ: typ, pointer: typ.Kind() == reflect.Pointer}
	r.keyed, r.versioned = typ.Implements(reflect.TypeFor[keyed]()), typ.Implements(reflect.TypeFor[versioned]())
	r.publish, r.deal = "publish "+name, "handle "+name
	rs.fill(r)
	rs.byType.Store(key, r)
	return r
}

// fill gives a new route its subscriptions. Called with mu held.
func (rs *routes) fill(r *route) {
	subs := make([]*Subscription, 0, 4)
	for _, s := range rs.subs {
		if s.wants(r.typ) && !s.left {
			subs = append(subs, s)
		}
	}
	r.subs.Store(&subs)
}

// add makes s known. before, unless it is nil, is called when nothing can go wrong any more, and nobody sees s yet.
func (rs *routes) add(s *Subscription, before func()) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		return ErrClosed
	}
	if other, taken := rs.byName[s.name]; taken {
		return fmt.Errorf("%w: a subscriber %q exists already, made at %s", ErrInvalidName, s.name, other.at)
	}
	if err := rs.lead(s); err != nil {
		return err
	}
	if before != nil {
		before()
	}
	rs.subs = append(rs.subs, s)
	rs.byName[s.name] = s
	rs.update(s, func(subs []*Subscription) []*Subscription { return append(subs, s) })
	return nil
}

// lead has what s wants found by those who publish or ask. Called with mu held.
func (rs *routes) lead(s *Subscription) (err error) {
	switch {
	case s.answers:
		if other, taken := rs.answerers.Load(s.want); taken {
			o := other.(*Subscription)
			return fmt.Errorf("%w: %s is answered by %q already, made at %s", ErrTypeConflict, s.want, o.name, o.at)
		}
		if err = rs.bindName(s.typ, s.want); err == nil {
			rs.answerers.Store(s.want, s)
		}
	case s.want.Kind() != reflect.Interface:
		_, err = rs.bindLocked(s.typ, s.want)
	}
	return err
}

// leave takes s out of the routes; it is still known until forget.
func (rs *routes) leave(s *Subscription) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	s.left = true
	rs.answerers.CompareAndDelete(s.want, s)
	rs.update(s, func(subs []*Subscription) []*Subscription { return without(subs, s) })
}

// forget frees s's name.
func (rs *routes) forget(s *Subscription) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.subs = without(rs.subs, s)
	delete(rs.byName, s.name)
}

// update replaces the list of each route that s wants. Called with mu held.
func (rs *routes) update(s *Subscription, change func([]*Subscription) []*Subscription) {
	rs.byType.Range(func(_, v any) bool {
		if r := v.(*route); s.wants(r.typ) {
			subs := change(slices.Clone(*r.subs.Load()))
			r.subs.Store(&subs)
		}
		return true
	})
}

func without(subs []*Subscription, s *Subscription) []*Subscription {
	return slices.DeleteFunc(subs, func(other *Subscription) bool { return other == s })
}

// all returns the subscriptions, also those that are closing, in the order of Subscribe.
func (rs *routes) all() []*Subscription {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.Clone(rs.subs)
}

// shut lets nobody subscribe any more, and returns the subscriptions there are.
func (rs *routes) shut() []*Subscription {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = true
	return slices.Clone(rs.subs)
}

// named returns the subscription of that name, or nil if there is none or it is closing.
func (rs *routes) named(name string) *Subscription {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if s := rs.byName[name]; s != nil && !s.left {
		return s
	}
	return nil
}

// each calls f for every route.
func (rs *routes) each(f func(*route)) {
	rs.byType.Range(func(_, v any) bool {
		f(v.(*route))
		return true
	})
}

// unheard tells how many events of each type nobody has subscribed to.
func (rs *routes) unheard() map[string]uint64 {
	counts := make(map[string]uint64)
	rs.each(func(r *route) {
		if n := r.unheard.Load(); n > 0 {
			counts[r.name] = n
		}
	})
	return counts
}
