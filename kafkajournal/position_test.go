package kafkajournal

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAPositionSaysWhereAnEventIs(t *testing.T) {
	for _, behind := range []int64{1, 1000, 1<<offsetBits - 1} {
		for _, partition := range []int32{0, 7, maxPartitions - 1} {
			p, b := located(position(partition, behind))
			require.Equal(t, partition, p)
			require.Equal(t, behind, b)
			require.Positive(t, position(partition, behind))
		}
	}
}

// Who says that he has come as far as an end has passed it in every partition, and who has passed all of them says so.
func TestThroughReachesAnEndWhenItHasBeenPassedEverywhere(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		const partitions, readers = 3, 2
		var h horizon
		log := make(vector, partitions)
		var reader [readers]vector
		for i := range reader {
			reader[i] = make(vector, partitions)
		}
		ends := map[int64]vector{}
		asked := log.or(nil) // an answer that is on its way
		for range 300 {
			p := r.IntN(partitions)
			switch r.IntN(4) {
			case 0:
				log[p] += int64(r.IntN(3))
			case 1:
				sum, _ := h.tell(asked)
				ends[sum] = asked
				asked = log.or(nil)
			default:
				i := r.IntN(readers)
				if reader[i][p] < log[p] {
					reader[i][p]++
				}
				through := h.through(reader[i], func(int) bool { return true })
				for sum, end := range ends {
					if through >= sum {
						require.Truef(t, reader[i].covers(end), "seed %d: %v says %d, and %v is %d", seed, reader[i], through, end, sum)
					}
				}
			}
		}
		sum, _ := h.tell(log)
		require.Equal(t, sum, h.through(log, func(int) bool { return true }))
		require.Equal(t, sum, h.through(nil, func(int) bool { return false }), "nothing is his")
	}
}
