package flowmap_test

import (
	"context"
	"fmt"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/flowmap"
)

// Which way events go, as a chart to look at. A test compares JSON with a file that is kept beside the code.
func Example() {
	recorder := &flowmap.Recorder{}
	b := jitney.New(silent, jitney.WithSource("shop"), jitney.WithRecorder(recorder))
	jitney.Subscribe(b, "billing", func(ctx context.Context, p placed) error {
		return b.Publish(ctx, charged(p))
	})

	ctx := context.Background()
	_ = b.Publish(ctx, placed{"7"})
	_ = b.Shutdown(ctx)

	fmt.Print(recorder.Map(b).Mermaid())
	// Output:
	// flowchart LR
	//   p0(("shop"))
	//   t1(["orders.placed"])
	//   p0 --> t1
	//   s2["billing"]
	//   t1 --> s2
	//   t3(["payments.charged"])
	//   s2 --> t3
	//   classDef unheard stroke-dasharray:5 5
	//   class t3 unheard
}
