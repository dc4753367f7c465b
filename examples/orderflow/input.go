package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/jitney-go/jitney/examples/orderflow/intake"
	"github.com/jitney-go/jitney/examples/orderflow/retail"
	"github.com/jitney-go/jitney/examples/orderflow/shop"
)

// input is what comes in from outside.
type input struct {
	invoices  []intake.Received
	malformed int // lines left out, and a file that ends too early
}

// read reads all invoices. Lines that make no sense are reported and left out.
func read(c config, stdin io.Reader, stderr io.Writer) (in input, err error) {
	report := func(p retail.Problem) {
		fmt.Fprintln(stderr, p)
		in.malformed++
	}
	var invoices []retail.Invoice
	switch c.orders {
	case "":
		invoices, err = retail.Read(retail.Sample(), retail.SampleName, report)
	case "-":
		invoices, err = retail.Read(stdin, "standard input", report)
	default:
		invoices, err = retail.ReadFile(c.orders, report)
	}
	for _, v := range invoices {
		in.invoices = append(in.invoices, shop.Received(v))
	}
	return in, err
}

// await returns what f does, or errStopped if ctx ends first: a terminal or a pipe may keep a reader
// waiting for ever, and nothing can end that but the end of the process.
func await(ctx context.Context, f func() (input, error)) (in input, err error) {
	done := make(chan struct{})
	var read input
	var failed error
	go func() {
		defer close(done)
		read, failed = f()
	}()
	select {
	case <-done:
		return read, failed
	case <-ctx.Done():
		return input{}, errStopped
	}
}

// twice picks the invoices that come in a second time, as from a source that delivers at least once: the
// given share of them, rounded to a whole number.
func twice(n int, share float64, seed uint64) map[int]bool {
	picked := make(map[int]bool)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, i := range r.Perm(n)[:int(float64(n)*share+0.5)] {
		picked[i] = true
	}
	return picked
}
