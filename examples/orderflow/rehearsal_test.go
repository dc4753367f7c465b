package main

import (
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/examples/orderflow/shop"
	"github.com/jitney-go/jitney/jitneytest"
)

// rehearse runs the sample on a journal that behaves as an engine does.
func rehearse(t *testing.T, p jitneytest.Profile, c shop.Config) report {
	in, err := read(config{}, nil, io.Discard)
	require.NoError(t, err)
	c.Seed = p.Seed
	f := &flow{config: config{seed: p.Seed, duplicates: 0.5}, store: &store{}, unwatch: func() {}}
	f.Shop = shop.New(c,
		jitney.WithJournal(jitneytest.Rehearse(t, p, shop.Types())),
		jitney.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, f.process(t.Context(), in))
	r, err := f.report(t.Context(), in)
	require.NoError(t, err)
	return r
}

func TestTheBooksBalanceOnEveryEngine(t *testing.T) {
	want := rehearse(t, jitneytest.InProcess, shop.Config{Inbox: &jitney.MemoryInbox{}})
	for _, p := range []jitneytest.Profile{
		jitneytest.InProcess, jitneytest.SQL, jitneytest.NATS, jitneytest.Kafka, jitneytest.Worst,
	} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s/%d", p.Name, seed+1), func(t *testing.T) {
				t.Parallel()
				r := rehearse(t, p.WithSeed(seed+1), shop.Config{Strict: seed%2 == 1, Inbox: &jitney.MemoryInbox{}})
				assert.True(t, r.balanced(), "%+v is not %v less %v", r.books, r.Gross, r.Refunds)
				assert.Zero(t, r.Unaccounted)
				assert.Equal(t, want.books, r.books)
				assert.Equal(t, want.Orders, r.Orders)
				assert.Equal(t, want.Cancellations, r.Cancellations)
				assert.Equal(t, want.Lines, r.Lines)
				assert.Equal(t, want.Gross, r.Gross)
				assert.Equal(t, want.Refunds, r.Refunds)
				assert.Equal(t, want.Countries, r.Countries)
				assert.Equal(t, want.reorder, r.reorder)
				assert.Equal(t, want.parcels, r.parcels)
				assert.Equal(t, want.mails, r.mails)
				assert.Equal(t, want.members, r.members)
			})
		}
	}
}

// Otherwise the test above would not say much.
func TestWithoutAnInboxTheBooksAreWrong(t *testing.T) {
	want := rehearse(t, jitneytest.InProcess, shop.Config{})
	r := rehearse(t, jitneytest.Profile{LostAcks: 0.1, Seed: 1}, shop.Config{})
	assert.NotEqual(t, want.Gross, r.Gross)
	assert.NotEqual(t, want.books, r.books)
	assert.NotEqual(t, want.parcels, r.parcels)
}
