package retail_test

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/examples/orderflow/retail"
)

func TestReadAllocatesOnlyForWhatIsNew(t *testing.T) {
	text := head + strings.Repeat(line7, 10_000)
	allocs := testing.AllocsPerRun(5, func() {
		_, err := retail.Read(strings.NewReader(text), "f.csv", nil)
		require.NoError(t, err)
	})
	assert.Less(t, allocs, 500.0, "10,000 lines of one invoice")
}

func TestInvoicesShareTheirTexts(t *testing.T) {
	invoices, _ := read(t, head+line7+"8"+line7[1:])
	require.Len(t, invoices, 2)
	a, b := invoices[0].Lines[0].Description, invoices[1].Lines[0].Description
	assert.Same(t, unsafe.StringData(a), unsafe.StringData(b))
}

func TestInvoicesKeepNothingOfTheFile(t *testing.T) {
	text := head + strings.Repeat("7,TEA,Teapot,,,,,\n", 500_000) + line7
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	invoices, err := retail.Read(strings.NewReader(text), "f.csv", nil)
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	assert.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(256<<10))
	runtime.KeepAlive(invoices)
	runtime.KeepAlive(text)
}
