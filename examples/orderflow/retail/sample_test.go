package retail_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/examples/orderflow/money"
	"github.com/jitney-go/jitney/examples/orderflow/retail"
)

var update = flag.Bool("update", false, "write testdata/sample.golden anew")

// figures is what a file amounts to.
type figures struct {
	invoices, cancellations, lines, problems int
	negative, withoutCustomer                int // of the orders
	gross, refunds                           money.Amount
}

func figuresOf(t *testing.T, invoices []retail.Invoice, problems []retail.Problem) figures {
	t.Helper()
	f := figures{invoices: len(invoices), problems: len(problems)}
	for _, v := range invoices {
		f.lines += len(v.Lines)
		if v.Cancelled() {
			f.cancellations++
			f.refunds = sum(t, f.refunds, -v.Total)
			continue
		}
		f.gross = sum(t, f.gross, v.Total)
		if v.Total < 0 {
			f.negative++
		}
		if v.Customer == "" {
			f.withoutCustomer++
		}
	}
	return f
}

func sum(t *testing.T, a, b money.Amount) money.Amount {
	t.Helper()
	s, err := a.Add(b)
	require.NoError(t, err)
	return s
}

func readSample(t *testing.T) ([]retail.Invoice, []retail.Problem) {
	t.Helper()
	var problems []retail.Problem
	invoices, err := retail.Read(retail.Sample(), retail.SampleName, func(p retail.Problem) {
		problems = append(problems, p)
	})
	require.NoError(t, err)
	return invoices, problems
}

func TestSampleFigures(t *testing.T) {
	invoices, problems := readSample(t)
	assert.Equal(t, figures{
		invoices:        36,
		cancellations:   4,
		lines:           111,
		problems:        3,
		negative:        1,
		withoutCustomer: 7,
		gross:           13169_800,
		refunds:         282_400,
	}, figuresOf(t, invoices, problems))
}

func TestSampleGolden(t *testing.T) {
	const golden = "testdata/sample.golden"
	got := listing(readSample(t))
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func listing(invoices []retail.Invoice, problems []retail.Problem) string {
	var text strings.Builder
	for _, v := range invoices {
		fmt.Fprintf(&text, "%s %s customer %q %s %s\n", v.Number, v.Date.Format("2006-01-02 15:04"), v.Customer, v.Country, v.Total)
		for _, l := range v.Lines {
			fmt.Fprintf(&text, "\t%s %d × %s %s\n", l.StockCode, l.Quantity, l.UnitPrice, l.Description)
		}
	}
	for _, p := range problems {
		fmt.Fprintln(&text, p)
	}
	return text.String()
}
