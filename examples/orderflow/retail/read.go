package retail

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/jitney-go/jitney/examples/orderflow/money"
)

// ReadFile is [Read] on the named file, or on standard input if path is "-".
func ReadFile(path string, report func(Problem)) ([]Invoice, error) {
	if path == "-" {
		return Read(os.Stdin, "standard input", report)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, path, report)
}

// Read returns the invoices of a CSV file, plain or gzipped, in the order in
// which their first lines appear. Date, customer and country are those of the
// first line. The columns are found by their names in the first line that is
// not blank; they may come in any order and with others among them.
//
// A line that cannot be used is passed to report, which may be nil, and
// reading goes on; so is, once, damage to the compressed stream, and what came
// before is kept. name stands for the file in problems and errors. Read
// returns an error, and no invoices, if there is no header, if the header
// lacks a column or has it twice, or if r fails in any other way than by
// ending in the middle.
func Read(r io.Reader, name string, report func(Problem)) ([]Invoice, error) {
	if report == nil {
		report = func(Problem) {}
	}
	lines, err := newLineReader(r)
	if err != nil {
		return nil, fmt.Errorf("%s: read the header: %w", name, err)
	}
	header, err := readHeader(lines)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d := &reader{file: name, report: report, lines: lines, parser: parser{header: header}, ledger: newLedger()}
	if err := d.readAll(); err != nil {
		return nil, fmt.Errorf("%s: read after line %d: %w", name, lines.number, err)
	}
	return d.ledger.invoices, nil
}

func readHeader(lines *lineReader) (*header, error) {
	line, err := nextFilled(lines)
	switch {
	case err == io.EOF:
		return nil, errors.New("the file is empty, without even a header")
	case err != nil:
		return nil, fmt.Errorf("read the header: %w", err)
	}
	return parseHeader(line)
}

// nextFilled returns the next line that is not blank.
func nextFilled(lines *lineReader) ([]byte, error) {
	for {
		line, err := lines.next()
		if err != nil || len(line) > 0 {
			return line, err
		}
	}
}

type reader struct {
	file   string
	report func(Problem)
	lines  *lineReader
	parser parser
	ledger *ledger
}

func (d *reader) readAll() error {
	for {
		line, err := nextFilled(d.lines)
		switch {
		case err == nil:
			d.read(line)
		case err == errLong:
			d.spoil(&flaw{"", line, err.Error()})
		case err == io.EOF:
			return nil
		case damage(err):
			d.report(Problem{File: d.file, Line: d.lines.number, Text: err.Error(), Damaged: true})
			return nil
		default:
			return err
		}
	}
}

func (d *reader) read(line []byte) {
	r, f := d.parser.parse(line)
	if f != nil {
		d.spoil(f)
		return
	}
	if d.ledger.book(r) != nil {
		d.spoil(d.parser.flaw(unitPrice, "the invoice's total is "+money.ErrRange.Error()))
	}
}

func (d *reader) spoil(f *flaw) {
	d.report(Problem{
		File:   d.file,
		Line:   d.lines.number,
		Column: f.column,
		Value:  excerpt(f.value),
		Text:   f.text,
	})
}
