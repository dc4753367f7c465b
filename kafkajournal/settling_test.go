package kafkajournal

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/place"
)

func TestWhatIsTooLongToBeCommittedIsInTheMark(t *testing.T) {
	p := &partition{place: place.New(0, nil), mark: mark{Open: true}}
	var settled []int64
	for n := range int64(900) {
		behind := n<<30 + 1
		require.True(t, p.place.Give(behind))
		if n > 0 {
			require.True(t, p.place.Settle(behind, jitney.Settled))
			settled = append(settled, behind)
		}
	}
	ch := p.changes()
	require.True(t, ch.long())
	require.NotNil(t, ch.mark)
	require.True(t, ch.mark.Open)
	ahead, err := place.ReadAhead(ch.mark.Floor, ch.mark.Ahead)
	require.NoError(t, err)
	require.Equal(t, settled, ahead)

	p.place = place.New(0, nil)
	require.True(t, p.place.Give(1) && p.place.Give(2) && p.place.Settle(2, jitney.Settled))
	ch = p.changes()
	require.False(t, ch.long())
	require.Nil(t, ch.mark)
	require.LessOrEqual(t, base64.RawStdEncoding.EncodedLen(len(ch.ahead)), maxMetadata)
}
