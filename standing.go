package jitney

import (
	"context"

	"github.com/google/uuid"
)

// What a dead letter holds back is the journal's, and comes again after a restart. So before a durable subscription
// WithParking begins, it looks which of its letters are in the store, and parks what comes behind them as before.

// page is how many letters are read at a time.
const page = 500

// standAgain has each letter of s that is in the store hold back its key.
func (s *Subscription) standAgain(ctx context.Context) error {
	var after uuid.UUID
	for {
		list, err := s.letters.List(ctx, DeadLetterFilter{Subscriber: s.name, After: after, Limit: page})
		if err != nil {
			return err
		}
		for _, l := range list {
			after = l.ID
			s.standBehind(l)
		}
		if len(list) < page {
			return nil
		}
	}
}

// standBehind has l hold back its key, if no older letter does.
func (s *Subscription) standBehind(l DeadLetter) {
	key := parkKey{key: l.Envelope.Key}
	if s.fair != nil && key.key == "" {
		c, err := s.fair.claim(l.Envelope)
		if err != nil {
			c = &noClaim // as that of its delivery was
		}
		key = parkKey{share: c.share}
	}
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.parking.byKey[key] == nil {
		q.parking.add(&park{letter: l.ID, key: key, since: l.Time})
	}
}

// lies reports whether env has died before, and its letter holds back its key: it is not to wait behind itself.
func (s *Subscription) lies(env *Envelope) bool {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.parking.byLetter) > 0 && q.parking.byLetter[lasting(env.ID, s.name)] != nil
}
