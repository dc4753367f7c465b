package retail_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/examples/orderflow/retail"
)

func seed(f *testing.F, add func(text []byte)) {
	f.Helper()
	sample, err := io.ReadAll(retail.Sample())
	require.NoError(f, err)
	add(sample)
	add([]byte(head + line7))
	add([]byte("\ufeff" + strings.ReplaceAll(head+line7, "\n", "\r\n")))
	add([]byte(head + "7,\"TEA,\n\n" + line7 + "7,TEA\xff,"))
	add(zip(f, head+line7))
}

// FuzzRead checks that no line is lost and none is counted twice.
func FuzzRead(f *testing.F) {
	seed(f, func(text []byte) { f.Add(text) })
	f.Fuzz(func(t *testing.T, text []byte) {
		var problems []retail.Problem
		invoices, err := retail.Read(bytes.NewReader(text), "f", func(p retail.Problem) { problems = append(problems, p) })
		if err != nil {
			assert.Nil(t, invoices)
			return
		}
		checkLines(t, text, invoices, problems)
	})
}

// FuzzReadDamaged checks the same for compressed files that are cut short
// and have a byte changed.
func FuzzReadDamaged(f *testing.F) {
	seed(f, func(text []byte) { f.Add(text, uint16(len(text)/3), uint16(50), byte(1)) })
	f.Fuzz(func(t *testing.T, text []byte, cut, at uint16, change byte) {
		data := zip(t, head+string(text))
		data = data[:min(len(data), int(cut))]
		if len(data) > 0 {
			data[int(at)%len(data)] ^= change
		}
		var problems []retail.Problem
		invoices, err := retail.Read(bytes.NewReader(data), "f", func(p retail.Problem) { problems = append(problems, p) })
		if err == nil {
			checkLines(t, data, invoices, problems)
		}
	})
}

func checkLines(t *testing.T, data []byte, invoices []retail.Invoice, problems []retail.Problem) {
	t.Helper()
	text, damaged := unzip(data)
	if damaged { // the cut line is dropped
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	want, last := countLines(text)
	got := len(problems)
	if damaged {
		require.NotEmpty(t, problems)
		assert.Equal(t, last, problems[len(problems)-1].Line)
		got--
	}
	for i, p := range problems {
		assert.Equal(t, damaged && i == len(problems)-1, p.Damaged)
		assert.LessOrEqual(t, p.Line, last)
		assert.NotContains(t, p.String(), "\n")
	}
	for _, v := range invoices {
		assert.NotEmpty(t, v.Lines)
		got += len(v.Lines)
		checkTotal(t, v)
	}
	assert.Equal(t, want, got, "lines read and problems")
}

func checkTotal(t *testing.T, v retail.Invoice) {
	t.Helper()
	var again retail.Invoice
	for _, l := range v.Lines {
		require.NoError(t, again.Add(l))
	}
	assert.Equal(t, again.Total, v.Total)
}

// unzip returns the text of data, which may be plain, as far as it is good.
func unzip(data []byte) (text []byte, damaged bool) {
	if !bytes.HasPrefix(data, []byte("\x1f\x8b")) {
		return data, false
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, true
	}
	text, err = io.ReadAll(r)
	return text, err != nil
}

// countLines returns how many lines below the header are not blank, and the
// number of the last line.
func countLines(text []byte) (filled, last int) {
	filled = -1
	for line := range bytes.Lines(text) {
		last++
		if len(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))) > 0 {
			filled++
		}
	}
	return filled, last
}
