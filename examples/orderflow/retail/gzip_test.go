package retail_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/examples/orderflow/retail"
)

func zip(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// manyLines returns n lines of n invoices that compress badly.
func manyLines(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "%d,S%d,Item %x,1,2024-11-25 08:42:00,1.00,,Spain\n", i, i*i%9973, uint32(i)*2654435761)
	}
	return text.String()
}

func TestReadKnowsGzipByItsContent(t *testing.T) {
	invoices, problems := read(t, string(zip(t, "\ufeff"+head+line7)))
	assert.Empty(t, problems)
	assert.Equal(t, invoice7(), invoices)
}

func TestReadJoinsGzipMembers(t *testing.T) {
	invoices, problems := read(t, string(zip(t, head+line7[:9]))+string(zip(t, line7[9:])))
	assert.Empty(t, problems)
	assert.Equal(t, invoice7(), invoices)
}

func TestReadKeepsWhatCameBeforeDamage(t *testing.T) {
	const lines = 5000
	whole := zip(t, head+manyLines(lines))
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-5] ^= 0xff // in the checksum
	broken := bytes.Clone(whole)
	copy(broken[len(broken)/2:], bytes.Repeat([]byte{0xff}, 512))

	for name, data := range map[string][]byte{
		"cut short":      whole[:len(whole)/2],
		"cut at the end": whole[:len(whole)-1],
		"bad checksum":   flipped,
		"bad bytes":      broken,
		"rubbish behind": append(bytes.Clone(whole), "rubbish behind"...),
	} {
		t.Run(name, func(t *testing.T) {
			invoices, problems := read(t, string(data))
			checkLines(t, data, invoices, problems)
			assert.True(t, problems[len(problems)-1].Damaged)
			assert.Greater(t, len(invoices), lines/4)
		})
	}
}

func TestALineCutInTwoByDamageIsDropped(t *testing.T) {
	half := "7,TEA,Teapot,2,2024-11-25 08:42:00,2.55,20417.0,Fra"
	data := zip(t, head+line7+half)
	invoices, problems := read(t, string(data[:len(data)-8])) // without the checksum
	assert.Equal(t, invoice7(), invoices)
	require.Len(t, problems, 1)
	assert.True(t, problems[0].Damaged)
	assert.Equal(t, 2, problems[0].Line)
}

func TestDamageBeforeTheHeaderEndsIsAnError(t *testing.T) {
	data := zip(t, head)
	for _, n := range []int{2, 5, 12, len(data) / 2} {
		_, err := retail.Read(bytes.NewReader(data[:n]), "f.csv.gz", nil)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, n)
	}
}
