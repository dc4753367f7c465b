package jitney

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestClockFollowsTime(t *testing.T) {
	var c clock
	synctest.Test(t, func(t *testing.T) {
		for _, step := range []time.Duration{0, 1, time.Millisecond, maxClockAge - 1, maxClockAge, time.Hour} {
			time.Sleep(step)
			assert.Equal(t, time.Now().UnixNano(), c.now())
		}
	})
	assert.WithinDuration(t, time.Now(), time.Unix(0, c.now()), time.Minute, "a bubble's time does not leave it")
	synctest.Test(t, func(t *testing.T) {
		assert.Equal(t, time.Now().UnixNano(), c.now(), "nor does ours get into one")
	})
}

func TestClockFollowsAWallClockThatIsSet(t *testing.T) {
	var c clock
	set := time.Now().Add(-maxClockAge) // as read by the monotonic clock: its wall clock is then set on
	c.last.Store(&reading{set, set.Add(time.Hour).UnixNano()})
	assert.WithinDuration(t, time.Now(), time.Unix(0, c.now()), time.Minute)
}

func TestIDText(t *testing.T) {
	for range 100 {
		id := ids.next(time.Now().UnixNano())
		assert.Equal(t, id.String(), idText(id))
	}
}
