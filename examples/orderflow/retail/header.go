package retail

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The columns, in the order in which a line is checked.
const (
	invoiceNo = iota
	stockCode
	description
	quantity
	invoiceDate
	unitPrice
	customerID
	country
	columns
)

var columnNames = [columns]string{
	"InvoiceNo", "StockCode", "Description", "Quantity",
	"InvoiceDate", "UnitPrice", "CustomerID", "Country",
}

// header knows where the columns are. Columns of other names are allowed.
type header struct {
	names []string
	at    [columns]int
}

const byteOrderMark = "\ufeff"

func parseHeader(line []byte) (*header, error) {
	line = bytes.TrimPrefix(line, []byte(byteOrderMark))
	fields, err := split(nil, line, math.MaxInt)
	if err != nil {
		return nil, fmt.Errorf("the header has a %w: %s", err, excerpt(fields[len(fields)-1]))
	}
	h := &header{names: make([]string, len(fields))}
	for i, field := range fields {
		h.names[i] = string(bytes.TrimSpace(field))
	}
	return h, h.locate(line)
}

func (h *header) locate(line []byte) error {
	var missing []string
	for column, name := range columnNames {
		h.at[column] = slices.Index(h.names, name)
		if h.at[column] < 0 {
			missing = append(missing, name)
		} else if slices.Contains(h.names[h.at[column]+1:], name) {
			return fmt.Errorf("the header names the column %s twice: %s", name, excerpt(line))
		}
	}
	if missing != nil {
		return fmt.Errorf("the header lacks %s: it is %s", strings.Join(missing, ", "), excerpt(line))
	}
	return nil
}

// name returns the name of the i-th field, shortened to what a problem may show.
func (h *header) name(i int) string {
	name := h.names[i]
	if slices.Contains(columnNames[:], name) {
		return name
	}
	return excerpt([]byte(name))
}
