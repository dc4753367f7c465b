package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/money"
	"github.com/jitney-go/jitney/examples/orderflow/orders"
	"github.com/jitney-go/jitney/examples/orderflow/payments"
)

// play runs the program in this process.
func play(t *testing.T, ctx context.Context, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(ctx, args, strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

// playJSON runs it in memory, unless args say otherwise, and returns what it prints.
func playJSON(t *testing.T, args ...string) (r report) {
	t.Helper()
	status, out, _ := play(t, t.Context(), "", append([]string{"-journal", inMemory, "-json"}, args...)...)
	require.Equal(t, exitOK, status)
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	return r
}

func TestSampleGivesItsFigures(t *testing.T) {
	r := playJSON(t, "-journal", temporary)
	assert.Equal(t, 32, r.Orders)
	assert.Equal(t, 4, r.Cancellations)
	assert.Equal(t, 111, r.Lines)
	assert.Equal(t, 3, r.Malformed)
	assert.Equal(t, "13169.800", r.Gross.String())
	assert.Equal(t, "282.400", r.Refunds.String())
	assert.Zero(t, r.Unaccounted)
	assert.EqualValues(t, 1, r.DeadLettered)
	assert.Equal(t, 1, r.Redelivered)
	assert.Positive(t, r.Retried)
	net, err := money.Parse("0")
	require.NoError(t, err)
	for _, amount := range r.Countries {
		net += amount
	}
	assert.Equal(t, r.Gross-r.Refunds, net, "the countries add up to the whole")
}

func TestDuplicatesAreSkippedAndChangeNoFigure(t *testing.T) {
	plain := playJSON(t)
	for seed, journal := range []string{temporary, inMemory, inMemory, inMemory, inMemory} {
		r := playJSON(t, "-duplicates", "0.5", "-seed", fmt.Sprint(seed), "-journal", journal)
		assert.EqualValues(t, 18, r.DuplicatesSkipped, "half of 36 invoices")
		assert.Equal(t, plain.Gross, r.Gross)
		assert.Equal(t, plain.Refunds, r.Refunds)
		assert.Equal(t, plain.Countries, r.Countries)
		assert.Equal(t, plain.Events+18, r.Events)
		assert.Zero(t, r.Unaccounted)
	}
}

func TestASeedRepeatsARun(t *testing.T) {
	first, second := playJSON(t, "-seed", "7"), playJSON(t, "-seed", "7")
	assert.Equal(t, first.Retried+first.Spared, second.Retried+second.Spared, "which of the two is a matter of the moment")
	assert.Equal(t, first.Deliveries, second.Deliveries)
}

func TestNoOrderDiesOfTheOutage(t *testing.T) {
	for seed := range 20 {
		r := playJSON(t, "-seed", fmt.Sprint(seed))
		assert.Positive(t, r.BreakerOpened)
		assert.Positive(t, r.Spared)
		assert.EqualValues(t, 1, r.DeadLettered, "the one that nobody can be charged for")
		assert.Equal(t, 1, r.Redelivered)
		assert.Zero(t, r.Parked)
	}
}

// The customer of the order that cannot be settled comes back once.
func TestStrictParksWhatFollowsADeadLetterOfItsCustomer(t *testing.T) {
	in, err := read(config{}, nil, io.Discard)
	require.NoError(t, err)
	f := newFlow(config{strict: true}, &store{}, io.Discard)
	var booked []string
	jitney.Subscribe(f.Bus, "books", func(_ context.Context, e jitney.Event) error {
		switch e := e.(type) {
		case payments.Charged:
			booked = append(booked, e.Invoice)
		case payments.WrittenOff:
			booked = append(booked, e.Invoice)
		}
		return nil
	})
	require.NoError(t, f.process(t.Context(), in))
	r, err := f.report(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, 1, r.Parked)
	assert.Equal(t, 1, r.Redelivered)
	assert.Zero(t, r.Unaccounted)
	assert.True(t, r.balanced())
	assert.Equal(t, []string{"A700121", "700128"}, booked[len(booked)-2:], "in their order, after all others")
}

func TestTablesTellShopOwnerAndOperator(t *testing.T) {
	status, out, errs := play(t, t.Context(), "")
	require.Equal(t, exitOK, status)
	for _, piece := range []string{
		"£13,169.80", "United Kingdom", "Stock to reorder", "PAP-907",
		"payments", "unaccounted", "total is negative: -£185.40", "the books balance",
		"the payment gateway was down", "1 × payments, *errors.errorString: total is negative: -£#", "redrive: 1 of 1",
	} {
		assert.Contains(t, out, piece)
	}
	assert.Equal(t, 3, strings.Count(errs, "sample.csv:"), "each malformed line is named")
}

const header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"

func TestStandardInputIsRead(t *testing.T) {
	status, out, errs := play(t, t.Context(), header+"1,A,Cup,2,2024-01-02 10:00:00,1.25,,UK\n1,B,broken\n", "-orders", "-", "-json")
	require.Equal(t, exitOK, status)
	var r report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	assert.Equal(t, 1, r.Orders)
	assert.Equal(t, 1, r.Malformed)
	assert.Equal(t, "2.500", r.Gross.String())
	assert.Contains(t, errs, "standard input:3:")
}

func TestBadUsageIsOneClearSentence(t *testing.T) {
	for _, args := range [][]string{
		{"-orders", filepath.Join(t.TempDir(), "none.csv")},
		{"-duplicates", "2"},
		{"-duplicates", "NaN"},
		{"unexpected"},
	} {
		status, out, errs := play(t, t.Context(), "", args...)
		assert.Equal(t, exitBadUsage, status, args)
		assert.Empty(t, out)
		assert.Equal(t, 1, strings.Count(errs, "\n"), errs)
	}
}

func TestStoppedRunAccountsForWhatCameIn(t *testing.T) {
	in, err := read(config{}, nil, io.Discard)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	f := newFlow(config{}, &store{}, io.Discard)
	heard := 0
	jitney.Subscribe(f.Bus, "stop", func(context.Context, orders.Placed) error {
		if heard++; heard == 10 {
			cancel()
		}
		return nil
	}, jitney.WithSync())
	in.invoices = slices.Repeat(in.invoices, 200)
	for i := range in.invoices {
		in.invoices[i].Invoice += fmt.Sprint("-", i)
	}
	require.ErrorIs(t, f.process(ctx, in), errStopped)
	r, err := f.report(t.Context(), in)
	require.NoError(t, err)
	assert.Zero(t, r.Unaccounted)
	assert.GreaterOrEqual(t, r.Orders, 10)
	assert.Less(t, r.Orders, 32*200)
	for _, s := range r.subscribers {
		assert.Zero(t, s.Queued+s.Running+s.Waiting, s.name)
	}
}

// TestInterruptedProcessSaysWhatItDid builds the program and sends it a real signal while it reads.
func TestInterruptedProcessSaysWhatItDid(t *testing.T) {
	cmd := exec.Command(build(t), "-orders", "-", "-json")
	var out bytes.Buffer
	cmd.Stdout = &out
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	errs, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = in.Write([]byte(header + "1,A,broken\n1,A,Cup,2,2024-01-02 10:00:00,1.25,,UK\n"))
	require.NoError(t, err)
	lines := bufio.NewScanner(errs)
	require.True(t, lines.Scan(), "the malformed line is reported: the program is there")
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT)) // its input is still open: nothing else ends it
	var last string
	for lines.Scan() {
		last = lines.Text()
	}
	assert.Contains(t, last, "stopped before all orders had come in")

	var status *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &status)
	assert.Equal(t, exitFailed, status.ExitCode())
	var r report
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	assert.Zero(t, r.Unaccounted)
}

func TestFullOrderFile(t *testing.T) {
	const file = "../../../shared/data/online-retail.csv.gz"
	if _, err := os.Stat(file); err != nil || testing.Short() {
		t.Skip("the full order file is not here, or the run is short")
	}
	r := playJSON(t, "-orders", file, "-duplicates", "0.01")
	assert.Equal(t, 22064, r.Orders)
	assert.Equal(t, 3836, r.Cancellations)
	assert.Equal(t, 541909, r.Lines)
	assert.Equal(t, "10644560.424", r.Gross.String())
	assert.Equal(t, "896812.490", r.Refunds.String())
	assert.EqualValues(t, 259, r.DuplicatesSkipped)
	assert.EqualValues(t, 2, r.DeadLettered)
	assert.Equal(t, 2, r.Redelivered)
	assert.Zero(t, r.Unaccounted)
}
