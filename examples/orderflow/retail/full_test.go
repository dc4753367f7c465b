package retail_test

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney/examples/orderflow/retail"
)

// The whole of UCI's Online Retail data, beside the repository. It is not
// part of it.
const fullFile = "../../../../shared/data/online-retail.csv.gz"

func TestFullFile(t *testing.T) {
	if testing.Short() {
		t.Skip("the full file is not read in short mode")
	}
	start := time.Now()
	var problems []retail.Problem
	invoices, err := retail.ReadFile(fullFile, func(p retail.Problem) { problems = append(problems, p) })
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("online-retail.csv.gz is not there")
	}
	require.NoError(t, err)
	t.Logf("read in %v", time.Since(start))

	assert.Equal(t, figures{
		invoices:        25_900,
		cancellations:   3_836,
		lines:           541_909,
		negative:        2,
		withoutCustomer: 3_528,
		gross:           10_644_560_424,
		refunds:         896_812_490,
	}, figuresOf(t, invoices, problems))
}
