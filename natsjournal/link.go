package natsjournal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrNotConnected says that there is no connection to the server, or that it broke before the server's answer.
var ErrNotConnected = errors.New("not connected")

// patience is how long the journal waits for an answer of the server's where the caller has set no limit.
const patience = 30 * time.Second

// watch has requests end whose answer cannot come any more, because their connection has broken, until the journal is
// closed.
func (j *Journal) watch() {
	defer close(j.unwatched)
	changes := j.nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	defer j.nc.RemoveStatusListener(changes)
	for {
		select {
		case <-changes:
			j.mu.Lock()
			j.unlink()
			j.link, j.unlink = context.WithCancel(context.Background())
			j.mu.Unlock()
		case <-j.stop:
			return
		}
	}
}

// patiently returns a context for a request: it ends when its connection does, and after a while.
func (j *Journal) patiently(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	j.mu.Lock()
	link := j.link
	j.mu.Unlock()
	ctx, done := context.WithTimeout(ctx, most)
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(link, func() { cancel(ErrNotConnected) })
	return ctx, func() {
		stop()
		cancel(nil)
		done()
	}
}

// because is err, or what has ended ctx.
func because(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionReconnecting):
		return fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	return err
}

// connected waits until there is a connection.
func (j *Journal) connected(ctx context.Context) error {
	for !j.nc.IsConnected() {
		if j.nc.IsClosed() {
			return fmt.Errorf("%w: the connection is closed", ErrNotConnected)
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("%w: %w", ErrNotConnected, context.Cause(ctx))
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
