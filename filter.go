package jitney

import (
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
)

// filter says which events a subscription hears.
type filter struct {
	of     reflect.Type
	wanted func(Event) bool
}

// filters are a subscription's, and what they have done.
type filters struct {
	list   []filter
	out    atomic.Uint64
	failed atomic.Uint64
}

// fits says what is wrong with a filter for events of type want.
func (f filter) fits(want reflect.Type) error {
	if f.of == want || f.of.Kind() == reflect.Interface && want.Implements(f.of) {
		return nil
	}
	return fmt.Errorf("WithFilter of %s cannot judge %s", f.of, want)
}

// hears reports whether all filters want env's event.
func (s *Subscription) hears(env *Envelope) bool {
	for _, f := range s.filters.list {
		wanted := true
		if err := contain(func() error { wanted = f.wanted(env.Event); return nil }); err != nil {
			s.filterFailed(env, err)
		}
		if !wanted {
			s.filters.out.Add(1)
			s.bus.recorders.filtered(s, env)
			return false
		}
	}
	return true
}

func (s *Subscription) filterFailed(env *Envelope, err error) {
	n := s.filters.failed.Add(1)
	if !powerOfTwo(n) {
		return
	}
	s.bus.log(s.life, slog.LevelError, "jitney: filter failed, its event is delivered",
		slog.String("subscriber", s.name), slog.Any("event", env), slog.Uint64("failed_in_all", n),
		slog.String("error", errorText(err)), slog.String("stack", stackOf(err)), slog.String("subscribed_at", s.at))
}
