package natsjournal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jitney-go/jitney"
)

// What Append answers, beside the errors of [jitney.Journal].
var (
	// ErrNoBatches: the server cannot store several events together. 2.12 can. It is an errors.ErrUnsupported.
	ErrNoBatches = unsupported("server has no atomic batches")
	// ErrFull: a limit of the stream's, the account's or the disk's is reached.
	ErrFull = errors.New("journal is full")
)

// unsupported returns an error that is errors.ErrUnsupported, and does not say so twice.
func unsupported(text string) error { return unsupportedError(text) }

type unsupportedError string

func (e unsupportedError) Error() string      { return string(e) }
func (unsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }

// maxPending is how many messages may wait for their acknowledgement.
const maxPending = 16_384

// Append implements [jitney.Journal]. Many at once are on their way together. When the connection breaks, what is not
// acknowledged is sent again, under the same ID: for half the duplicate window at most, half a minute at most, and as
// long as ctx allows. Several envelopes need a server of version 2.12: ErrNoBatches.
func (j *Journal) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if err := j.append(ctx, envs); err != nil {
		return fmt.Errorf("natsjournal: append: %w", err)
	}
	return nil
}

func (j *Journal) append(ctx context.Context, envs []*jitney.Envelope) error {
	switch {
	case j.isClosed():
		return ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	msgs := make([]*nats.Msg, 0, len(envs))
	for _, env := range envs {
		msg, err := j.newMessage(env)
		if err != nil {
			return err
		}
		msgs = append(msgs, msg)
	}
	if len(msgs) > 1 {
		var err error
		if msgs, err = withoutTwins(msgs); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, min(patience, j.stream.CachedInfo().Config.Duplicates/2))
	defer cancel()
	switch len(msgs) {
	case 0:
		return nil
	case 1:
		return j.persist(ctx, func() error { return j.store(ctx, msgs[0]) })
	}
	if !j.batches {
		return fmt.Errorf("%w: %d events (%s)", ErrNoBatches, len(msgs), j.nc.ConnectedServerVersion())
	}
	return j.persist(ctx, func() error { return j.storeBatch(ctx, msgs) })
}

// withoutTwins returns msgs with each ID once.
func withoutTwins(msgs []*nats.Msg) ([]*nats.Msg, error) {
	seen := make(map[string]*nats.Msg, len(msgs))
	for _, msg := range msgs {
		id := msg.Header[jetstream.MsgIDHeader][0]
		if twin := seen[id]; twin != nil && !same(msg, twin.Header, twin.Data) {
			return nil, fmt.Errorf("%w: it is twice in one batch", jitney.ErrIDConflict)
		} else if twin == nil {
			seen[id] = msg
		}
	}
	return slices.DeleteFunc(msgs, func(msg *nats.Msg) bool { return seen[msg.Header[jetstream.MsgIDHeader][0]] != msg }), nil
}

// persist calls send until it is known what has become of its messages.
func (j *Journal) persist(ctx context.Context, send func() error) error {
	doubt := false
	for {
		if err := j.connected(ctx); err != nil {
			return inDoubt(doubt, err)
		}
		err := send()
		again, is := errors.AsType[*againError](err)
		if !is {
			return inDoubt(doubt, err)
		}
		doubt = doubt || again.doubt
		if ctx.Err() != nil {
			return inDoubt(doubt, context.Cause(ctx))
		}
		if j.nc.IsClosed() {
			return inDoubt(doubt, again.err)
		}
		_ = pause(ctx, 20*time.Millisecond)
	}
}

// againError says that the same is to be sent again, and whether it may have been stored.
type againError struct {
	err   error
	doubt bool
}

func (e *againError) Error() string { return e.err.Error() }
func (e *againError) Unwrap() error { return e.err }

func inDoubt(doubt bool, err error) error {
	if doubt && err != nil && !errors.Is(err, jitney.ErrIDConflict) {
		return fmt.Errorf("%w: %w", jitney.ErrIndeterminate, err)
	}
	return err
}

// store sends one message, and waits for its acknowledgement.
func (j *Journal) store(ctx context.Context, msg *nats.Msg) error {
	future, err := j.js.PublishMsgAsync(&nats.Msg{Subject: msg.Subject, Header: msg.Header, Data: msg.Data})
	if err != nil {
		return notSent(err)
	}
	ack, err := j.acknowledged(ctx, future)
	if err != nil {
		return err
	}
	if ack.Duplicate {
		return j.agrees(ctx, msg, ack.Sequence)
	}
	j.heard(int64(ack.Sequence))
	return nil
}

// notSent is the error for messages that the client has not taken.
func notSent(err error) error {
	switch {
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionReconnecting), errors.Is(err, jetstream.ErrTooManyStalledMsgs):
		return &againError{err: fmt.Errorf("%w: %w", ErrNotConnected, err)}
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining), errors.Is(err, nats.ErrMaxPayload):
		return err
	}
	return fmt.Errorf("%w: %w", jitney.ErrIndeterminate, err)
}

func (j *Journal) acknowledged(ctx context.Context, future jetstream.PubAckFuture) (*jetstream.PubAck, error) {
	select {
	case ack := <-future.Ok():
		return ack, nil
	case err := <-future.Err():
		return nil, refused(err)
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", jitney.ErrIndeterminate, context.Cause(ctx))
	}
}

// refused says what the error means that a message was answered with.
func refused(err error) error {
	api, is := errors.AsType[*jetstream.APIError](err)
	if !is {
		if errors.Is(err, jetstream.ErrNoStreamResponse) { // nobody has got it: the server is about to start, perhaps
			return &againError{err: err}
		}
		if errors.Is(err, jetstream.ErrJetStreamPublisherClosed) {
			return fmt.Errorf("%w: %w", jitney.ErrIndeterminate, ErrClosed)
		}
		return &againError{err, true}
	}
	switch api.ErrorCode {
	case 10158, 10210: // the same ID is on its way; too many batches are
		return &againError{err: err}
	case 10047, 10002, 10023, 10028: // of the server, of the account
		return fmt.Errorf("%w: %w", ErrFull, api)
	case 10077:
		if strings.Contains(api.Description, "exceed") || strings.Contains(api.Description, "too large") {
			return fmt.Errorf("%w: %w", ErrFull, api)
		}
		return fmt.Errorf("%w: %w", jitney.ErrIndeterminate, api) // it was being written
	}
	return api
}

// agrees reports whether what is stored at a position is the message; that it is removed already is no conflict.
func (j *Journal) agrees(ctx context.Context, msg *nats.Msg, position uint64) error {
	stored, err := j.stream.GetMsg(ctx, position)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil
	case err != nil:
		return &againError{err, true}
	case !same(msg, stored.Header, stored.Data):
		return fmt.Errorf("%w: %s", jitney.ErrIDConflict, msg.Header[jetstream.MsgIDHeader][0])
	}
	j.heard(int64(position))
	return nil
}

// same reports whether two messages say the same event.
func same(msg *nats.Msg, header nats.Header, data []byte) bool {
	a, err := readMessage(msg.Header, msg.Data)
	b, failed := readMessage(header, data)
	return err == nil && failed == nil && maps.Equal(a.Attributes, b.Attributes) && string(a.Data) == string(b.Data)
}
