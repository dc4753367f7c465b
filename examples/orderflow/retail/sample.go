package retail

import (
	_ "embed"
	"io"
	"strings"
)

// SampleName stands for the sample in problems and errors.
const SampleName = "sample.csv"

//go:embed sample.csv
var sample string

// Sample returns a small made-up file in which every kind of trouble occurs:
// cancellations, unknown customers, lines without a price, negative
// quantities, an order with a negative total, an invoice in several pieces,
// and lines that are malformed.
func Sample() io.Reader {
	return strings.NewReader(sample)
}
