package sqljournal

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// Dialect is what differs from one database to another. The packages sqlite, postgres and mysql have one each.
type Dialect struct {
	Name string
	// Numbered says that placeholders are $1, $2 …, not ?.
	Numbered bool
	// Shared says that other processes write too.
	Shared bool
	// The column types for a number, an ID of 16 bytes, a name, a text and bytes.
	Number, ID, Label, Text, Bytes string
	// Serial is a primary key whose values rise with the inserts.
	Serial string
	// TableOptions stand behind the definition of a table.
	TableOptions string
	// Begin starts a transaction that writes; Lock stands behind a SELECT and locks what it finds until the end.
	Begin, Lock string
	// LockSchema keeps other processes from changing the schema until the end of the transaction, or UnlockSchema.
	LockSchema, UnlockSchema string
	// Now is the database's own time in ms.
	Now string
	// Insert, and OnConflict at its end, insert a row if none of its key is there.
	Insert, OnConflict string
	// Check returns an error that wraps jitney.ErrNotDurable if a commit on conn may be lost. Tables are the names of the
	// journal's, which may not be there yet.
	Check func(ctx context.Context, conn *sql.Conn, tables []string) error
	// Classify says what an error of the driver's means.
	Classify func(error) Fault
}

// Fault is what an error of a database means to the journal.
type Fault int

const (
	// Other is an error of which nothing is known.
	Other Fault = iota
	// Duplicate says that a unique key is there already.
	Duplicate
	// Busy says that the same may succeed if it is tried again: a lock, a deadlock, a serialization failure.
	Busy
	// Full says that there is no space left.
	Full
	// Lost says that the connection is gone.
	Lost
)

// next selects the position of the next event.
func (d *Dialect) next() string {
	if d.Shared {
		return "next FROM {p}head WHERE id = 1"
	}
	return "COALESCE(MAX(pos), 0) + 1 FROM {p}log"
}

// sql makes a statement of a template: {next} selects the position of the next event, {p} is the prefix of the tables, ? a placeholder, and {number} and the like are
// column types.
func (d *Dialect) sql(prefix, template string) string {
	text := strings.NewReplacer("{p}", prefix, "{number}", d.Number, "{id}", d.ID, "{label}", d.Label, "{text}", d.Text,
		"{bytes}", d.Bytes, "{serial}", d.Serial, "{options}", d.TableOptions, "{next}", strings.ReplaceAll(d.next(), "{p}", prefix), "{lock}", d.Lock, "{now}", d.Now).Replace(template)
	if !d.Numbered {
		return text
	}
	var b strings.Builder
	for n, rest := 1, text; ; n++ {
		before, after, found := strings.Cut(rest, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
		rest = after
	}
}

// InsertNew is a statement that inserts a row if none of its key is there, and waits for whoever is inserting it.
func (d *Dialect) InsertNew(table, rest string) string {
	return d.Insert + " INTO " + table + " " + rest + d.OnConflict
}
