package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/flowmap"
	"github.com/jitney-go/jitney/why"
)

// format is a flag that says how the map is printed; "" if it is not.
type format string

const (
	mermaid format = "mermaid"
	asJSON  format = "json"
)

// String implements flag.Value.
func (f *format) String() string { return string(*f) }

// IsBoolFlag lets the flag stand alone.
func (f *format) IsBoolFlag() bool { return true }

// Set implements flag.Value: "true" is what a flag that stands alone is set to.
func (f *format) Set(text string) error {
	switch text {
	case "true":
		*f = mermaid
	case "false":
		*f = ""
	case string(mermaid), string(asJSON):
		*f = format(text)
	default:
		return errors.New("neither mermaid nor json")
	}
	return nil
}

// record has the bus recorded as far as the flags ask for it.
func (f *flow) record() (opts []jitney.Option) {
	if f.config.why != "" {
		f.why = &why.Recorder{Only: func(env *jitney.Envelope) bool { return env.Correlation == f.config.why }}
		opts = append(opts, jitney.WithRecorder(f.why))
	}
	if f.chart != "" {
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
	switch f.chart {
	case mermaid:
		fmt.Fprintf(out, "\nTHE MAP, in Mermaid:\n%s", f.ways.Map(f.Bus).Mermaid())
	case asJSON:
		fmt.Fprintf(out, "\nTHE MAP, as JSON:\n%s", f.ways.Map(f.Bus).JSON())
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
