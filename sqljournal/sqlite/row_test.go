package sqlite_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"hash/crc32"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
)

// What FuzzRow puts into which column.
const (
	null = iota
	integer
	float
	text
	blob
	kinds
)

var columns = [...]string{"pos", "id", "type", "at", "attributes", "data", "crc"}

// FuzzRow has one row of the log say anything. That row is corrupt, or an event that is unknown, and those before and
// behind it are read. The row's checksum may fit what it says, as if a program had written it that should not.
func FuzzRow(f *testing.F) {
	for column := range columns {
		for kind := range kinds {
			f.Add(uint8(column), uint8(kind), int64(-1), []byte("x"), false)
		}
	}
	f.Add(uint8(0), uint8(integer), int64(-1<<63), []byte{}, false)
	f.Add(uint8(6), uint8(integer), int64(1<<32), []byte{}, false)
	for _, attributes := range []string{`{`, `null`, `{}`, `{"source":1}`, `{"time":"yesterday","source":"jitney"}`} {
		f.Add(uint8(4), uint8(text), int64(0), []byte(attributes), true)
	}
	for _, data := range []string{``, `{`, `null`, `[]`, `{"N":"one"}`, "\xff"} {
		f.Add(uint8(5), uint8(blob), int64(0), []byte(data), true)
	}
	const future = `{"datacontenttype":"application/json","eventversion":"99","source":"jitney","time":"2026-11-21T15:40:55Z"}`
	f.Add(uint8(4), uint8(text), int64(0), []byte(future), true)
	f.Add(uint8(2), uint8(text), int64(0), []byte("nobody.knows"), true)
	f.Add(uint8(2), uint8(text), int64(0), []byte{}, true)
	f.Add(uint8(3), uint8(integer), int64(-1<<63), []byte{}, true)

	j := threeEvents(f)
	f.Fuzz(func(t *testing.T, column, kind uint8, number int64, bytes []byte, fits bool) {
		name := columns[int(column)%len(columns)]
		var value any
		switch kind % kinds {
		case integer:
			value = number
		case float:
			value = float64(number) + 0.5
		case text:
			value = string(bytes)
		case blob:
			value = append([]byte{}, bytes...)
		}
		ctx := context.Background()
		require.NoError(t, j.Exec(ctx, `UPDATE jitney_log SET (id, type, at, attributes, data, crc) =
			(SELECT id, type, at, attributes, data, crc FROM original) WHERE pos = 2`))
		if name == "pos" { // SQLite sees to it that there is one, and that it is a number
			number |= -1 << 63
			require.NoError(t, j.Exec(ctx, `INSERT INTO jitney_log
				SELECT ?, zeroblob(16), type, at, attributes, data, crc FROM original`, number))
			defer func() { require.NoError(t, j.Exec(ctx, `DELETE FROM jitney_log WHERE pos < 0`)) }()
		} else {
			require.NoError(t, j.Exec(ctx, `UPDATE jitney_log SET `+name+` = ? WHERE pos = 2`, value))
		}
		if fits && name != "crc" {
			seal(t, j)
		}
		entries := readAll(t, j)
		require.Len(t, entries, 3)
		for i, e := range entries {
			require.EqualValues(t, i+1, e.Position)
			if i != 1 {
				require.NoError(t, e.Err)
				require.Equal(t, numbered{N: i}, e.Envelope.Event)
				continue
			}
			if e.Err == nil {
				require.NotNil(t, e.Envelope.Event)
				if !fits {
					require.Equal(t, numbered{N: i}, e.Envelope.Event, "it is what it was")
				}
			} else if !fits {
				require.ErrorIs(t, e.Err, sqljournal.ErrCorrupt)
			}
		}
	})
}

// threeEvents is a journal of three events, none of which is in memory, whose log takes any value in any column, as a
// damaged page may have it; the second one's row is in the table original as well.
func threeEvents(f *testing.F) *sqlite.Journal {
	ctx := context.Background()
	path := filepath.Join(f.TempDir(), "journal.db")
	j, err := openAt(path)
	require.NoError(f, err)
	require.NoError(f, j.Exec(ctx, `DROP TABLE jitney_log`))
	require.NoError(f, j.Exec(ctx, `CREATE TABLE jitney_log (pos INTEGER PRIMARY KEY, id, type, at, attributes, data, crc)`))
	b := jitney.New(jitney.WithJournal(j))
	for n := range 3 {
		require.NoError(f, b.Publish(ctx, numbered{N: n}))
	}
	require.NoError(f, b.Shutdown(ctx))
	require.NoError(f, j.Exec(ctx, `CREATE TABLE original AS SELECT * FROM jitney_log WHERE pos = 2`))
	require.NoError(f, j.Close(ctx))
	j, err = openAt(path)
	require.NoError(f, err)
	require.NoError(f, j.Exec(ctx, `PRAGMA synchronous = OFF`))
	f.Cleanup(func() { assert.NoError(f, j.Close(ctx)) })
	return j
}

// seal makes the second row's checksum fit, if its columns are of the types that they should be.
func seal(t *testing.T, j *sqlite.Journal) {
	ctx := context.Background()
	require.NoError(t, j.Tx(ctx, func(ctx context.Context, _ *sql.Tx) error {
		var id, data []byte
		var typ, attributes string
		var at int64
		tx := j.TxOf(ctx)
		row := tx.QueryRowContext(ctx, `SELECT id, type, at, attributes, data FROM jitney_log WHERE pos = 2`)
		if row.Scan(&id, &typ, &at, &attributes, &data) != nil {
			return nil //nolint:nilerr // no checksum fits such a row
		}
		var crc uint32
		table := crc32.MakeTable(crc32.Castagnoli)
		for _, part := range [][]byte{id, []byte(typ), binary.LittleEndian.AppendUint64(nil, uint64(at)), []byte(attributes), data} {
			crc = crc32.Update(crc, table, binary.LittleEndian.AppendUint64(nil, uint64(len(part))))
			crc = crc32.Update(crc, table, part)
		}
		_, err := tx.ExecContext(ctx, `UPDATE jitney_log SET crc = ? WHERE pos = 2`, int64(crc))
		return err
	}))
}

// readAll reads the log from its beginning, as a new subscriber does.
func readAll(t *testing.T, j *sqlite.Journal) (entries []jitney.Entry) {
	ctx := context.Background()
	c, err := j.Open(ctx, jitney.Durable{Name: "reader", From: jitney.FromBeginning(), Window: 10})
	require.NoError(t, err)
	for through := int64(0); through < 3; {
		var some []jitney.Entry
		some, through, err = c.Next(ctx, 10)
		require.NoError(t, err)
		entries = append(entries, some...)
	}
	require.NoError(t, c.Close(ctx))
	return entries
}
