package jitney

import (
	"errors"
	"fmt"
	"time"
)

// checkSticky says what is wrong with WithSticky, if s has it.
func (s *Subscription) checkSticky(c *subscribeConfig) error {
	var wrong string
	switch {
	case !c.sticky:
		return nil
	case c.sync:
		wrong = "WithSticky and WithSync: there is no queue for what has been kept"
	case s.bus.journal != nil:
		wrong = "WithSticky and WithJournal: a durable subscription gets the past WithStart(FromBeginning())"
	case !s.bus.retention.keeps(s):
		wrong = fmt.Sprintf("WithSticky without WithRetained: the bus keeps no %s", s.want)
	}
	s.sticky = wrong == ""
	if s.sticky || c.stickyByDefault {
		return nil
	}
	return errors.New(wrong)
}

// welcome adds s to the subscribers, with what is kept for it in its queue. Filters and shares are asked without the
// lock, and what is published meanwhile is asked about in the next round: that ends unless events of those types come
// faster than a filter can look at them.
func (rt *retention) welcome(s *Subscription) error {
	asked := make(map[*Envelope]*parcel) // nil: filtered out
	for {
		missing, err := rt.join(s, asked)
		if len(missing) == 0 {
			return err
		}
		for _, env := range missing {
			asked[env] = s.stick(env)
		}
	}
}

// join adds s to the subscribers, or returns what is kept for it and has to be asked about before.
func (rt *retention) join(s *Subscription, asked map[*Envelope]*parcel) (missing []*Envelope, err error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	var first []parcel
	for _, env := range rt.of(s) {
		p, ok := asked[env]
		if !ok && !s.picky && s.fair == nil {
			p, ok = s.stick(env), true
		}
		switch {
		case !ok:
			missing = append(missing, env)
		case p != nil:
			first = append(first, *p)
		}
	}
	if len(missing) > 0 {
		return missing, nil
	}
	return nil, s.bus.routes.add(s, func() { s.queue.preload(first) })
}

// stick makes a delivery of an event that is kept, or returns nil.
func (s *Subscription) stick(env *Envelope) *parcel {
	if s.picky && !s.hears(env) {
		return nil
	}
	p := parcel{env: env, rare: &rare{at: time.Now()}}
	if s.fair != nil {
		c, err := s.fair.claim(env)
		if err != nil { // nobody is there to be told, and it is not to be lost
			c = &noClaim
		}
		p = p.claiming(c)
	}
	return &p
}

// preload puts deliveries into a queue that nobody else knows yet, whatever its bound.
func (q *queue) preload(ps []parcel) {
	if len(ps) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range ps {
		q.admit(p)
	}
	q.staff()
	q.staff = nil
	q.reckon()
}
