package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
)

// Redrive is a job that sends dead letters back to the subscribers that could not handle them, one after
// the other, oldest first. A letter stays in its store until its redelivery has succeeded: however the job
// ends, no letter is lost, and none but the one under way may be handled again.
//
// Bus and Store are required; each other field that is zero asks for nothing.
type Redrive struct {
	Bus   *jitney.Bus
	Store jitney.DeadLetterStore

	// Filter and Only select the letters. Those that die after the job has begun are not among them, nor
	// does it try a letter twice.
	Filter jitney.DeadLetterFilter
	Only   func(jitney.DeadLetter) bool

	// DryRun selects, calls Edit, and reports; it changes nothing.
	DryRun bool
	// Canary is how many letters are tried first. If any of them fails the job ends, with ErrCanary.
	Canary int
	// Rate is how many letters are sent back a second, at most. Default: no limit.
	Rate float64
	// MaxFailures is the share of failures, up to 1, beyond which the job ends, with ErrTooManyFailures. It
	// is looked at from the MinTried-th letter on. Default: it does not end for failures; and 10.
	MaxFailures float64
	MinTried    int

	// Edit returns what to put in the place of the letter's event, or nil to leave it as it is; the
	// original is kept (see jitney.Bus.Amend). An error leaves the letter alone, and counts as a failure. A
	// letter that has been edited in an earlier run has its Original set.
	Edit func(jitney.DeadLetter) (jitney.Event, error)

	// OnProgress is called after each letter, by the goroutine of Run.
	OnProgress func(Report)

	// From goes on with a job that has ended early: it is the Checkpoint of its report.
	From Checkpoint
	// Name and Checkpoints have a job outlive its process: the checkpoint is stored under Name when it begins and after
	// each letter, and removed when it has come to its end. Run goes on from what is stored, if there is anything; From
	// must be zero. One job of a name may run at a time. A job that has ended for its failures is stored too: Remove
	// begins it anew.
	Name        string
	Checkpoints CheckpointStore
}

// Why a job has ended early.
var (
	ErrCanary          = errors.New("a canary has failed")
	ErrTooManyFailures = errors.New("too many failures")
)

// Run does the job, and returns its report also when it ends early: because ctx has ended, with its
// cause, and the letter under way may still be handled; because of ErrCanary or ErrTooManyFailures;
// because the bus is closed or the store fails; or because a field is out of range.
//
// While the breaker of a subscription is open, or it is paused, its letters wait, and so does the job.
func (r Redrive) Run(ctx context.Context) (Report, error) {
	j := &job{Redrive: r, report: Report{DryRun: r.DryRun, Begin: time.Now(), Checkpoint: r.From}}
	err := j.check()
	if err == nil {
		err = j.load(ctx)
	}
	if err == nil {
		err = j.survey(ctx)
	}
	if err == nil && !r.DryRun {
		err = j.save(ctx)
	}
	if err == nil && !r.DryRun {
		err = j.drive(ctx)
	}
	if err == nil && !r.DryRun {
		err = j.over(ctx)
	}
	j.report.Took = time.Since(j.report.Begin)
	if err != nil {
		err = fmt.Errorf("deadletter: redrive: %w", err)
	}
	return j.report, err
}

// job is a run of a Redrive.
type job struct {
	Redrive
	report Report
	due    time.Time // when the next letter may be sent back
}

func (j *job) check() error {
	switch {
	case j.Bus == nil:
		return errors.New("field Bus is nil")
	case j.Store == nil:
		return errors.New("field Store is nil")
	case !(j.Rate >= 0):
		return fmt.Errorf("field Rate: %v is out of range", j.Rate)
	case !(j.MaxFailures >= 0 && j.MaxFailures <= 1):
		return fmt.Errorf("field MaxFailures: %v is out of range", j.MaxFailures)
	case j.Canary < 0:
		return fmt.Errorf("field Canary: %d is out of range", j.Canary)
	case j.Checkpoints != nil && j.Name == "":
		return errors.New("field Name is empty, and Checkpoints are stored by it")
	case j.Checkpoints != nil && j.From != (Checkpoint{}):
		return errors.New("field From is set, and so is Checkpoints")
	}
	if j.MinTried <= 0 {
		j.MinTried = 10
	}
	return nil
}

// each calls f for the letters of the job that are left.
func (j *job) each(ctx context.Context, f func(jitney.DeadLetter) error) error {
	filter := j.Filter
	c := j.report.Checkpoint
	if bytes.Compare(c.After[:], filter.After[:]) > 0 {
		filter.After = c.After
	}
	err := each(ctx, j.Store, filter, func(l jitney.DeadLetter) error {
		if c.Last != uuid.Nil && bytes.Compare(l.ID[:], c.Last[:]) > 0 {
			return errPast
		}
		if j.Only != nil && !j.Only(l) {
			return nil
		}
		return f(l)
	})
	if errors.Is(err, errPast) {
		return nil
	}
	return err
}

var errPast = errors.New("past the last letter of the job")

// survey finds out what the job is about.
func (j *job) survey(ctx context.Context) error {
	var groups summary
	last := j.report.Checkpoint.Last
	err := j.each(ctx, func(l jitney.DeadLetter) error {
		j.report.Matched++
		groups.add(l)
		last = l.ID
		if j.DryRun {
			_, err := j.edit(l)
			if err != nil {
				j.fail(l, err)
			}
		}
		return nil
	})
	j.report.Groups = groups.groups()
	j.report.Checkpoint.Last = last
	return err
}

func (j *job) drive(ctx context.Context) error {
	if j.report.Matched == 0 {
		return nil
	}
	return j.each(ctx, func(l jitney.DeadLetter) error {
		if err := j.wait(ctx); err != nil {
			return err
		}
		if err := j.send(ctx, l); err != nil {
			return err
		}
		j.report.Checkpoint.After = l.ID
		if err := j.save(ctx); err != nil {
			return err
		}
		if j.OnProgress != nil {
			j.report.Took = time.Since(j.report.Begin)
			j.OnProgress(j.report)
		}
		return j.enough()
	})
}

// wait keeps to the rate.
func (j *job) wait(ctx context.Context) error {
	if j.Rate == 0 {
		return nil
	}
	now := time.Now()
	if j.due.Before(now) {
		j.due = now
	}
	t := time.NewTimer(j.due.Sub(now))
	defer t.Stop()
	j.due = j.due.Add(max(time.Duration(float64(time.Second)/j.Rate), 1))
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send edits a letter and sends it back. An error ends the job with the letter still to be done.
func (j *job) send(ctx context.Context, l jitney.DeadLetter) error {
	e, err := j.edit(l)
	if err == nil && e != nil {
		l, err = j.Bus.Amend(ctx, l, e)
	}
	if err == nil {
		err = j.Bus.Redeliver(ctx, l)
	}
	switch {
	case err == nil:
		j.report.Tried++
		j.report.Succeeded++
	case ctx.Err() != nil:
		j.report.Tried++
		j.report.Unknown++
		return err
	case errors.Is(err, jitney.ErrClosed), errors.Is(err, jitney.ErrReentrant):
		return err
	case errors.Is(err, jitney.ErrNoDeadLetter), errors.Is(err, jitney.ErrRedelivering):
		j.report.Gone++
	default:
		j.report.Tried++
		j.fail(l, err)
	}
	return nil
}

func (j *job) fail(l jitney.DeadLetter, err error) {
	j.report.Failed++
	if len(j.report.Failures) < maxFailures {
		f := Failure{Letter: l.ID, Subscriber: l.Subscriber, Err: err}
		if l.Envelope != nil {
			f.Type = l.Envelope.Type
		}
		j.report.Failures = append(j.report.Failures, f)
	}
}

// edit calls Edit, whose panic is an error.
func (j *job) edit(l jitney.DeadLetter) (e jitney.Event, err error) {
	if j.Edit == nil {
		return nil, nil
	}
	defer func() {
		if v := recover(); v != nil {
			e, err = nil, fmt.Errorf("panic in Edit: %v", v)
		}
	}()
	e, err = j.Edit(l)
	if err != nil {
		return nil, fmt.Errorf("edit: %w", err)
	}
	if e != nil {
		j.report.Edited++
	}
	return e, nil
}

// enough says whether, and why, the job must not go on.
func (j *job) enough() error {
	r := &j.report
	switch {
	case r.Tried <= j.Canary && r.Failed > 0:
		return fmt.Errorf("%w: letter %s to %s: %w", ErrCanary, r.Failures[0].Letter, r.Failures[0].Subscriber, r.Failures[0].Err)
	case j.MaxFailures > 0 && r.Tried >= j.MinTried && float64(r.Failed) > j.MaxFailures*float64(r.Tried):
		return fmt.Errorf("%w: %d of %d, such as: %w", ErrTooManyFailures, r.Failed, r.Tried, r.Failures[0].Err)
	}
	return nil
}
