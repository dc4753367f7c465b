package jitney

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
)

// retention keeps the last events of some types for subscribers that come late.
//
// Its lock orders publications of those types and subscriptions that want what is kept: an event is kept, and its
// subscribers are found, in one step; what is kept goes into a new subscription's queue, and that joins the
// subscribers, in another. So each event reaches such a subscriber as one that was kept, or as one that was published,
// or as one that another of its key has replaced; and what was kept comes first.
type retention struct {
	mu        sync.Mutex
	kept      []*retained
	published uint64 // events that have been kept so far
	forgotten uint64
}

// retained is the last event of each key of one type. Guarded by the retention's lock.
type retained struct {
	route *route
	limit int
	byKey map[string]*list.Element
	order list.List // of *keptEvent, in the order of publication

	forgets bool // it has forgotten a key
}

type keptEvent struct {
	env    *Envelope
	number uint64
}

// retainedType is what WithRetained asks for.
type retainedType struct {
	typ  reflect.Type
	keys int
}

// retain prepares b to keep what c asks for, or panics.
func (b *Bus) retain(c *busConfig) {
	for _, t := range c.retained {
		if err := b.retention.prepare(b, t); err != nil {
			panic(fmt.Sprintf("jitney: New at %s: WithRetained of %s: %v", caller(), t.typ, err))
		}
	}
}

func (rt *retention) prepare(b *Bus, t retainedType) error {
	switch {
	case b.journal != nil:
		return errors.New("WithJournal keeps all events; a subscription gets them WithStart(FromBeginning())")
	case t.typ.Kind() == reflect.Interface || t.typ == rawType:
		return errors.New("it is the type of no one event")
	}
	name, err := nameOfType(t.typ)
	if err != nil {
		return err
	}
	b.routes.mu.Lock()
	defer b.routes.mu.Unlock()
	r, err := b.routes.bindLocked(name, t.typ)
	switch {
	case err != nil:
		return err
	case r.retained != nil:
		return errors.New("it is named twice")
	}
	r.retained = &retained{route: r, limit: t.keys, byKey: make(map[string]*list.Element)}
	rt.kept = append(rt.kept, r.retained)
	return nil
}

// keep keeps env as the last of its key, and returns those who hear it now.
func (rt *retention) keep(b *Bus, r *route, env *Envelope) []*Subscription {
	subs, old := rt.replace(r, env)
	if old != nil {
		b.log(b.patient, slog.LevelWarn, "jitney: more keys than are retained, the one published longest ago is forgotten",
			slog.Any("event", old), slog.Int("keys", r.retained.limit))
	}
	return subs
}

// replace returns the first event of its type that has been forgotten, if it has been so now.
func (rt *retention) replace(r *route, env *Envelope) (subs []*Subscription, first *Envelope) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.published++
	k, kept := r.retained, &keptEvent{env, rt.published}
	if at, ok := k.byKey[env.Key]; ok {
		at.Value = kept
		k.order.MoveToBack(at)
	} else {
		k.byKey[env.Key] = k.order.PushBack(kept)
	}
	if k.order.Len() > k.limit {
		old := k.order.Remove(k.order.Front()).(*keptEvent).env
		delete(k.byKey, old.Key)
		rt.forgotten++
		if !k.forgets {
			k.forgets, first = true, old
		}
	}
	return *r.subs.Load(), first
}

// of returns what is kept for s, in the order of publication. Called with mu held.
func (rt *retention) of(s *Subscription) (envs []*Envelope) {
	var all []*keptEvent
	for _, k := range rt.kept {
		if s.wants(k.route.typ) {
			for at := k.order.Front(); at != nil; at = at.Next() {
				all = append(all, at.Value.(*keptEvent))
			}
		}
	}
	slices.SortFunc(all, func(x, y *keptEvent) int { return cmp.Compare(x.number, y.number) })
	for _, kept := range all {
		envs = append(envs, kept.env)
	}
	return envs
}

// keeps reports whether there may be something for s.
func (rt *retention) keeps(s *Subscription) bool {
	return slices.ContainsFunc(rt.kept, func(k *retained) bool { return s.wants(k.route.typ) })
}

// counts returns how many events are kept, and how many keys have been forgotten.
func (rt *retention) counts() (kept int, forgotten uint64) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	for _, k := range rt.kept {
		kept += k.order.Len()
	}
	return kept, rt.forgotten
}
