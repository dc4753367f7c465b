package jitney_test

import (
	"context"
	"fmt"

	"github.com/jitney-go/jitney"
)

// Upload belongs to a tenant.
type Upload struct {
	Tenant string
	File   int
}

func (Upload) EventType() string { return "files.uploaded" }

// While two tenants have files waiting, each has as many scanned as the other.
func ExampleWithFairShare() {
	ctx := context.Background()
	b := jitney.New(noLog)
	s := jitney.Subscribe(b, "scanner", func(_ context.Context, u Upload) error {
		fmt.Println(u.Tenant, u.File)
		return nil
	}, jitney.WithFairShare(jitney.FairShare{
		By: func(env *jitney.Envelope) string { return env.Event.(Upload).Tenant },
	}))

	s.Pause()
	for n := range 4 {
		_ = b.Publish(ctx, Upload{"big", n})
	}
	_ = b.Publish(ctx, Upload{"small", 0}, Upload{"small", 1})
	s.Resume()
	_ = b.Shutdown(ctx)
	// Output:
	// big 0
	// small 0
	// big 1
	// small 1
	// big 2
	// big 3
}
