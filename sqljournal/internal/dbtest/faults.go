package dbtest

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"
)

// Cuts runs the test of a journal whose connections are cut under load: at once, for a while, and so that the server
// commits and nobody hears of it.
func Cuts(t *testing.T, begin func(t *testing.T) *Database) {
	d, p := begin(t), NewProxy(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db, err := d.Dialled(p.Dial)
	must(t, err)
	j, err := d.OpenDB(db, types())
	must(t, err)
	l := begun(ctx, j)
	cuts := [...]func(){
		func() { p.Cut(0) },
		func() { p.CutAt("COMMIT", true) },
		func() { p.CutAt("SELECT position FROM", false) }, // while it is asked whose place that is
		func() { p.Cut(50*time.Millisecond + rand.N(150*time.Millisecond)) },
		p.CutReplies,
		func() { p.CutAt("COMMIT", false) },
	}
	for i := range 4 * len(cuts) {
		<-time.After(20*time.Millisecond + rand.N(100*time.Millisecond))
		cuts[i%len(cuts)]()
	}
	for range 50 { // what was cut so far may have been but settlements
		if l.doubts() > 0 {
			break
		}
		p.CutAt("COMMIT", true)
		l.goesOn(t, 20)
	}
	l.goesOn(t, 100)
	l.end(ctx, t)
	must(t, j.Close(ctx))
	must(t, db.Close())
	l.check(t, everything(t, open(t, d)), false)
	if l.indeterminate == 0 {
		t.Error("no commit was indeterminate: the cuts have missed them")
	}
}

var silence = flag.Bool("silence", false, "run the tests of connections that go silent, which take half a minute")

// Silences runs the test of a journal whose connections go silent under load: it gives them up by itself.
func Silences(t *testing.T, begin func(t *testing.T) *Database) {
	if !*silence {
		t.Skip("left out without -silence: it waits for half a minute")
	}
	d, p := begin(t), NewProxy(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	db, err := d.Dialled(p.Dial)
	must(t, err)
	j, err := d.OpenDB(db, types())
	must(t, err)
	l := begun(ctx, j)
	l.goesOn(t, 100)
	p.Silence()
	l.goesOn(t, 100)
	l.end(ctx, t)
	must(t, j.Close(ctx))
	must(t, db.Close())
	l.check(t, everything(t, open(t, d)), false)
}

// Restarts runs the test of a journal whose server is killed and started again under load.
func Restarts(t *testing.T, s *Own, d *Database) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	j, err := d.Open(types())
	must(t, err)
	l := begun(ctx, j)
	// PostgreSQL takes SIGQUIT for an immediate shutdown, of all its processes, MariaDB for an orderly one.
	for _, by := range []os.Signal{os.Kill, syscall.SIGQUIT, os.Kill, syscall.SIGQUIT, os.Kill} {
		l.goesOn(t, 200)
		<-time.After(rand.N(200 * time.Millisecond))
		s.End(by)
		s.Start(t)
	}
	l.goesOn(t, 200)
	l.end(ctx, t)
	must(t, j.Close(ctx))
	l.check(t, everything(t, open(t, d)), false)
}
