package sqljournal

import (
	"context"
	"fmt"
)

// Place is how far a subscriber is, in whatever process.
type Place struct {
	Subscriber string
	// Position is the position up to which it has settled everything, or put it aside. Behind is how many events come
	// after that; those that are not for it are among them, until it has looked at them.
	Position, Behind int64
	// Waiting is how many events wait for another attempt, or have been in the handler for very long; Unknown, how many
	// for a program that knows them; Replaying, how many are to be given again.
	Waiting, Unknown, Replaying int64
}

// Done reports whether the subscriber has nothing to do, but for what its program does not know.
func (p Place) Done() bool { return p.Behind == 0 && p.Waiting == 0 && p.Replaying == 0 }

// Places returns how far all subscribers are that have a place in the journal, by name. What they have settled within
// the last 50 ms may be missing.
func (j *Journal) Places(ctx context.Context) (list []Place, err error) {
	end, err := j.End(ctx)
	if err == nil {
		err = j.each(ctx, `SELECT name, position FROM {p}subscriber ORDER BY name`, func(scan func(...any) error) error {
			var p Place
			err := scan(&p.Subscriber, &p.Position)
			p.Behind = max(0, end-p.Position)
			list = append(list, p)
			return err
		})
	}
	aside := make(map[string][asideReasons]int64)
	if err == nil {
		err = j.each(ctx, `SELECT subscriber, reason, COUNT(*) FROM {p}aside GROUP BY subscriber, reason`, func(scan func(...any) error) error {
			var name string
			var reason int
			var n int64
			err := scan(&name, &reason, &n)
			if counts := aside[name]; reason < asideReasons {
				counts[reason] = n
				aside[name] = counts
			}
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("sqljournal: places: %w", err)
	}
	for i := range list {
		p := &list[i]
		n := aside[p.Subscriber]
		p.Waiting, p.Unknown, p.Replaying = n[asideWaits]+n[asideLate], n[asideUnknown], n[asideReplay]
	}
	return list, nil
}
