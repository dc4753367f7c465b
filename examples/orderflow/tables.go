package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jitney-go/jitney/examples/orderflow/money"
	"github.com/jitney-go/jitney/examples/orderflow/shop"
)

// topRows is how many rows a list shows before it sums up the rest.
const topRows = 10

// write prints what a shop owner wants to know, then what an operator does.
func (r report) write(out io.Writer) {
	r.writeShop(out)
	r.writeOperations(out)
	r.writeLetters(out)
}

func (r report) writeShop(out io.Writer) {
	fmt.Fprintf(out, "THE SHOP\n")
	t := table(out)
	fmt.Fprintf(t, "  orders\t%d\t%s\n", r.Orders, r.Gross.Pounds())
	fmt.Fprintf(t, "  cancellations\t%d\t%s\n", r.Cancellations, (-r.Refunds).Pounds())
	fmt.Fprintf(t, "  net\t\t%s\n", (r.Gross - r.Refunds).Pounds())
	t.Flush()
	fmt.Fprintf(out, "  %d lines, %d parcels, %d mails, %d customers with points\n", r.Lines, r.parcels, r.mails, r.members)
	if r.Malformed > 0 {
		fmt.Fprintf(out, "  %d malformed lines were left out\n", r.Malformed)
	}
	r.writeCountries(out)
	r.writeReorder(out)
}

func (r report) writeCountries(out io.Writer) {
	names := slices.SortedFunc(maps.Keys(r.Countries), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Countries[b], r.Countries[a]), cmp.Compare(a, b))
	})
	fmt.Fprintf(out, "\n  Net revenue by country\n")
	t := table(out)
	var rest money.Amount
	for i, name := range names {
		if i < topRows {
			fmt.Fprintf(t, "    %s\t%s\n", clean(name), r.Countries[name].Pounds())
		} else {
			rest += r.Countries[name]
		}
	}
	if len(names) > topRows {
		fmt.Fprintf(t, "    %d more\t%s\n", len(names)-topRows, rest.Pounds())
	}
	t.Flush()
}

func (r report) writeReorder(out io.Writer) {
	fmt.Fprintf(out, "\n  Stock to reorder (fewer than %d left of %d)\n", shop.LowStock, shop.BeginStock)
	t := table(out)
	for i, low := range r.reorder {
		if i == topRows {
			fmt.Fprintf(t, "    %d more\t\n", len(r.reorder)-topRows)
			break
		}
		fmt.Fprintf(t, "    %s\t%d\n", clean(low.Article), low.Left)
	}
	t.Flush()
}

func (r report) writeOperations(out io.Writer) {
	fmt.Fprintf(out, "\nTHE BUS: %d events, %d deliveries in %.2f s\n", r.Events, r.Deliveries, r.Seconds)
	t := table(out)
	fmt.Fprintf(t, "  subscriber\taccepted\thandled\tskipped\tdead\tdropped\tleft\tretried\tunaccounted\tin handler\t\n")
	for _, s := range r.subscribers {
		fmt.Fprintf(t, "  %s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%v\t\n", s.name, s.Accepted, s.Handled, s.Skipped,
			s.Dead, s.Dropped, s.Queued+s.Running+s.Waiting, s.Retried, s.Unaccounted(), s.busy.Round(10*time.Microsecond))
	}
	t.Flush()
	fmt.Fprintf(out, "  %d duplicates came in and were skipped\n", r.DuplicatesSkipped)
	if r.BreakerOpened > 0 {
		fmt.Fprintf(out, "  the payment gateway was down: the breaker opened %d times, and %d failed attempts were spared\n",
			r.BreakerOpened, r.Spared)
	}
}

func (r report) writeLetters(out io.Writer) {
	fmt.Fprintf(out, "\nDEAD LETTERS: %d\n", len(r.letters))
	for i, l := range r.letters {
		if i == topRows {
			fmt.Fprintf(out, "  %d more\n", len(r.letters)-topRows)
			break
		}
		fmt.Fprintf(out, "  %s to %s: %s (%s, attempt %d)\n", l.Envelope, l.Subscriber, l.LastError(), l.Reason, l.Attempts)
	}
	for _, g := range r.redrive.Groups {
		fmt.Fprintf(out, "  %d × %s, %s\n", g.Count, g.Subscriber, g.Fingerprint)
	}
	if r.Parked > 0 {
		fmt.Fprintf(out, "  %d later events of the same customers were parked behind them\n", r.Parked)
	}
	if len(r.letters) > 0 {
		fmt.Fprintf(out, "  repaired the payments rule: a negative order is a write-off\n  redrive: %s\n", r.redrive)
	}
	verdict := "the books balance"
	if !r.balanced() {
		verdict = "THE BOOKS DO NOT BALANCE"
	}
	fmt.Fprintf(out, "  charged %s − written off %s − refunded %s = net %s: %s\n",
		r.books.Charged.Pounds(), r.books.WrittenOff.Pounds(), r.books.Refunded.Pounds(), (r.Gross - r.Refunds).Pounds(), verdict)
}

// table aligns columns to the right, the first one by its padding.
func table(out io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
}

// clean makes a name from a file safe to print on a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
