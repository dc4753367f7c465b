package benchmarks

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal"
)

// End returns how many events p has.
func End(ctx context.Context, p Place) (end int64, err error) {
	j, err := p.Journal(ctx)
	if err != nil {
		return 0, err
	}
	end, err = j.End(ctx)
	return end, errors.Join(err, j.Close(ctx))
}

// FillPlace stores n events, together where the engine can.
func FillPlace(ctx context.Context, p Place, n int64) (err error) {
	j, err := p.Journal(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close(ctx)) }()
	if err = fillTogether(ctx, j, n); errors.Is(err, natsjournal.ErrNoBatches) {
		err = fillSingly(ctx, j, n)
	}
	return err
}

func fillTogether(ctx context.Context, j Journal, n int64) error {
	const most = 500
	for first := int64(0); first < n; first += most {
		var envs []*jitney.Envelope
		for seq := first; seq < min(first+most, n); seq++ {
			envs = append(envs, sealed(NewCarried(0, seq)))
		}
		if err := j.Append(ctx, envs...); err != nil {
			return err
		}
	}
	return nil
}

func fillSingly(ctx context.Context, j Journal, n int64) error {
	var all sync.WaitGroup
	errs := make([]error, witnessed)
	for publisher := range witnessed {
		all.Go(func() {
			for seq := range (n + int64(witnessed-1-publisher)) / witnessed {
				if errs[publisher] = j.Append(ctx, sealed(NewCarried(publisher, seq))); errs[publisher] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func sealed(e Stored) *jitney.Envelope {
	return &jitney.Envelope{ID: uuid.Must(uuid.NewV7()), Type: e.EventType(), Version: 1, Time: time.Now(), Event: e}
}
