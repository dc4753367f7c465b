package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/deadletter"
)

// letterOf returns a letter, the n-th, that died n minutes after the first with that error.
func letterOf(n int, subscriber, class, text string) jitney.DeadLetter {
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
	return jitney.DeadLetter{
		ID: uuid.UUID{6: 0x70, 8: 0x80, 14: byte(n >> 8), 15: byte(n)}, Subscriber: subscriber, Time: at,
		History: []jitney.Attempt{{Number: 1, Time: at, Error: text, Class: class}},
	}
}

func TestFingerprintLeavesOutWhatVaries(t *testing.T) {
	for text, want := range map[string]string{
		"boom":                                             "boom",
		"order 536365 is unknown":                          "order # is unknown",
		"order C536379: total is -£12.50":                  "order #: total is -£#",
		"dial tcp 10.0.0.1:5432: refused":                  "dial tcp #: refused",
		"dial tcp [::1]:5432: refused":                     "dial tcp [::#]:#: refused",
		"no row for 0198c1f2-aaaa-7bbb-8ccc-dddddddddddd!": "no row for #!",
		`customer "Ann \"the\" Onymous" is gone`:           "customer # is gone",
		"customer 'Bob' is gone":                           "customer # is gone",
		"can't do it, it's late":                           "can't do it, it's late",
		"an open ' quote":                                  "an open ' quote",
		"hash deadbeefcafe differs":                        "hash # differs",
		"a decade, a facade, defaced":                      "a decade, a facade, defaced",
		"status 503: try later":                            "status 503: try later",
		"status 404: try later":                            "status 404: try later",
		"HTTP status code: 502":                            "HTTP status code: 502",
		"SQLSTATE 40001 at 12:30:01":                       "SQLSTATE 40001 at #",
		"missing 1, 2, 3 and 4":                            "missing # and #",
		"after 1.5s":                                       "after #",
		"mail to ann@example.com and b2@x.org":             "mail to ann@example.com and #",
		"first line\nsecond line 7":                        "first line",
		"Größe 5 fehlt":                                    "Größe # fehlt",
		"\xff\xfe 7":                                       "\xff\xfe #",
		"":                                                 "",
	} {
		assert.Equal(t, "*x.Error: "+want, deadletter.Fingerprint(letterOf(1, "s", "*x.Error", text)), "%q", text)
	}
}

func TestFingerprintIsBounded(t *testing.T) {
	long := ""
	for range 1000 {
		long += "word "
	}
	assert.Less(t, len(deadletter.Fingerprint(letterOf(1, "s", "c", long))), 250)
	assert.Equal(t, ": ", deadletter.Fingerprint(jitney.DeadLetter{}))
}

func FuzzFingerprint(f *testing.F) {
	for _, text := range []string{"order 1 'x", "\"\\", "a-", "::1", "status 1", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := deadletter.Fingerprint(letterOf(1, "s", "c", text)); len(got) > 1000+len(text) {
			t.Errorf("%d bytes out of %d", len(got), len(text))
		}
	})
}

func TestG35FailuresGrouped(t *testing.T) {
	ctx := t.Context()
	store := &jitney.MemoryDeadLetters{}
	for n := range 250 {
		require.NoError(t, store.Add(ctx, letterOf(n, "billing", "*net.OpError", fmt.Sprintf("dial 10.0.0.%d: refused", n))))
	}
	for n := 250; n < 260; n++ {
		require.NoError(t, store.Add(ctx, letterOf(n, "billing", "*x.Error", fmt.Sprintf("order %d: no stock", n))))
		require.NoError(t, store.Add(ctx, letterOf(n+10, "shipping", "*x.Error", fmt.Sprintf("order %d: no stock", n))))
	}
	groups, err := deadletter.Groups(ctx, store, jitney.DeadLetterFilter{})
	require.NoError(t, err)
	require.Len(t, groups, 3)
	g := groups[0]
	assert.Equal(t, "billing", g.Subscriber)
	assert.Equal(t, "*net.OpError: dial #: refused", g.Fingerprint)
	assert.Equal(t, 250, g.Count)
	assert.Equal(t, letterOf(0, "", "", "").Time, g.First)
	assert.Equal(t, letterOf(249, "", "", "").Time, g.Last)
	assert.Equal(t, letterOf(249, "", "", "").ID, g.Sample.ID)
	assert.Equal(t, []string{"billing", "shipping"}, []string{groups[1].Subscriber, groups[2].Subscriber})
	assert.True(t, g.Has(letterOf(7, "billing", "*net.OpError", "dial 8.8.8.8: refused")))
	assert.False(t, g.Has(letterOf(7, "shipping", "*net.OpError", "dial 8.8.8.8: refused")))

	some, err := deadletter.Groups(ctx, store, jitney.DeadLetterFilter{Class: "*x.Error", Limit: 15})
	require.NoError(t, err)
	require.Len(t, some, 2)
	assert.Equal(t, 15, some[0].Count+some[1].Count)
	exactly, err := deadletter.Groups(ctx, store, jitney.DeadLetterFilter{Limit: 200})
	require.NoError(t, err)
	assert.Equal(t, 200, exactly[0].Count)
}

// broken is a store whose List fails from the n-th call on.
type broken struct {
	*jitney.MemoryDeadLetters
	works int
}

var errStore = errors.New("store down")

func (b *broken) List(ctx context.Context, f jitney.DeadLetterFilter) ([]jitney.DeadLetter, error) {
	if b.works--; b.works < 0 {
		return nil, errStore
	}
	return b.MemoryDeadLetters.List(ctx, f)
}

func TestGroupsReturnsWhatItHasWhenTheStoreFails(t *testing.T) {
	store := &broken{&jitney.MemoryDeadLetters{}, 1}
	for n := range 150 {
		require.NoError(t, store.Add(t.Context(), letterOf(n, "s", "c", "x")))
	}
	groups, err := deadletter.Groups(t.Context(), store, jitney.DeadLetterFilter{})
	require.ErrorIs(t, err, errStore)
	assert.Equal(t, 100, groups[0].Count)
}
