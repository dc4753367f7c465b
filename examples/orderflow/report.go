package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/deadletter"
	"github.com/jitney-go/jitney/examples/orderflow/inventory"
	"github.com/jitney-go/jitney/examples/orderflow/money"
	"github.com/jitney-go/jitney/examples/orderflow/payments"
	"github.com/jitney-go/jitney/examples/orderflow/shop"
)

// report is what a run has come to. Its JSON is for programs; write is for people.
type report struct {
	Orders        int                     `json:"orders"`
	Cancellations int                     `json:"cancellations"`
	Lines         int                     `json:"lines"`
	Malformed     int                     `json:"malformed_lines"`
	Gross         money.Amount            `json:"gross"`
	Refunds       money.Amount            `json:"refunds"`
	Countries     map[string]money.Amount `json:"countries"`

	DuplicatesSkipped uint64  `json:"duplicates_skipped"`
	Retried           uint64  `json:"retried"`
	Spared            uint64  `json:"spared"`
	BreakerOpened     uint64  `json:"breaker_opened"`
	Parked            int     `json:"parked"`
	DeadLettered      uint64  `json:"dead_lettered"`
	Redelivered       int     `json:"redelivered"`
	Unaccounted       int64   `json:"unaccounted"`
	Seconds           float64 `json:"seconds"`
	Events            int64   `json:"events"`
	Deliveries        uint64  `json:"deliveries"`

	books       payments.Books
	reorder     []inventory.Low
	letters     []jitney.DeadLetter
	redrive     deadletter.Report
	subscribers []account
	parcels     int64
	mails       int64
	members     int
}

// account is one subscriber's.
type account struct {
	name string
	busy time.Duration
	jitney.Stats
}

func (f *flow) report(ctx context.Context, in input) (r report, err error) {
	s := f.Bus.Stats()
	r = report{
		Malformed:         in.malformed,
		DuplicatesSkipped: s.Duplicates, Retried: s.Retried, DeadLettered: s.Dead,
		Spared: s.Spared, BreakerOpened: s.Opened, Parked: f.parked,
		Redelivered: f.redrive.Succeeded, Unaccounted: s.Unaccounted(), redrive: f.redrive,
		Seconds: f.took.Seconds(), Deliveries: s.Accepted, letters: f.dead,
	}
	for _, sub := range f.Bus.Subscriptions() {
		r.subscribers = append(r.subscribers, account{sub.Name(), f.busy.of(sub.Name()), sub.Stats()})
	}
	return r, r.ask(ctx, f.Shop)
}

// ask asks the modules for what they know.
func (r *report) ask(ctx context.Context, s *shop.Shop) error {
	fig, err := s.Analytics.Figures(ctx)
	r.Orders, r.Cancellations, r.Lines = fig.Orders, fig.Cancellations, fig.Lines
	r.Gross, r.Refunds, r.Countries = fig.Gross, fig.Refunds, fig.Countries
	errs := make([]error, 6)
	r.books, errs[0] = s.Payments.Books(ctx)
	r.reorder, errs[1] = s.Inventory.ToReorder(ctx)
	r.parcels, errs[2] = s.Shipping.Parcels(ctx)
	r.mails, errs[3] = s.Notification.Mails(ctx)
	r.members, errs[4] = s.Loyalty.Members(ctx)
	r.Events, errs[5] = s.Audit.Events(ctx)
	return errors.Join(append(errs, err)...)
}

// balanced reports whether the money that was moved is the money that was ordered.
func (r report) balanced() bool {
	return r.books.Charged-r.books.WrittenOff-r.books.Refunded == r.Gross-r.Refunds
}

func (r report) writeJSON(out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
