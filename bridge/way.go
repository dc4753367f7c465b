package bridge

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// Way carries events across a bridge, in one direction. It is a subscription, of the bus or of the engine, and can be
// paused and looked at as one. Its methods may be called by several goroutines at once.
type Way struct {
	*jitney.Subscription
	bus   *jitney.Bus
	close func(context.Context) error

	route   route
	carry   func(context.Context, *jitney.Envelope) error
	signals *signals
	log     *slog.Logger

	crossed, loops atomic.Uint64
}

// Stats is the account of a way.
type Stats struct {
	Crossed uint64 // events that the other side has taken, repeats included
	Loops   uint64 // kept back, because they had been at the other side before
	Refused uint64 // dead letters: what the other side will never take
	Failed  uint64 // attempts that the other side has not taken, and that were followed by another
	Waiting int    // on their way; what a journal has besides is not counted
}

// Stats returns w's account at this moment.
func (w *Way) Stats() Stats {
	s := w.Subscription.Stats()
	return Stats{
		Crossed: w.crossed.Load(), Loops: w.loops.Load(), Refused: s.Dead, Failed: s.Retried,
		Waiting: s.Queued + s.Running + s.Waiting + s.Parked,
	}
}

// Bus returns the bus that w's subscription is on: of a way out the one it leads out from; of a way in one of its own,
// fed by the engine. It is for Flush, Redeliver and Discard; nothing else is to be published there.
func (w *Way) Bus() *jitney.Bus { return w.bus }

// Close ends w as [jitney.Subscription.Close] does: what has been begun is ended, as long as ctx lasts. What a journal
// has besides comes when the way is opened again.
func (w *Way) Close(ctx context.Context) error { return w.close(ctx) }

// newWay returns a way to which only its subscription is missing.
func newWay(ends Ends, r route, s *signals, carry func(context.Context, *jitney.Envelope) error) *Way {
	r.most = ends.MaxPlaces
	return &Way{route: r, carry: carry, signals: s, log: ends.Logger}
}

// patient is how a way tries again unless it is told otherwise: for as long as it takes.
var patient = jitney.Retry{Attempts: math.MaxInt, Base: 100 * time.Millisecond, Max: 30 * time.Second, Jitter: jitney.EqualJitter}

// patiently puts the default in front of opts.
func patiently(opts []jitney.SubscribeOption) []jitney.SubscribeOption {
	return append([]jitney.SubscribeOption{jitney.WithRetry(patient)}, opts...)
}

// handle brings an event to the other side.
func (w *Way) handle(ctx context.Context, e jitney.Event) error {
	d := jitney.FromContext(ctx)
	env, err := w.route.stamp(d.Envelope, e)
	switch {
	case errors.Is(err, errLoop):
		w.keepBack(ctx, d)
		return jitney.Skip(err)
	case err != nil:
		return jitney.Permanent(err)
	}
	if err := w.signals.watch(ctx, d, func(ctx context.Context) error { return w.carry(ctx, env) }); err != nil {
		return w.failed(ctx, d, err)
	}
	w.crossed.Add(1)
	return nil
}

// keepBack counts an event that was at the other side before, and logs the 1st, 2nd, 4th, 8th …
func (w *Way) keepBack(ctx context.Context, d *jitney.Delivery) {
	if n := w.loops.Add(1); powerOfTwo(n) {
		w.log.LogAttrs(ctx, slog.LevelInfo, "bridge: event kept back, it has been there before", slog.String("subscriber", d.Subscriber),
			slog.String("from", w.route.from), slog.String("to", w.route.to), slog.Any("event", d.Envelope), slog.Uint64("kept_back_in_all", n))
	}
}

// failed says what is to become of an event that the other side has not taken, and logs the 1st, 2nd, 4th, 8th … failure.
func (w *Way) failed(ctx context.Context, d *jitney.Delivery, err error) error {
	if final(err) {
		return jitney.Permanent(err)
	}
	if powerOfTwo(uint64(d.Attempt)) {
		w.log.LogAttrs(ctx, slog.LevelWarn, "bridge: event not taken", slog.String("subscriber", d.Subscriber),
			slog.String("from", w.route.from), slog.String("to", w.route.to), slog.Any("event", d.Envelope),
			slog.Int("attempt", d.Attempt), slog.String("error", err.Error()))
	}
	return err
}

func powerOfTwo(n uint64) bool { return n > 0 && n&(n-1) == 0 }

// finals are the errors that another attempt does not cure.
var finals = []error{
	jitney.ErrIDConflict, jitney.ErrNilEvent, jitney.ErrInvalidName, jitney.ErrTypeConflict, jitney.ErrKeyTooLarge,
	jitney.ErrHopLimit, jitney.ErrInvalidEnvelope,
	wire.ErrEncode, wire.ErrPayloadTooLarge, wire.ErrHeadersTooLarge, wire.ErrInvalidHeader,
}

func final(err error) bool {
	return !errors.Is(err, jitney.ErrIndeterminate) &&
		slices.ContainsFunc(finals, func(f error) bool { return errors.Is(err, f) })
}

// Types lets only events of these names cross: where a way is for several types that share no interface, but are to
// keep one order.
func Types(names ...string) jitney.SubscribeOption {
	return jitney.WithMiddleware(func(next jitney.Handler) jitney.Handler {
		return func(ctx context.Context, e jitney.Event) error {
			if slices.Contains(names, jitney.FromContext(ctx).Type) {
				return next(ctx, e)
			}
			return jitney.Skip(errOther)
		}
	})
}

var errOther = errors.New("not among the types that cross")
