package natsjournal

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// look asks the server how far the stream goes. If there is nothing for the subscriber up to there, that is passed.
func (r *reign) look(ctx context.Context) (passed bool, err error) {
	r.looked = time.Now()
	end, err := r.c.j.end(ctx)
	if err != nil {
		return false, err
	}
	through := r.through()
	if end <= through {
		return false, nil
	}
	ctx, cancel := r.c.j.patiently(ctx, patience)
	defer cancel()
	msg, err := r.c.j.stream.GetMsg(ctx, uint64(through+1), jetstream.WithGetMsgSubject(r.subject()))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return false, because(ctx, err)
	case int64(msg.Sequence) <= end:
		return false, nil // it is about to arrive
	}
	r.notice(ctx, end+1)
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.lost() {
		return false, nil
	}
	r.place.Pass(end)
	r.touch()
	return true, nil
}

// notice says if events have been removed that come before pos, and which the subscriber has not had. One that reads a
// single type cannot tell what they were.
func (r *reign) notice(ctx context.Context, pos int64) {
	from, to := r.through()+1, pos-1
	if from > to {
		return
	}
	if r.c.d.Type != "" {
		if time.Since(time.Unix(0, r.c.j.asked.Load())) > lookEvery {
			if _, err := r.c.j.end(ctx); err != nil {
				return
			}
		}
		to = min(to, r.c.j.oldest.Load()-1)
	}
	if from <= to {
		r.c.j.log.Error("natsjournal: events were removed before their subscriber has had them",
			slog.String("subscriber", r.c.d.Name), slog.Int64("from", from), slog.Int64("to", to),
			slog.Bool("all_for_it", r.c.d.Type == ""))
	}
}
