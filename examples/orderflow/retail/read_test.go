package retail_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/examples/orderflow/money"
	"github.com/jitney-go/jitney/examples/orderflow/retail"
)

const head = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"

// A good line of the invoice 7.
const line7 = "7,TEA,Teapot,2,2024-11-25 08:42:00,2.55,20417.0,France\n"

// read reads text as the file "f.csv" and requires that there is no error.
func read(t *testing.T, text string) ([]retail.Invoice, []retail.Problem) {
	t.Helper()
	var problems []retail.Problem
	invoices, err := retail.Read(strings.NewReader(text), "f.csv", func(p retail.Problem) {
		problems = append(problems, p)
	})
	require.NoError(t, err)
	return invoices, problems
}

func invoice7() []retail.Invoice {
	return []retail.Invoice{{
		Number:   "7",
		Date:     time.Date(2024, 11, 25, 8, 42, 0, 0, time.UTC),
		Customer: "20417",
		Country:  "France",
		Lines:    []retail.Line{{StockCode: "TEA", Description: "Teapot", Quantity: 2, UnitPrice: 2550}},
		Total:    5100,
	}}
}

func TestReadAcceptsAnyShapeOfTheSameFile(t *testing.T) {
	const late = "Country,CustomerID,Note,UnitPrice,InvoiceDate,Quantity,Description,StockCode,InvoiceNo\n" +
		"France,20417,\"a, b\",2.550,11/25/2024 8:42,2,Teapot,TEA,7\n"
	for name, text := range map[string]string{
		"plain":                head + line7,
		"byte order mark":      "\ufeff" + head + line7,
		"no last line end":     head + strings.TrimSuffix(line7, "\n"),
		"CRLF":                 strings.ReplaceAll(head+line7, "\n", "\r\n"),
		"CRLF, no last LF":     strings.TrimSuffix(strings.ReplaceAll(head+line7, "\n", "\r\n"), "\n"),
		"blank lines":          "\n\r\n" + head + "\n" + line7 + "\r\n\n",
		"other column order":   late,
		"blanks around":        strings.ReplaceAll(head+line7, ",", " ,\t"),
		"everything in quotes": `"` + strings.NewReplacer(",", `","`, "\n", "\"\n\"").Replace(head+strings.TrimSuffix(line7, "\n")) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			invoices, problems := read(t, text)
			assert.Empty(t, problems)
			assert.Equal(t, invoice7(), invoices)
		})
	}
}

func TestReadGathersInvoicesWhoseLinesLieApart(t *testing.T) {
	const line8 = "8,MUG,Mug,1,2024-11-25 09:00:00,1,,Spain\n"
	const again = "7,POST,Postage,-1,2024-11-26 10:00:00,0.1,99999.0,Norway\n"
	invoices, problems := read(t, head+line7+line8+again)
	assert.Empty(t, problems)
	require.Len(t, invoices, 2)

	want := invoice7()[0]
	want.Lines = append(want.Lines, retail.Line{StockCode: "POST", Description: "Postage", Quantity: -1, UnitPrice: 100})
	want.Total = 5000
	assert.Equal(t, want, invoices[0], "date, customer and country are those of the first line")
	assert.Equal(t, "8", invoices[1].Number)
	assert.Empty(t, invoices[1].Customer)
}

func TestCancelled(t *testing.T) {
	for number, want := range map[string]bool{"C7": true, "7": false, "A7": false, "7C": false} {
		v := retail.Invoice{Number: number}
		assert.Equal(t, want, v.Cancelled(), number)
	}
}

func TestAddChangesNothingWhenTheTotalLeavesTheRange(t *testing.T) {
	var v retail.Invoice
	require.NoError(t, v.Add(retail.Line{Quantity: 1, UnitPrice: 1<<63 - 1}))
	before := v
	assert.ErrorIs(t, v.Add(retail.Line{Quantity: 1, UnitPrice: 1}), money.ErrRange)
	assert.ErrorIs(t, v.Add(retail.Line{Quantity: 2, UnitPrice: 1 << 62}), money.ErrRange)
	assert.Equal(t, before, v)
}

func TestReadMakesNoSenseWithoutAHeader(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"empty":       {"", "empty"},
		"blank":       {"\n\r\n", "empty"},
		"no header":   {line7, "lacks InvoiceNo, StockCode, Description"},
		"one missing": {strings.Replace(head, "UnitPrice,", "", 1) + line7, "lacks UnitPrice:"},
		"semicolons":  {strings.ReplaceAll(head, ",", ";"), `it is "InvoiceNo;StockCode;`},
		"twice":       {"Quantity," + head, "Quantity twice"},
		"open quote":  {`InvoiceNo,"StockCode,` + "\n" + line7, "quote"},
		"binary":      {"\x00\x01\x02", "lacks"},
		"too long":    {strings.Repeat("x", 2<<20) + "\n" + head, "1 MiB"},
		"magic only":  {"\x1f\x8b", "read the header"},
	} {
		t.Run(name, func(t *testing.T) {
			invoices, err := retail.Read(strings.NewReader(test.text), "f.csv", nil)
			require.ErrorContains(t, err, "f.csv: ")
			assert.ErrorContains(t, err, test.want)
			assert.Less(t, len(err.Error()), 300)
			assert.Nil(t, invoices)
		})
	}
}

func TestReadFailsWhenTheReaderFails(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, text := range []string{"", head, head + line7, head + line7 + "7,TEA", head + strings.Repeat("x", 2<<20)} {
		r := io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))
		invoices, err := retail.Read(r, "f.csv", nil)
		assert.ErrorIs(t, err, broken)
		assert.Nil(t, invoices)
	}
}

func TestReadTakesTheInputInAnyPieces(t *testing.T) {
	r := iotest.DataErrReader(iotest.OneByteReader(strings.NewReader(head + line7)))
	invoices, err := retail.Read(r, "f.csv", nil)
	require.NoError(t, err)
	assert.Equal(t, invoice7(), invoices)
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.csv")
	_, err := retail.ReadFile(path, nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, path)

	require.NoError(t, os.WriteFile(path, []byte(head+line7+"7\n"), 0o600))
	var problems []retail.Problem
	invoices, err := retail.ReadFile(path, func(p retail.Problem) { problems = append(problems, p) })
	require.NoError(t, err)
	assert.Equal(t, invoice7(), invoices)
	require.Len(t, problems, 1)
	assert.Equal(t, path, problems[0].File)

	_, err = retail.ReadFile(t.TempDir(), nil)
	assert.Error(t, err, "a folder is no file")
}

func TestReadFileReadsStandardInput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.csv")
	require.NoError(t, os.WriteFile(path, []byte(head+line7+"7\n"), 0o600))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	defer func(stdin *os.File) { os.Stdin = stdin }(os.Stdin)
	os.Stdin = f

	invoices, err := retail.ReadFile("-", func(p retail.Problem) {
		assert.Equal(t, "standard input", p.File)
	})
	require.NoError(t, err)
	assert.Equal(t, invoice7(), invoices)
}
