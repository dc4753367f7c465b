package jitney

import (
	"fmt"
	"reflect"
)

// Listened reports whether anybody would hear an event of type T that is published now: a subscriber, also one with a
// filter; the journal of a bus that has one; or late subscribers, if the bus is made WithRetained of T. It is for
// events that cost much to build, and costs a look at a table itself. Publish hooks and spans are no listeners.
//
// T is an event's own type: for an interface, RawEvent, a question, and a type whose EventType is no valid name or is
// another Go type's, Listened panics, unless the bus has a journal.
func Listened[T Event](b *Bus) bool {
	if b.journal != nil {
		return true
	}
	typ := reflect.TypeFor[T]()
	found, ok := b.routes.byType.Load(typ)
	if !ok {
		found = b.routes.introduce(typ)
	}
	r := found.(*route)
	return r.retained != nil || len(*r.subs.Load()) > 0
}

// introduce finds the route of events of type typ, of which none has been seen, or panics.
func (rs *routes) introduce(typ reflect.Type) *route {
	if typ == rawType || typ.Kind() == reflect.Interface {
		panic(fmt.Sprintf("jitney: Listened at %s: %s is the type of no one event", caller(), typ))
	}
	name, err := nameOfType(typ)
	if err == nil {
		rs.mu.Lock()
		defer rs.mu.Unlock()
		var r *route
		if r, err = rs.bindLocked(name, typ); err == nil {
			return r
		}
	}
	panic(fmt.Sprintf("jitney: Listened at %s: %v", caller(), err))
}

// nameOfType returns what EventType says for a new event of a Go type.
func nameOfType(typ reflect.Type) (name string, err error) {
	zero := reflect.Zero(typ)
	if typ.Kind() == reflect.Pointer {
		zero = reflect.New(typ.Elem())
	}
	err = contain(func() error {
		name = zero.Interface().(Event).EventType()
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("EventType of a new %s: %w", typ, err)
	}
	return name, nil
}
