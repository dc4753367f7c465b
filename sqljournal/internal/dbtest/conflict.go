package dbtest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/jitney-go/jitney"
)

// An event whose ID another one has fails nobody else's, although they are in one commit.
func conflict(t *testing.T, d *Database) {
	j := open(t, d)
	stored := sealed(Counted{"stored", 0})
	must(t, j.Append(t.Context(), stored))
	const rounds, others = 20, 8
	for n := range rounds {
		var all sync.WaitGroup
		for range others {
			all.Go(func() {
				if err := j.Append(context.Background(), sealed(Counted{"other", n})); err != nil {
					t.Errorf("Append beside a conflict: %v", err)
				}
			})
		}
		all.Go(func() {
			twin := *stored
			twin.Event = Counted{"twin", n}
			if err := j.Append(context.Background(), &twin); !errors.Is(err, jitney.ErrIDConflict) {
				t.Errorf("Append of another event under a stored ID: %v", err)
			}
		})
		all.Wait()
	}
	if end, err := j.End(t.Context()); err != nil || end != 1+rounds*others {
		t.Errorf("the journal has %d events, %v, expected %d", end, err, 1+rounds*others)
	}
}
