package jitney_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
)

func TestG10Retry(t *testing.T) {
	bubble(t, func(t *testing.T, b *jitney.Bus) {
		var at []time.Duration
		begin := time.Now()
		jitney.Subscribe(b, "s", func(ctx context.Context, _ fact) error {
			at = append(at, time.Since(begin))
			assert.Equal(t, len(at), jitney.FromContext(ctx).Attempt)
			return errBoom
		}, jitney.WithRetry(jitney.Retry{Attempts: 5, Base: time.Second, Max: 3 * time.Second, Jitter: jitney.NoJitter}))
		require.NoError(t, b.Publish(t.Context(), fact{}))
		require.NoError(t, b.Flush(t.Context()))
		assert.Equal(t, []time.Duration{0, 1 * time.Second, 3 * time.Second, 6 * time.Second, 9 * time.Second}, at)
	})
}

func TestRetryNext(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		r       jitney.Retry
		attempt int
		elapsed time.Duration
		random  float64
		wait    time.Duration
		again   bool
	}{
		"zero value":        {jitney.Retry{}, 1, 0, 0.5, 50 * time.Millisecond, true},
		"five attempts":     {jitney.Retry{}, 5, 0, 0, 0, false},
		"doubles":           {jitney.Retry{Base: s, Jitter: jitney.NoJitter}, 3, 0, 0, 4 * s, true},
		"up to max":         {jitney.Retry{Base: s, Max: 3 * s, Jitter: jitney.NoJitter}, 3, 0, 0, 3 * s, true},
		"equal jitter":      {jitney.Retry{Base: 4 * s, Jitter: jitney.EqualJitter}, 1, 0, 0.5, 3 * s, true},
		"max below base":    {jitney.Retry{Base: 40 * s, Max: s, Jitter: jitney.NoJitter}, 1, 0, 0, 40 * s, true},
		"no time left":      {jitney.Retry{Base: s, MaxElapsed: 10 * s, Jitter: jitney.NoJitter}, 1, 9500 * time.Millisecond, 0, 0, false},
		"just enough time":  {jitney.Retry{Base: s, MaxElapsed: 10 * s, Jitter: jitney.NoJitter}, 1, 9 * s, 0, s, true},
		"after 64 attempts": {jitney.Retry{Attempts: 1000, Base: s, Max: 7 * s, Jitter: jitney.NoJitter}, 100, 0, 0, 7 * s, true},
	} {
		t.Run(name, func(t *testing.T) {
			wait, again := c.r.Next(c.attempt, c.elapsed, c.random)
			assert.Equal(t, c.wait, wait)
			assert.Equal(t, c.again, again)
		})
	}
}

func TestFullJitterIsUniform(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	policy := jitney.Retry{Base: time.Second}
	var sum time.Duration
	const n = 100_000
	for range n {
		wait, _ := policy.Next(1, 0, r.Float64())
		sum += wait
	}
	assert.InEpsilon(t, float64(time.Second)/2, float64(sum/n), 0.02)
}

func FuzzRetryNext(f *testing.F) {
	f.Add(5, int64(1), int64(1), int64(0), 0, 1, int64(0), 0.5)
	f.Add(math.MaxInt, int64(math.MaxInt64), int64(math.MaxInt64), int64(0), 2, math.MaxInt32, int64(math.MaxInt64), 0.999)
	f.Fuzz(func(t *testing.T, attempts int, base, most, elapsedMost int64, jitter, attempt int, elapsed int64, random float64) {
		r := jitney.Retry{Attempts: attempts, Base: time.Duration(base), Max: time.Duration(most), MaxElapsed: time.Duration(elapsedMost), Jitter: jitney.Jitter(jitter)}
		wait, again := r.Next(attempt, time.Duration(elapsed), random)
		bound := max(r.Base, r.Max)
		if r.Base <= 0 || r.Max <= 0 {
			bound = max(bound, 30*time.Second)
		}
		if wait < 0 || wait > bound {
			t.Errorf("wait %v is not within 0 and %v", wait, bound)
		}
		if attempts > 0 && attempt >= attempts && again {
			t.Errorf("attempt %d of %d is followed by another", attempt, attempts)
		}
		same, sameAgain := r.Next(attempt, time.Duration(elapsed), random)
		if same != wait || sameAgain != again {
			t.Error("not pure")
		}
	})
}
