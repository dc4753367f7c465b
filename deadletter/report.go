package deadletter

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Report is what a job has done so far; what a job did that it goes on with is not in it.
type Report struct {
	DryRun  bool
	Begin   time.Time
	Took    time.Duration
	Matched int     // letters selected when the job began
	Groups  []Group // of what they had died of

	Tried     int // letters sent back: the sum of the next three
	Succeeded int
	Failed    int // the letter is in its store as before, or with the new attempts in its History
	Unknown   int // 1 if the job was stopped while a letter was under way

	Edited int
	Gone   int // letters that somebody else has dealt with, or is dealing with

	// Failures are the first 100 that failed.
	Failures []Failure
	// Checkpoint is where to go on.
	Checkpoint Checkpoint
}

// Failure is a letter that failed again.
type Failure struct {
	Letter     uuid.UUID
	Subscriber string
	Type       string
	Err        error
}

const maxFailures = 100

// String sums the report up in a line.
func (r Report) String() string {
	if r.DryRun {
		return fmt.Sprintf("dry run: %d letters in %d groups, %d would be edited, %d could not be",
			r.Matched, len(r.Groups), r.Edited, r.Failed)
	}
	return fmt.Sprintf("%d of %d letters tried: %d succeeded, %d failed, %d unknown; %d edited, %d gone",
		r.Tried, r.Matched, r.Succeeded, r.Failed, r.Unknown, r.Edited, r.Gone)
}
