package retail

import (
	"encoding/csv"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSplit(t *testing.T) {
	for _, test := range []struct {
		line string
		want []string
		err  error
	}{
		{``, []string{""}, nil},
		{`,`, []string{"", ""}, nil},
		{`a,b,c`, []string{"a", "b", "c"}, nil},
		{`a,,`, []string{"a", "", ""}, nil},
		{`"a"`, []string{"a"}, nil},
		{`"",""`, []string{"", ""}, nil},
		{`"a,b",c`, []string{"a,b", "c"}, nil},
		{`"12"" ruler",6`, []string{`12" ruler`, "6"}, nil},
		{`""""`, []string{`"`}, nil},
		{`"""""",x`, []string{`""`, "x"}, nil},
		{`"`, []string{`"`}, errOpenQuote},
		{`"""`, []string{`"""`}, errOpenQuote},
		{`a,"b,c`, []string{"a", `"b,c`}, errOpenQuote},
		{`a,"b"",c`, []string{"a", `"b"",c`}, errOpenQuote},
		{`a,12" ruler,c`, []string{"a", `12" ruler,c`}, errStrayQuote},
		{`a, "b",c`, []string{"a", ` "b",c`}, errStrayQuote},
		{`"a"b,c`, []string{`"a"b,c`}, errAfterQuote},
		{`"a" ,c`, []string{`"a" ,c`}, errAfterQuote},
	} {
		got, err := split(nil, []byte(test.line), math.MaxInt)
		assert.ErrorIs(t, err, test.err, test.line)
		assert.Equal(t, test.want, texts(got), test.line)
	}
}

func TestSplitStopsAtTheLimit(t *testing.T) {
	fields, err := split(nil, []byte(strings.Repeat(",", 1000)), 3)
	assert.ErrorIs(t, err, errFields)
	assert.Len(t, fields, 3)

	fields, err = split(nil, []byte("a,b,c"), 3)
	assert.NoError(t, err)
	assert.Len(t, fields, 3)
}

// FuzzSplit holds split against encoding/csv, which reads one line alike.
func FuzzSplit(f *testing.F) {
	for _, line := range []string{`a,b`, `"a""b",`, `"a`, `a"b`, `"a"b`, `"""`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if line == "" || strings.ContainsAny(line, "\r\n") {
			t.Skip("not one line")
		}
		got, err := split(nil, []byte(line), math.MaxInt)
		want, wantErr := csv.NewReader(strings.NewReader(line)).Read()
		require.Equal(t, wantErr == nil, err == nil, "%v, %v", wantErr, err)
		if err == nil {
			assert.Equal(t, want, texts(got))
		}
	})
}

func texts(fields [][]byte) []string {
	s := make([]string, len(fields))
	for i, field := range fields {
		s[i] = string(field)
	}
	return s
}
