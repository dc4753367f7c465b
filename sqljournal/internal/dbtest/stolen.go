package dbtest

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// Stolen runs the test of a process that loses its subscribers' places under load and gets them back, as if another
// process had had them and died. Some events are handled again then.
func Stolen(t *testing.T, begin func(t *testing.T) *Database) {
	d := begin(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	db, err := d.Pool()
	must(t, err)
	j, err := d.OpenDB(db, types())
	must(t, err)
	l := begun(ctx, j)
	for range 20 {
		l.goesOn(t, 20)
		<-time.After(rand.N(50 * time.Millisecond))
		for name := range l.heard {
			must(t, d.Execute(ctx, "UPDATE "+d.Prefix+"subscriber SET owner = 'thief', lease_until = 0 WHERE name = '"+name+"'"))
		}
	}
	l.goesOn(t, 20)
	l.end(ctx, t)
	must(t, j.Close(ctx))
	must(t, db.Close())
	l.check(t, everything(t, open(t, d)), true)
}
