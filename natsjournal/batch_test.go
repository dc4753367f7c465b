package natsjournal_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/natsjournal/internal/natstest"
)

// batch is n envelopes from a number on.
func batch(from, n int) (envs []*jitney.Envelope) {
	for i := range n {
		envs = append(envs, sealed(number(from+i)))
	}
	return envs
}

func numbers(list []counted) (ns []int) {
	for _, e := range list {
		ns = append(ns, e.N)
	}
	return ns
}

func TestG20BatchesStandTogether(t *testing.T) {
	j := open(t, natstest.Embedded(t))
	const publishers, each, size = 8, 10, 7
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range each {
				assert.NoError(t, j.Append(t.Context(), batch((p*each+i)*size, size)...))
				assert.NoError(t, j.Append(t.Context(), sealed(number(-1))))
			}
		})
	}
	all.Wait()
	seen := make(map[int]bool)
	in := 0
	for _, n := range numbers(natstest.Everything(t.Context(), t, j)) {
		if n < 0 {
			assert.Zero(t, in, "between the events of a batch")
			continue
		}
		assert.Equal(t, in, n%size)
		in = (in + 1) % size
		assert.False(t, seen[n])
		seen[n] = true
	}
	assert.Len(t, seen, publishers*each*size)
}

func TestG20ABatchThatIsStoredInPartIsCompleted(t *testing.T) {
	j := open(t, natstest.Embedded(t))
	envs := batch(0, 6)
	require.NoError(t, j.Append(t.Context(), envs[1]))
	require.NoError(t, j.Append(t.Context(), envs[3], envs[4]))
	require.NoError(t, j.Append(t.Context(), envs...))
	require.NoError(t, j.Append(t.Context(), envs...), "all of them are stored")
	require.NoError(t, j.Append(t.Context(), envs[:2]...))
	require.NoError(t, j.Append(t.Context(), append(batch(6, 1), envs[5])...))
	require.NoError(t, j.Append(t.Context(), append(batch(7, 2), envs[5], envs[5])...))
	assert.Equal(t, []int{1, 3, 4, 0, 2, 5, 6, 7, 8}, numbers(natstest.Everything(t.Context(), t, j)))

	other := *envs[2]
	other.Event = number(99)
	require.ErrorIs(t, j.Append(t.Context(), append(batch(9, 1), &other)...), jitney.ErrIDConflict)
	require.ErrorIs(t, j.Append(t.Context(), envs[0], &other, envs[2]), jitney.ErrIDConflict)
	assert.Len(t, natstest.Everything(t.Context(), t, j), 9, "nothing more is stored")
}

func TestG19TheSameBatchFromManyIsStoredOnce(t *testing.T) {
	j := open(t, natstest.Embedded(t))
	for round := range 5 {
		envs := batch(round*10, 10)
		var all sync.WaitGroup
		for p := range 8 {
			all.Go(func() {
				if p%2 == 0 {
					assert.NoError(t, j.Append(t.Context(), envs...))
				} else {
					assert.NoError(t, j.Append(t.Context(), envs[p:]...))
				}
			})
		}
		all.Wait()
	}
	seen := make(map[int]bool)
	for _, n := range numbers(natstest.Everything(t.Context(), t, j)) {
		assert.False(t, seen[n], "%d is stored twice", n)
		seen[n] = true
	}
	assert.Len(t, seen, 50)
}

func TestABatchLargerThanTheServerTakesIsRefused(t *testing.T) {
	j := open(t, natstest.Embedded(t))
	err := j.Append(t.Context(), batch(0, 1001)...)
	require.ErrorContains(t, err, "1000")
	require.NotErrorIs(t, err, jitney.ErrIndeterminate)
	require.NoError(t, j.Append(t.Context(), batch(0, 1000)...))
	assert.Len(t, natstest.Everything(t.Context(), t, j), 1000)
}
