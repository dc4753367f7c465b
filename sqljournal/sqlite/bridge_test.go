package sqlite_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/bridge"
	"github.com/jitney-go/jitney/sqljournal/sqlite"
	"github.com/jitney-go/jitney/wire"
)

// crossed is an event that goes across an engine.
type crossed struct {
	Key string
	N   int
}

func (crossed) EventType() string  { return "test.crossed" }
func (c crossed) EventKey() string { return c.Key }

// unsure is an engine that does not know, every third time, whether it has stored what it has stored.
type unsure struct {
	jitney.Journal
	n atomic.Int64
}

// Append implements jitney.Journal.
func (u *unsure) Append(ctx context.Context, envs ...*jitney.Envelope) error {
	if err := u.Journal.Append(ctx, envs...); err != nil {
		return err
	}
	if u.n.Add(1)%3 == 0 {
		return jitney.ErrIndeterminate
	}
	return nil
}

// side is a bus on a database of its own, and both ways of a bridge.
type side struct {
	name string
	kept *sqlite.Journal
	bus  *jitney.Bus
	ways [2]*bridge.Way
}

func openSide(t *testing.T, dir, name string, types *wire.Types, engine jitney.Journal) *side {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	kept, err := sqlite.Open(t.Context(), filepath.Join(dir, name+".db"), types)
	require.NoError(t, err)
	s := &side{name: name, kept: kept, bus: jitney.New(jitney.WithLogger(logger), jitney.WithJournal(kept))}
	ends := bridge.Ends{Bus: s.bus, Here: name, Engine: engine, There: "engine", Logger: logger}
	fast := jitney.WithRetry(jitney.Retry{Attempts: 1 << 20, Base: time.Millisecond, Max: time.Millisecond})
	s.ways[0] = bridge.Out[jitney.Event](ends, name+"-out", jitney.WithWorkers(4), fast)
	s.ways[1] = bridge.In[jitney.Event](ends, name+"-in", jitney.WithWorkers(4), fast)
	return s
}

func (s *side) close(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, w := range s.ways {
		require.NoError(t, w.Close(ctx))
		assert.Zero(t, w.Stats().Refused, "%s: %+v", w.Name(), w.Stats())
	}
	require.NoError(t, s.bus.Shutdown(ctx))
	require.NoError(t, s.kept.Close(ctx))
}

// Two databases with a third one between them, and each side is closed and opened again in the middle: each has all
// events, once, in the order of each key.
func TestBridgeBetweenDatabases(t *testing.T) {
	const lives, each, keys = 3, 100, 5
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir, types := t.TempDir(), wire.NewTypes()
	wire.Register[crossed](types)
	stored, err := sqlite.Open(ctx, filepath.Join(dir, "engine.db"), types)
	require.NoError(t, err)
	engine := &unsure{Journal: stored}
	for life := range lives {
		sides := []*side{openSide(t, dir, "a", types, engine), openSide(t, dir, "b", types, engine)}
		for n := range each {
			for _, s := range sides {
				require.NoError(t, s.bus.Publish(ctx, crossed{fmt.Sprint(s.name, n%keys), life*each + n}))
			}
		}
		if life == lives-1 {
			for _, s := range sides {
				require.NoError(t, s.bus.Flush(ctx))
			}
			for _, s := range sides {
				require.NoError(t, s.ways[1].Bus().Flush(ctx))
			}
		}
		for _, s := range sides {
			s.close(ctx, t)
		}
	}
	require.NoError(t, stored.Close(ctx))
	for _, name := range []string{"a", "b"} {
		j, err := sqlite.Open(ctx, filepath.Join(dir, name+".db"), types)
		require.NoError(t, err)
		c, err := j.Open(ctx, jitney.Durable{Name: "reader", From: jitney.FromBeginning()})
		require.NoError(t, err)
		next := make(map[string]int)
		for n := 0; n < 2*lives*each; {
			entries, _, err := c.Next(ctx, 1000)
			require.NoError(t, err)
			for _, e := range entries {
				at := e.Envelope.Event.(crossed)
				assert.Equal(t, next[at.Key], at.N/keys, "key %s at %s", at.Key, name)
				next[at.Key]++
			}
			n += len(entries)
		}
		end, err := j.End(ctx)
		require.NoError(t, err)
		assert.EqualValues(t, 2*lives*each, end)
		require.NoError(t, c.Close(ctx))
		require.NoError(t, j.Close(ctx))
	}
}
