// Package why answers "why did this run?", and "why did it not?". A [Recorder] listens to a bus and keeps, of the
// latest flows, which event was published, or which question asked, by which handler, and what became of each delivery,
// attempt by attempt. A [Flow] is printed as a tree, or drawn as a Mermaid flowchart.
//
//	recorder := &why.Recorder{}
//	b := jitney.New(jitney.WithRecorder(recorder))
//	// …
//	flow, ok := recorder.Flow(correlationID)
//	fmt.Print(flow)
//
// It keeps and shows types, IDs, correlations, names of subscribers, times, and the texts of errors, which are as
// discreet as who has made them. Payloads, keys and headers are neither kept nor shown.
//
// A flow that no recorder has seen, or not all of, is told from its envelopes: [Flow.Add] takes those of a journal (Flow
// of package sqljournal). Which subscribers had them is not known then, nor with what success.
package why
