package why_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/why"
	"github.com/jitney-go/jitney/wire"
)

// On a journal an event may be handled before its publisher knows that it is stored, or by another process than that
// which has published it.
func TestAFlowOnAJournalIsTold(t *testing.T) {
	for range 20 {
		types := wire.NewTypes()
		wire.Register[placed](types)
		wire.Register[charged](types)
		j := jitneytest.NewMemoryJournal(types)
		first, second := &why.Recorder{}, &why.Recorder{}
		ctx := jitney.ContextWithCorrelation(t.Context(), "c")

		b := jitney.New(silent, jitney.WithJournal(j), jitney.WithRecorder(first))
		jitney.Subscribe(b, "billing", func(ctx context.Context, p placed) error { return b.Publish(ctx, charged{p.Invoice}) })
		jitney.Subscribe(b, "shipping", func(context.Context, charged) error { return nil }).Pause()
		require.NoError(t, b.Publish(ctx, placed{Invoice: "7"}))
		require.Eventually(t, func() bool { f, _ := first.Flow("c"); return len(f.Events) == 2 && f.Events[1].Seen }, 10*time.Second, time.Millisecond)
		require.NoError(t, b.Shutdown(ctx))
		f, _ := first.Flow("c")
		assert.Equal(t, "billing", f.Events[1].Publisher)
		assert.Equal(t, []why.Delivery{{Subscriber: "shipping"}}, f.Events[1].Deliveries)

		b = jitney.New(silent, jitney.WithJournal(j), jitney.WithRecorder(second))
		jitney.Subscribe(b, "shipping", func(context.Context, charged) error { return jitney.Permanent(errors.New("no stock")) }).Resume()
		require.NoError(t, b.Flush(ctx))
		require.NoError(t, b.Shutdown(ctx))
		f, _ = second.Flow("c")
		require.Len(t, f.Events, 1)
		assert.False(t, f.Events[0].Seen)
		assert.Equal(t, "dead", f.Events[0].Deliveries[0].Attempts[0].Outcome)
	}
}
