package jitneytest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/jitneytest"
	"github.com/jitney-go/jitney/wire"
)

// In a test, t is the test's own.
var t testing.TB = outside{}

// A team that moves from memory to Kafka sees beforehand which of its handlers run again for what they have handled.
func ExampleRehearse() {
	types := wire.NewTypes()
	wire.Register[Charged](types)
	ctx := context.Background()

	b := jitney.New(jitney.WithJournal(jitneytest.Rehearse(t, jitneytest.Kafka.WithSeed(1), types)))
	naive, careful := 0, 0
	jitney.Subscribe(b, "naive", func(context.Context, Charged) error { naive++; return nil })
	jitney.Subscribe(b, "careful", func(context.Context, Charged) error { careful++; return nil },
		jitney.WithIdempotency(&jitney.MemoryInbox{}))

	for n := range 50 {
		err := b.Publish(ctx, Charged{Order: fmt.Sprint(n)})
		var failed *jitney.AppendError
		for errors.Is(err, jitney.ErrIndeterminate) && errors.As(err, &failed) { // the same envelope, not the event once more
			err = b.Forward(ctx, failed.Envelopes[0])
		}
		if err != nil {
			fmt.Println(err)
		}
	}
	_ = b.Flush(ctx)
	_ = b.Shutdown(ctx)
	fmt.Println("naive has charged more than 50:", naive > 50)
	fmt.Println("careful has charged", careful)
	// Output:
	// naive has charged more than 50: true
	// careful has charged 50
}

// outside stands for a test where there is none.
type outside struct{ testing.TB }

func (outside) Helper()        {}
func (outside) Cleanup(func()) {}
