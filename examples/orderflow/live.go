package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// watch shows one live line while the orders flow, if out is a terminal. It returns what ends it.
func (f *flow) watch(out io.Writer) (stop func()) {
	file, ok := out.(*os.File)
	if !ok {
		return func() {}
	}
	if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.unwatch = cancel
	f.watching.Go(func() { f.live(ctx, out) })
	return f.stopWatching
}

// stopWatching ends the live line and wipes it.
func (f *flow) stopWatching() {
	f.unwatch()
	f.watching.Wait()
}

func (f *flow) live(ctx context.Context, out io.Writer) {
	const interval = 100 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	before := 0
	for {
		select {
		case <-ctx.Done():
			fmt.Fprint(out, "\r\x1b[K")
			return
		case <-tick.C:
			fig, err := f.Analytics.Figures(ctx)
			if err != nil {
				continue
			}
			s := f.Bus.Stats()
			taken := fig.Orders + fig.Cancellations
			fmt.Fprintf(out, "\r\x1b[K%8.0f orders/s   %d taken   %d queued   %d retried   %d dead",
				float64(taken-before)/interval.Seconds(), taken, s.Queued, s.Retried, s.Dead)
			before = taken
		}
	}
}
