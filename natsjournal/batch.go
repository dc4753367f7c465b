package natsjournal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Several events are stored together as one of JetStream's atomic batches (ADR-50): messages with the batch's ID and
// their number in it, which the server keeps apart until the last one says that it is; that one is acknowledged. A batch
// with an ID that the server has seen is refused whole, and does not say which one it was. So each is asked for then,
// those that are stored are left out, and the rest is a batch of its own.

const (
	batchID       = "Nats-Batch-Id"
	batchSequence = "Nats-Batch-Sequence"
	batchCommit   = "Nats-Batch-Commit"

	// rollup asks for what a journal's stream does not do, with a value that nothing has.
	rollup = "Nats-Rollup"
)

// maxBatches is how many batches may be on their way; a server refuses more than 50.
const maxBatches = 16

// duplicate is what the server answers to a batch with an ID that it has seen.
const duplicate = 10201

// storeBatch stores what of msgs is not stored yet, together.
func (j *Journal) storeBatch(ctx context.Context, msgs []*nats.Msg) error {
	select {
	case j.batch <- struct{}{}:
		defer func() { <-j.batch }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	err := j.sendBatch(ctx, msgs)
	if !answered(err, duplicate) {
		return err
	}
	rest, err := j.notStored(ctx, msgs)
	if err != nil {
		return err
	}
	switch len(rest) {
	case 0:
		return nil
	case 1:
		return j.store(ctx, rest[0])
	}
	err = j.sendBatch(ctx, rest)
	if answered(err, duplicate) { // of what somebody else has stored meanwhile, or has not stored after all
		return &againError{err: err}
	}
	return err
}

func answered(err error, code jetstream.ErrorCode) bool {
	api, is := errors.AsType[*jetstream.APIError](err)
	return is && api.ErrorCode == code
}

// sendBatch sends msgs as a batch, and waits for its acknowledgement.
func (j *Journal) sendBatch(ctx context.Context, msgs []*nats.Msg) error {
	id := uuid.NewString()
	last := len(msgs) - 1
	for i, msg := range msgs[:last] {
		if err := j.nc.PublishMsg(member(msg, id, i+1)); err != nil {
			return notCommitted(err)
		}
	}
	commit := member(msgs[last], id, last+1)
	commit.Header[batchCommit] = []string{"1"}
	future, err := j.js.PublishMsgAsync(commit)
	if err != nil {
		return notSent(err)
	}
	ack, err := j.acknowledged(ctx, future)
	switch {
	case answered(err, 10176): // it has not got all: the connection was made anew in between
		return &againError{err: err}
	case err != nil:
		return err
	}
	j.heard(int64(ack.Sequence))
	return nil
}

// member is msg as the n-th of a batch.
func member(msg *nats.Msg, batch string, n int) *nats.Msg {
	m := &nats.Msg{Subject: msg.Subject, Header: maps.Clone(msg.Header), Data: msg.Data}
	m.Header[batchID] = []string{batch}
	m.Header[batchSequence] = []string{strconv.Itoa(n)}
	return m
}

// notCommitted is the error for a batch whose end has not been sent: the server forgets it.
func notCommitted(err error) error {
	if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining) {
		return err
	}
	return &againError{err: fmt.Errorf("%w: %w", ErrNotConnected, err)}
}

// notStored returns which of msgs are not stored. A server that is asked for an impossible rollup refuses it, but only if
// the message's ID is new, for that is looked at first.
func (j *Journal) notStored(ctx context.Context, msgs []*nats.Msg) (rest []*nats.Msg, err error) {
	futures := make([]jetstream.PubAckFuture, len(msgs))
	for i, msg := range msgs {
		probe := &nats.Msg{Subject: msg.Subject, Header: nats.Header{
			jetstream.MsgIDHeader: msg.Header[jetstream.MsgIDHeader],
			rollup:                {"none"},
		}}
		if futures[i], err = j.js.PublishMsgAsync(probe); err != nil {
			return nil, notCommitted(err)
		}
	}
	for i, msg := range msgs {
		ack, err := j.acknowledged(ctx, futures[i])
		switch {
		case answered(err, 10111):
			rest = append(rest, msg)
		case err != nil:
			return nil, err
		default:
			if err := j.agrees(ctx, msg, ack.Sequence); err != nil {
				return nil, err
			}
		}
	}
	return rest, nil
}
