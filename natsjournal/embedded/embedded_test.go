package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal/embedded"
	"github.com/jitney-go/jitney/wire"
)

type placed struct{ Order string }

func (placed) EventType() string  { return "orders.placed" }
func (p placed) EventKey() string { return p.Order }

func types() *wire.Types {
	ts := wire.NewTypes()
	wire.Register[placed](ts)
	return ts
}

func TestG27AFolderHasOneServer(t *testing.T) {
	folder := t.TempDir()
	j, err := embedded.Open(t.Context(), folder, types())
	require.NoError(t, err)
	_, err = embedded.Open(t.Context(), folder, types())
	require.ErrorIs(t, err, jitney.ErrInUse)
	require.ErrorContains(t, err, folder)
	require.NoError(t, j.Close(t.Context()))
	j, err = embedded.Open(t.Context(), folder, types())
	require.NoError(t, err)
	require.NoError(t, j.Close(t.Context()))
}

func TestWhatStartRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := embedded.Start(t.Context(), file)
	require.ErrorContains(t, err, file)
	folder := t.TempDir()
	_, err = embedded.Open(t.Context(), folder, nil)
	require.ErrorContains(t, err, "types is nil")
	s, err := embedded.Start(t.Context(), folder)
	require.NoError(t, err, "what failed has left nothing behind")
	require.NoError(t, s.Stop())
	require.NoError(t, s.Stop())
}

func TestTheLargestEventThatIsEncodedIsStored(t *testing.T) {
	j, err := embedded.Open(t.Context(), t.TempDir(), types())
	require.NoError(t, err)
	b := jitney.New(jitney.WithJournal(j))
	data := make([]byte, 1<<20)
	require.NoError(t, b.Publish(t.Context(), jitney.RawEvent{Type: "large", Version: 1, ContentType: "image/png", Data: data}))
	end, err := j.End(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 1, end)
	require.NoError(t, errors.Join(b.Shutdown(t.Context()), j.Close(t.Context())))
}

func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "shop")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)

	run := func(publish bool) {
		j, err := embedded.Open(ctx, folder, types())
		if err != nil {
			panic(err)
		}
		b := jitney.New(jitney.WithJournal(j))
		if publish {
			err = b.Publish(ctx, placed{"1"}, placed{"2"}) // durable when it returns, whether or not somebody handles them yet
		} else {
			jitney.Subscribe(b, "billing", func(_ context.Context, e placed) error {
				fmt.Println("charged", e.Order)
				return nil
			}, jitney.WithStart(jitney.FromBeginning()))
			err = b.Flush(ctx)
		}
		if err := errors.Join(err, b.Shutdown(ctx), j.Close(ctx)); err != nil {
			panic(err)
		}
	}
	run(true)
	run(false)
	run(false) // nothing is left to do
	// Output:
	// charged 1
	// charged 2
}
