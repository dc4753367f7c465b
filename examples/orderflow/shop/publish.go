package shop

import (
	"context"
	"errors"
	"time"

	"github.com/jitney-go/jitney"
)

// How often, and how soon, an envelope is stored again of which it is not known whether it is stored.
const (
	doubtTries = 10
	doubtPause = 5 * time.Millisecond
)

// Publish publishes events, or leaves them in the outbox, as a bus does, but does not leave it in doubt whether they are stored: the same envelopes
// go to the journal until it says so. To publish the events once more, as who handles the same delivery again does, would
// make other envelopes of them, and the shop would ship an order twice.
func (s *Shop) Publish(ctx context.Context, events ...jitney.Event) error {
	err := s.out.Publish(ctx, events...)
	var failed *jitney.AppendError
	if !errors.Is(err, jitney.ErrIndeterminate) || !errors.As(err, &failed) {
		return err
	}
	for _, env := range failed.Envelopes {
		if err := s.store(ctx, env); err != nil {
			return err
		}
	}
	return nil
}

// store forwards env until it is stored. Also an answer that says it is not leaves the first one in doubt.
func (s *Shop) store(ctx context.Context, env *jitney.Envelope) (err error) {
	for n := range doubtTries {
		if err = s.out.Forward(ctx, env); err == nil {
			return nil
		}
		select {
		case <-time.After(doubtPause << n):
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
	return err
}
