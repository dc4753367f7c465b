// Package retail reads the invoices of a shop from a CSV file with the
// columns of UCI's Online Retail data:
//
//	InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
//
// Real files have trouble in them, so [Read] promises:
//
//   - every line that is not blank is a line of an invoice or a [Problem];
//   - a malformed line spoils nothing but itself, whatever its quotes say: a
//     record is one physical line;
//   - an invoice is whole even when its lines lie far apart;
//   - a compressed file cut short yields what came before the cut.
//
// All invoices are held in memory.
//
//	invoices, err := retail.ReadFile("online-retail.csv.gz", func(p retail.Problem) {
//		fmt.Fprintln(os.Stderr, p)
//	})
package retail

import (
	"strings"
	"time"

	"github.com/jitney-go/jitney/examples/orderflow/money"
)

// Line is one item of an invoice.
type Line struct {
	StockCode   string
	Description string       // without blanks around it; may be empty
	Quantity    int          // fits 32 bits; negative for goods that came back or were written off
	UnitPrice   money.Amount // zero for gifts and write-offs; negative for some adjustments
}

// Amount returns the price of the whole line, or [money.ErrRange]. It cannot
// fail for a line that [Read] returned.
func (l Line) Amount() (money.Amount, error) {
	return l.UnitPrice.Mul(l.Quantity)
}

// Invoice is an order or the cancellation of one. Lines are added with
// [Invoice.Add], which keeps Total their sum.
type Invoice struct {
	Number   string
	Date     time.Time // UTC, for want of a zone in the data
	Customer string    // empty when unknown
	Country  string
	Lines    []Line
	Total    money.Amount // negative for cancellations and some adjustments
}

// Cancelled reports whether the invoice takes an order back: whether its
// number starts with C.
func (v *Invoice) Cancelled() bool {
	return strings.HasPrefix(v.Number, "C")
}

// Add appends l and adds its amount to Total. If that leaves the range of an
// amount, it returns [money.ErrRange] and changes nothing.
func (v *Invoice) Add(l Line) error {
	amount, err := l.Amount()
	if err != nil {
		return err
	}
	total, err := v.Total.Add(amount)
	if err != nil {
		return err
	}
	v.Lines, v.Total = append(v.Lines, l), total
	return nil
}
