package why_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/why"
)

// What an order has led to, and what has gone wrong on the way.
func Example() {
	recorder := &why.Recorder{}
	b := jitney.New(silent, jitney.WithSource("shop"), jitney.WithRecorder(recorder))

	jitney.Subscribe(b, "billing", func(ctx context.Context, p placed) error {
		return b.Publish(ctx, charged{p.Invoice})
	})
	jitney.Subscribe(b, "mailer", func(context.Context, charged) error {
		return jitney.Permanent(errors.New("smtp: no such mailbox"))
	})

	ctx := jitney.ContextWithCorrelation(context.Background(), "invoice-7")
	_ = b.Publish(ctx, placed{Invoice: "7"})
	_ = b.Shutdown(ctx)

	flow, _ := recorder.Flow("invoice-7")
	fmt.Println(masked(flow.String()))
	// Output:
	// flow invoice-7: 2 events, from …
	// …  orders.placed …  by shop
	// …  └─ billing  handled  …
	// …     └─ payments.charged …
	// …        └─ mailer  dead after 1 attempt, permanent: smtp: no such mailbox
}

var varying = regexp.MustCompile(`20\d\d-.*UTC|\d\d:\d\d:\d\d\.\d+|[0-9a-f-]{36}|[0-9.]+ [µm]?s\b`)

// masked leaves out what differs from run to run.
func masked(text string) string { return varying.ReplaceAllString(text, "…") }
