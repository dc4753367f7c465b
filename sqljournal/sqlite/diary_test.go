package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
)

// checkStored checks what is stored against what was acknowledged, and returns how many of the latter are lost.
func checkStored(t *testing.T, stored, acked []numbered) (lost int) {
	in := make(map[numbered]bool)
	next := make(map[string]int)
	for _, e := range stored {
		assert.False(t, in[e], "%v is stored twice", e)
		in[e] = true
		assert.Equal(t, next[e.EventKey()], e.N, "of publisher %s", e.EventKey())
		next[e.EventKey()]++
	}
	for _, e := range acked {
		if !in[e] {
			lost++
		}
	}
	assert.Zero(t, lost, "acknowledged and lost")
	return lost
}

// condemned returns what has become a dead letter of a subscriber: it was in flight at three kills in a row (G30).
func condemned(t *testing.T, letters []jitney.DeadLetter, name string) map[numbered]bool {
	events := make(map[numbered]bool)
	for _, l := range letters {
		if l.Subscriber == name {
			require.Equal(t, jitney.ReasonCrashed, l.Reason)
			events[l.Envelope.Event.(numbered)] = true
		}
	}
	return events
}

// length is how long a file is, which a child that was killed early has not made.
func length(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	require.NoError(t, err)
	return info.Size()
}

// livesIn reads what a subscriber has written down in each life of the child, and last in this process.
func livesIn(t *testing.T, path string, ends []int64) (lives [][]numbered) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	begin := int64(0)
	for _, end := range append(ends, int64(len(text))) {
		var list []numbered
		for line := range strings.Lines(string(text[begin:end])) {
			list = append(list, parse(t, line))
		}
		lives = append(lives, list)
		begin = end
	}
	return lives
}

// effects returns what the subscriber with the inbox has done, in the order in which it was committed.
func effects(t *testing.T, j *sqlite.Journal) (list []numbered) {
	require.NoError(t, j.Tx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT event FROM effects ORDER BY rowid`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			list = append(list, parse(t, text))
		}
		return rows.Err()
	}))
	return list
}

// diary is what a subscriber has handled in each life.
type diary struct {
	name      string
	condemned map[numbered]bool
	lives     [][]numbered
}

// check checks that everything stored has been handled, but perhaps for what is condemned, once in a life and in order
// within each publisher. It returns how much that is, and how much of what each life had handled was handled again.
func (d diary) check(t *testing.T, stored []numbered) (handled int, again []int) {
	in := make(map[numbered]int) // the life that has handled it last
	next := make(map[string]int)
	again = make([]int, len(d.lives))
	inversions, twice := 0, 0
	for life, list := range d.lives {
		for _, e := range list {
			before, seen := in[e]
			in[e] = life
			if seen {
				again[before]++
				if before == life {
					twice++
				}
				continue
			}
			if d.due(next[e.EventKey()], e) != e {
				inversions++
			}
			next[e.EventKey()] = e.N + 1
		}
	}
	assert.Zero(t, twice, "%s: twice in one life", d.name)
	assert.Zero(t, inversions, "%s: out of order within a publisher", d.name)
	accounted := len(in)
	for e := range d.condemned {
		if _, seen := in[e]; !seen { // it had been handled, perhaps, and not been settled
			accounted++
		}
	}
	assert.Equal(t, len(stored), accounted, "%s has handled everything, but for what became a dead letter", d.name)
	return len(in), again
}

// due returns the first event from n on that was to come where e came: what is condemned need not.
func (d diary) due(n int, e numbered) numbered {
	due := e
	for due.N = n; d.condemned[due] && due != e; due.N++ {
	}
	return due
}

func sum(list []int) (n int) {
	for _, m := range list {
		n += m
	}
	return n
}
