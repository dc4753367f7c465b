package retail

// ledger gathers records into invoices.
type ledger struct {
	invoices []Invoice
	at       map[string]int // by invoice number
	texts    map[string]string
}

func newLedger() *ledger {
	return &ledger{at: make(map[string]int), texts: make(map[string]string)}
}

// book adds a record to its invoice, or returns money.ErrRange and leaves all
// as it was.
func (g *ledger) book(r record) error {
	line := Line{
		StockCode:   g.text(r.stock),
		Description: g.text(r.description),
		Quantity:    r.quantity,
		UnitPrice:   r.price,
	}
	if i, ok := g.at[string(r.number)]; ok {
		return g.invoices[i].Add(line)
	}
	return g.open(r, line)
}

func (g *ledger) open(r record, first Line) error {
	v := Invoice{
		Number:   string(r.number),
		Date:     r.date,
		Customer: g.text(r.customer),
		Country:  g.text(r.country),
	}
	if err := v.Add(first); err != nil {
		return err
	}
	g.at[v.Number] = len(g.invoices)
	g.invoices = append(g.invoices, v)
	return nil
}

// text returns b as a string that is kept once however often it occurs, and
// that keeps nothing of the line it comes from.
func (g *ledger) text(b []byte) string {
	if s, ok := g.texts[string(b)]; ok {
		return s
	}
	s := string(b)
	g.texts[s] = s
	return s
}
