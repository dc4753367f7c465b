package retail

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jitney-go/jitney/examples/orderflow/money"
)

// record is one line of the file, checked. Its bytes share the line's memory.
type record struct {
	number, stock, description, customer, country []byte

	quantity int
	date     time.Time
	price    money.Amount
}

// parser turns physical lines into records.
type parser struct {
	header *header
	fields [][]byte // of the line last parsed
}

func (p *parser) parse(line []byte) (record, *flaw) {
	if f := p.split(line); f != nil {
		return record{}, f
	}
	r := record{
		number:      p.field(invoiceNo),
		stock:       p.field(stockCode),
		description: p.field(description),
		customer:    customer(p.field(customerID)),
		country:     p.field(country),
	}
	if f := p.parseValues(&r); f != nil {
		return record{}, f
	}
	return r, nil
}

func (p *parser) split(line []byte) *flaw {
	var err error
	want := len(p.header.names)
	p.fields, err = split(p.fields[:0], line, want)
	last := len(p.fields) - 1
	switch {
	case errors.Is(err, errFields):
		return &flaw{"", line, fmt.Sprintf("more than the %d fields of the header", want)}
	case err != nil:
		return &flaw{p.header.name(last), p.fields[last], err.Error()}
	case len(p.fields) < want:
		return &flaw{"", line, fmt.Sprintf("%d of the %d fields of the header", len(p.fields), want)}
	}
	return p.checkUTF8()
}

func (p *parser) checkUTF8() *flaw {
	for i, field := range p.fields {
		if !utf8.Valid(field) {
			return &flaw{p.header.name(i), field, "not UTF-8"}
		}
	}
	return nil
}

func (p *parser) field(column int) []byte {
	return bytes.TrimSpace(p.fields[p.header.at[column]])
}

func (p *parser) parseValues(r *record) *flaw {
	var err error
	if len(r.number) == 0 {
		return p.flaw(invoiceNo, "empty")
	}
	if len(r.stock) == 0 {
		return p.flaw(stockCode, "empty")
	}
	if r.quantity, err = parseQuantity(string(p.field(quantity))); err != nil {
		return p.flaw(quantity, err.Error())
	}
	if r.date, err = parseDate(string(p.field(invoiceDate))); err != nil {
		return p.flaw(invoiceDate, err.Error())
	}
	if r.price, err = money.Parse(string(p.field(unitPrice))); err != nil {
		return p.flaw(unitPrice, errors.Unwrap(err).Error())
	}
	return nil
}

func (p *parser) flaw(column int, text string) *flaw {
	return &flaw{columnNames[column], p.fields[p.header.at[column]], text}
}

var (
	errQuantity = errors.New("not a whole number")
	errTooMany  = errors.New("beyond the range of a quantity")
	errDate     = errors.New("not a date")
)

// parseQuantity bounds a quantity to 32 bits, so that no number of lines that
// fits in memory can overflow a count of stock.
func parseQuantity(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	switch {
	case err == nil:
		return int(n), nil
	case errors.Is(err, strconv.ErrRange):
		return 0, errTooMany
	}
	return 0, errQuantity
}

// parseDate reads 2010-12-01 08:26:00 and the original's 12/1/2010 8:26.
func parseDate(s string) (time.Time, error) {
	layout := time.DateTime
	if strings.Contains(s, "/") {
		layout = "1/2/2006 15:04"
	}
	date, err := time.Parse(layout, s)
	if err != nil {
		return time.Time{}, errDate
	}
	return date, nil
}

// customer drops the ".0" that customer numbers get when a file passes
// through a tool that takes them for floats.
func customer(id []byte) []byte {
	number, ok := bytes.CutSuffix(id, []byte(".0"))
	if ok && len(number) > 0 && len(bytes.Trim(number, "0123456789")) == 0 {
		return number
	}
	return id
}
