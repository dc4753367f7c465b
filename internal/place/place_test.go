package place

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

func TestTheFloorRisesBehindWhatIsNotSettled(t *testing.T) {
	p := New(10, []int64{13})
	for _, pos := range []int64{11, 12} {
		require.True(t, p.Give(pos))
	}
	require.False(t, p.Give(13), "it was settled before")
	require.True(t, p.Give(20))
	require.EqualValues(t, 10, p.Floor())
	require.True(t, p.Settle(12, jitney.Settled))
	require.False(t, p.Settle(12, jitney.Settled), "twice")
	require.EqualValues(t, 10, p.Floor())
	require.Equal(t, []int64{12, 13}, p.Changes().Ahead)
	require.True(t, p.Settle(11, jitney.Settled))
	require.EqualValues(t, 19, p.Floor())
	require.True(t, p.Settle(20, jitney.Settled))
	p.Pass(25)
	require.EqualValues(t, 25, p.Floor())
	require.Empty(t, p.Flying())
}

func TestWhatIsPutAsideStaysInFlight(t *testing.T) {
	p := New(0, nil)
	require.True(t, p.Give(1) && p.Give(2) && p.Give(3))
	require.True(t, p.Postpone(1, jitney.Progress{Attempts: 2}))
	require.True(t, p.Settle(2, jitney.Unknown))
	require.EqualValues(t, 2, p.Floor())
	require.Equal(t, []int64{1, 3}, p.Flying())
	c := p.Changes()
	require.Equal(t, Waits, c.Aside[1].Reason)
	require.Equal(t, 2, c.Aside[1].Progress.Attempts)
	require.Equal(t, Unknown, c.Aside[2].Reason)
	require.False(t, p.GiveAside(1), "it is in flight")
	require.True(t, p.Settle(1, jitney.Settled))
	p.Failed(c)
	c = p.Changes()
	require.Nil(t, c.Aside[1], "newer than what was not stored")
	require.NotNil(t, c.Aside[2])
	require.Len(t, c.Aside, 2)
}

func TestWhatTakesLongIsPutAside(t *testing.T) {
	p := New(0, nil)
	for pos := int64(1); pos <= 2*MaxAhead; pos++ {
		require.True(t, p.Give(pos))
		if pos > 1 {
			p.Settle(pos, jitney.Settled)
		}
	}
	require.Greater(t, p.Floor(), int64(MaxAhead/2))
	c := p.Changes()
	require.LessOrEqual(t, len(c.Ahead), MaxAhead)
	require.Equal(t, Late, c.Aside[1].Reason)
	require.True(t, p.InFlight(1))
}

// Whatever is settled in whatever order, and wherever the process dies: what comes again is what was not settled.
func TestNothingIsLostNorSettledTwice(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		const n = 200
		settled := make(map[int64]bool)
		var floor int64
		var stored []byte
		aside := make(map[int64]*Note)
		for len(settled) < n {
			ahead, err := ReadAhead(floor, stored)
			require.NoError(t, err)
			p := New(floor, ahead)
			var flying []int64
			for pos, note := range aside {
				require.False(t, settled[pos], "seed %d: %d is aside for %v", seed, pos, note)
				require.True(t, p.GiveAside(pos))
				flying = append(flying, pos)
			}
			slices.Sort(flying)
			for pos := floor + 1; pos <= n; pos++ {
				if p.Give(pos) {
					require.False(t, settled[pos] || aside[pos] != nil, "seed %d: %d again", seed, pos)
					flying = append(flying, pos)
				}
				if r.IntN(3) == 0 {
					break
				}
			}
			for range r.IntN(len(flying) + 1) {
				i := r.IntN(len(flying))
				if r.IntN(4) == 0 {
					require.True(t, p.Postpone(flying[i], jitney.Progress{}))
					continue
				}
				require.True(t, p.Settle(flying[i], jitney.Settled))
				settled[flying[i]] = true
				flying = slices.Delete(flying, i, i+1)
			}
			slices.Sort(flying)
			require.True(t, slices.Equal(flying, p.Flying()), "seed %d: %v in flight, expected %v", seed, p.Flying(), flying)
			c := p.Changes()
			floor, stored = c.Floor, AppendAhead(nil, c.Floor, c.Ahead)
			for pos, note := range c.Aside {
				if aside[pos] = note; note == nil {
					delete(aside, pos)
				}
			}
		}
	}
}

func FuzzReadAhead(f *testing.F) {
	f.Add(int64(0), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, floor int64, b []byte) {
		positions, err := ReadAhead(max(floor, 0), b)
		if err != nil {
			return
		}
		again, err := ReadAhead(max(floor, 0), AppendAhead(nil, max(floor, 0), positions))
		require.NoError(t, err)
		require.Equal(t, positions, again)
	})
}
