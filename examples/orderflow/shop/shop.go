// Package shop wires the shop's modules to a bus. It is the one place that knows them all.
package shop

import (
	"cmp"
	"errors"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/analytics"
	"github.com/jitney-go/jitney/examples/orderflow/audit"
	"github.com/jitney-go/jitney/examples/orderflow/intake"
	"github.com/jitney-go/jitney/examples/orderflow/inventory"
	"github.com/jitney-go/jitney/examples/orderflow/loyalty"
	"github.com/jitney-go/jitney/examples/orderflow/notification"
	"github.com/jitney-go/jitney/examples/orderflow/orders"
	"github.com/jitney-go/jitney/examples/orderflow/payments"
	"github.com/jitney-go/jitney/examples/orderflow/shipping"
	"github.com/jitney-go/jitney/examples/orderflow/tally"
)

// Every article begins with so many in stock, and is to be ordered again below the level.
const (
	BeginStock = 400
	LowStock   = 100
)

// Config says what a shop is like.
type Config struct {
	Seed   uint64 // which payments fail, and how often
	Strict bool   // what a customer did after a payment that cannot be settled waits for it

	// What the shop remembers: in memory if they are nil.
	Sums    func(module string) tally.Sums
	Inbox   jitney.Inbox
	Letters jitney.DeadLetterStore

	// Outbox is where the modules publish, if what they publish gets to the shop's bus from there; nil: that bus itself.
	Outbox *jitney.Bus
}

// Shop is a bus, and the modules on it.
type Shop struct {
	Bus     *jitney.Bus
	Letters jitney.DeadLetterStore
	out     *jitney.Bus // what is published goes there

	Inventory    *inventory.Module
	Payments     *payments.Module
	Shipping     *shipping.Module
	Notification *notification.Module
	Loyalty      *loyalty.Module
	Analytics    *analytics.Module
	Audit        *audit.Module
}

// New opens a shop on a bus of its own, which opts add to. With an inbox of a journal, what each module does for an
// event is in the same transaction as the mark that it has been handled.
func New(c Config, opts ...jitney.Option) *Shop {
	if c.Sums == nil {
		c.Sums = func(string) tally.Sums { return new(tally.Memory) }
	}
	if c.Letters == nil {
		c.Letters = &jitney.MemoryDeadLetters{}
	}
	if c.Inbox != nil {
		opts = append(opts, jitney.WithIdempotency(c.Inbox))
	} else {
		c.Inbox = &jitney.MemoryInbox{Limit: 1_000_000} // for the orders alone: nothing else comes twice
	}
	s := &Shop{Letters: c.Letters}
	b := jitney.New(append([]jitney.Option{
		jitney.WithSource("orderflow"),
		jitney.WithDeadLetters(s.Letters),
		jitney.WithRetry(jitney.Retry{Attempts: 8, Base: 2 * time.Millisecond, Max: 50 * time.Millisecond}),
	}, opts...)...)
	s.Bus = b
	s.out = cmp.Or(c.Outbox, b)

	taken := orders.New(s)
	s.Inventory = inventory.New(s, c.Sums("inventory"), BeginStock, LowStock)
	s.Payments = payments.New(s, payments.NewFlakyGateway(c.Seed), c.Sums("payments"))
	s.Shipping = shipping.New(s, c.Sums("shipping"))
	s.Notification = notification.New(c.Sums("notification"))
	s.Loyalty = loyalty.New(c.Sums("loyalty"))
	s.Analytics = analytics.New(c.Sums("analytics"))
	s.Audit = audit.New(c.Sums("audit"))

	jitney.Subscribe(b, "orders", taken.Take,
		jitney.WithIdempotency(c.Inbox),
		jitney.WithIdempotencyKey(func(e jitney.Event) string { return e.(intake.Received).Invoice }))
	jitney.Subscribe(b, "inventory", s.Inventory.Move)
	jitney.Subscribe(b, "payments", s.Payments.Settle, careful(c.Strict)...)
	jitney.Subscribe(b, "shipping", s.Shipping.Ship, jitney.WithWorkers(4))
	jitney.Subscribe(b, "notification", s.Notification.Notify, jitney.WithWorkers(4))
	jitney.Subscribe(b, "loyalty", s.Loyalty.Reward)
	jitney.Subscribe(b, "analytics", s.Analytics.Count)
	jitney.Subscribe(b, "audit", s.Audit.Hear)
	return s
}

// careful is how payments are handled: while the gateway is down they wait; no country waits for another's
// flood; and, if that is wanted, what a customer did after a payment that cannot be settled waits for it.
func careful(strict bool) []jitney.SubscribeOption {
	opts := []jitney.SubscribeOption{
		jitney.WithWorkers(8),
		jitney.WithTimeout(5 * time.Second),
		jitney.WithBreaker(jitney.Breaker{
			Failures: 5, Pause: 2 * time.Millisecond, MaxPause: 20 * time.Millisecond,
			Counts: func(err error) bool { return errors.Is(err, payments.ErrUnavailable) },
		}),
		jitney.WithFairShare(jitney.FairShare{
			By: func(env *jitney.Envelope) string { return env.Event.(orders.Event).From() },
		}),
	}
	if strict {
		opts = append(opts, jitney.WithParking(10_000))
	}
	return opts
}
