package deadletter

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Checkpoint is how far a job has come. It can be stored as JSON.
type Checkpoint struct {
	After uuid.UUID `json:"after"` // the last letter that is done with
	Last  uuid.UUID `json:"last"`  // the last letter of the job
}

// CheckpointStore keeps how far jobs have come, by their names. The journals of sqljournal have one.
type CheckpointStore interface {
	// Load returns what was saved last, and whether there is anything.
	Load(ctx context.Context, name string) (c Checkpoint, found bool, err error)
	Save(ctx context.Context, name string, c Checkpoint) error
	// Remove removes what was saved, if there is anything.
	Remove(ctx context.Context, name string) error
}

// load finds out how far an earlier run has come.
func (j *job) load(ctx context.Context) error {
	if j.Checkpoints == nil {
		return nil
	}
	c, _, err := j.Checkpoints.Load(ctx, j.Name)
	if err != nil {
		return fmt.Errorf("load checkpoint %s: %w", j.Name, err)
	}
	j.report.Checkpoint = c
	return nil
}

// save stores how far the job has come. What has been done is not undone if ctx has ended.
func (j *job) save(ctx context.Context) error {
	if j.Checkpoints == nil || j.report.Matched == 0 {
		return nil
	}
	if err := j.Checkpoints.Save(context.WithoutCancel(ctx), j.Name, j.report.Checkpoint); err != nil {
		return fmt.Errorf("save checkpoint %s: %w", j.Name, err)
	}
	return nil
}

// over has the job forgotten.
func (j *job) over(ctx context.Context) error {
	if j.Checkpoints == nil {
		return nil
	}
	if err := j.Checkpoints.Remove(context.WithoutCancel(ctx), j.Name); err != nil {
		return fmt.Errorf("remove checkpoint %s: %w", j.Name, err)
	}
	return nil
}
