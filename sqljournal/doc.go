// Package sqljournal keeps a bus's events in a SQL database, on database/sql: [jitney.Journal] for SQLite, PostgreSQL
// and MySQL or MariaDB. The packages sqlite, postgres and mysql beside this one open one; each brings its driver.
//
//	types := wire.NewTypes()
//	wire.Register[orders.Placed](types)
//
//	j, err := sqlite.Open(ctx, "shop.db", types)
//	b := jitney.New(jitney.WithJournal(j))
//	// … subscribe, publish …
//	err = errors.Join(b.Shutdown(ctx), j.Close(ctx))
//
// Publish returns when its events are committed. Many publishers share one commit: whoever comes while one is under way
// is in the next. Each event is one row, in the order in which it was committed, without gaps. Each subscriber has a
// row with its position: all up to there is settled, and what is settled beyond it is listed. It is written together
// with events, or 50 ms after the first change, or after 64: what was settled since comes again after a crash.
package sqljournal
