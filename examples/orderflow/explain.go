package main

import (
	"context"
	"fmt"
	"io"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/flowmap"
	"github.com/jitney-go/jitney/why"
)

// record has the bus recorded as far as the flags ask for it.
func (f *flow) record() (opts []jitney.Option) {
	if f.config.why != "" {
		f.why = &why.Recorder{Only: func(env *jitney.Envelope) bool { return env.Correlation == f.config.why }}
		opts = append(opts, jitney.WithRecorder(f.why))
	}
	if f.chart {
		f.ways = &flowmap.Recorder{}
		opts = append(opts, jitney.WithRecorder(f.ways))
	}
	return opts
}

// explain prints what has been recorded, and what the journal knows of the invoice from earlier runs.
func (f *flow) explain(ctx context.Context, out io.Writer) (err error) {
	if f.why != nil {
		var story why.Flow
		if story, err = f.story(ctx); len(story.Events) == 0 {
			fmt.Fprintf(out, "\nWHY: no invoice %s has come in\n", clean(f.config.why))
		} else {
			fmt.Fprintf(out, "\nWHY: %s", story)
		}
	}
	if f.ways != nil {
		fmt.Fprintf(out, "\nTHE MAP, in Mermaid:\n%s", f.ways.Map(f.Bus).Mermaid())
	}
	return err
}

func (f *flow) story(ctx context.Context) (story why.Flow, err error) {
	story, _ = f.why.Flow(f.config.why)
	if f.store.books == nil {
		return story, nil
	}
	earlier, err := f.store.books.Flow(ctx, f.config.why, 10_000)
	story.Add(earlier...)
	return story, err
}
