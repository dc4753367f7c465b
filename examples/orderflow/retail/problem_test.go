package retail_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/examples/orderflow/retail"
)

func TestAMalformedLineIsReportedAndSpoilsNothingElse(t *testing.T) {
	for _, test := range []struct{ line, column, value, text string }{
		{`7`, "", `"7"`, "1 of the 8 fields of the header"},
		{`7,TEA,Teapot,2,2024-11-25 08:42:00,2.55,20417`, "", `"7,TEA,Teapot,2,2024-11-25 08:42:00,2.55,"…`, "7 of the 8 fields of the header"},
		{`7,TEA,Teapot,2,2024-11-25 08:42:00,2.55,1,X,Y`, "", `"7,TEA,Teapot,2,2024-11-25 08:42:00,2.55,"…`, "more than the 8 fields of the header"},
		{` ,TEA,Teapot,2,2024-11-25 08:42:00,2.55,1,X`, "InvoiceNo", `" "`, "empty"},
		{`7,,Teapot,2,2024-11-25 08:42:00,2.55,1,X`, "StockCode", `""`, "empty"},
		{`7,TEA,Teapot,two,2024-11-25 08:42:00,2.55,1,X`, "Quantity", `"two"`, "not a whole number"},
		{`7,TEA,Teapot,2.0,2024-11-25 08:42:00,2.55,1,X`, "Quantity", `"2.0"`, "not a whole number"},
		{`7,TEA,Teapot,,2024-11-25 08:42:00,2.55,1,X`, "Quantity", `""`, "not a whole number"},
		{`7,TEA,Teapot,2147483648,2024-11-25 08:42:00,2.55,1,X`, "Quantity", `"2147483648"`, "beyond the range of a quantity"},
		{`7,TEA,Teapot,2,yesterday,2.55,1,X`, "InvoiceDate", `"yesterday"`, "not a date"},
		{`7,TEA,Teapot,2,2024-02-30 08:42:00,2.55,1,X`, "InvoiceDate", `"2024-02-30 08:42:00"`, "not a date"},
		{`7,TEA,Teapot,2,13/1/2024 8:42,2.55,1,X`, "InvoiceDate", `"13/1/2024 8:42"`, "not a date"},
		{`7,TEA,Teapot,2,2024-11-25 08:42:00,,1,X`, "UnitPrice", `""`, "not an amount"},
		{`7,TEA,Teapot,2,2024-11-25 08:42:00,1e3,1,X`, "UnitPrice", `"1e3"`, "not an amount"},
		{`7,TEA,Teapot,2,2024-11-25 08:42:00,1.2345,1,X`, "UnitPrice", `"1.2345"`, "more than three decimals"},
		{`7,TEA,Teapot,2,2024-11-25 08:42:00,9223372036854775.808,1,X`, "UnitPrice", `"9223372036854775.808"`, "beyond the range of an amount"},
		{`7,TEA,Teapot,2,2024-11-25 08:42:00,9223372036854775,1,X`, "UnitPrice", `"9223372036854775"`, "the invoice's total is beyond the range of an amount"},
		{`8,TEA,Teapot,2,2024-11-25 08:42:00,9223372036854775,1,X`, "UnitPrice", `"9223372036854775"`, "the invoice's total is beyond the range of an amount"},
		{`7,TEA,"Teapot,2,2024-11-25 08:42:00,2.55,1,X`, "Description", `"\"Teapot,2,2024-11-25 08:42:00,2.55,1,X"`, "quote not closed on its line"},
		{`7,TEA,Teapot 5" high,2,2024-11-25 08:42:00,2.55,1,X`, "Description", `"Teapot 5\" high,2,2024-11-25 08:42:00,2.5"…`, "quote inside a field without quotes around it"},
		{`7,TEA,"Teapot" 5,2,2024-11-25 08:42:00,2.55,1,X`, "Description", `"\"Teapot\" 5,2,2024-11-25 08:42:00,2.55,1,"…`, "text after the closing quote"},
		{"7,TEA,Teap\xf4t,2,2024-11-25 08:42:00,2.55,1,X", "Description", `"Teap\xf4t"`, "not UTF-8"},
		{"7,TEA,Teapot,\x1b[2J\a,2024-11-25 08:42:00,2.55,1,X", "Quantity", `"\x1b[2J\a"`, "not a whole number"},
		{"7,TEA,Teapot,2," + strings.Repeat("é", 30) + ",2.55,1,X", "InvoiceDate", `"` + strings.Repeat("é", 20) + `"…`, "not a date"},
		{"7,TEA,Teapot,2,x" + strings.Repeat("é", 30) + ",2.55,1,X", "InvoiceDate", `"x` + strings.Repeat("é", 19) + `"…`, "not a date"},
		{strings.Repeat("y", 1<<20), "", `"` + strings.Repeat("y", 40) + `"…`, "longer than 1 MiB"},
		{strings.Repeat("y", 3<<20), "", `"` + strings.Repeat("y", 40) + `"…`, "longer than 1 MiB"},
	} {
		t.Run(test.column+" "+test.text, func(t *testing.T) {
			invoices, problems := read(t, head+line7+test.line+"\n"+line7)
			require.Len(t, problems, 1)
			assert.Equal(t, retail.Problem{File: "f.csv", Line: 3, Column: test.column, Value: test.value, Text: test.text}, problems[0])
			require.Len(t, invoices, 1, "the lines around it are read")
			assert.Len(t, invoices[0].Lines, 2)
		})
	}
}

func TestALongLineAtTheLimitIsRead(t *testing.T) {
	description := strings.Repeat("d", 1<<20-len(strings.Replace(line7, "Teapot", "", 1)))
	invoices, problems := read(t, head+strings.Replace(line7, "Teapot", description, 1)+line7)
	assert.Empty(t, problems)
	require.Len(t, invoices, 1)
	assert.Equal(t, description, invoices[0].Lines[0].Description)
}

func TestProblemsCountPhysicalLines(t *testing.T) {
	_, problems := read(t, "\n"+head+"\n\r\nbad\n"+line7+"\nworse")
	require.Len(t, problems, 2)
	assert.Equal(t, 5, problems[0].Line)
	assert.Equal(t, 8, problems[1].Line)
}

func TestProblemNamesAColumnThatIsNotItsOwn(t *testing.T) {
	_, problems := read(t, "Note,"+head+"\xff,"+line7)
	require.Len(t, problems, 1)
	assert.Equal(t, `"Note"`, problems[0].Column)
}

func TestProblemString(t *testing.T) {
	p := retail.Problem{File: "f.csv", Line: 41, Column: "Quantity", Value: `"two"`, Text: "not a whole number"}
	assert.Equal(t, `f.csv:41: Quantity "two": not a whole number`, p.String())
	p = retail.Problem{File: "f.csv", Line: 41, Value: `"7"`, Text: "1 of the 8 fields of the header"}
	assert.Equal(t, `f.csv:41: line "7": 1 of the 8 fields of the header`, p.String())
	p = retail.Problem{File: "f.csv", Line: 41, Text: "unexpected EOF", Damaged: true}
	assert.Equal(t, `f.csv:41: damaged after this line: unexpected EOF`, p.String())
}
