// Package flowmap draws which way events go through a program: who publishes what because of what, who hears it, what
// nobody hears, and where events lead back to themselves. A [Recorder] learns from what it sees; a [Map] of it is
// written as JSON, which a test compares with a file that is kept beside the code, or as a Mermaid flowchart.
//
//	recorder := &flowmap.Recorder{}
//	b := jitney.New(jitney.WithRecorder(recorder))
//	// … what the program does …
//	fmt.Print(recorder.Map(b).Mermaid())
//
// A question is on it as an event is: it goes from who asks to who answers, by its type.
//
// A map has no numbers and no times, and all in it is sorted: the same flows give the same map. What has not happened
// while the recorder listened is not on it, but for subscriptions to one type.
package flowmap
