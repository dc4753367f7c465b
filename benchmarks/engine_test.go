package benchmarks

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryEventOfAnEngineIsCounted runs the measurements of the engines that need no server, each in little.
func TestEveryEventOfAnEngineIsCounted(t *testing.T) {
	for _, e := range []Engine{Engines()[0], Engines()[2]} {
		for _, s := range EngineScenarios {
			for _, bare := range []bool{false, true} {
				t.Run(e.Name+"/"+s+"/"+Side(bare), func(t *testing.T) {
					perSecond, err := MeasureEngine(t.Context(), e, t.TempDir(), s, bare, 20*time.Millisecond, 640)
					require.NoError(t, err)
					assert.Positive(t, perSecond)
				})
			}
		}
	}
}

func TestAWitnessSeesWhatIsLostAndWhatComesAgain(t *testing.T) {
	for name, seqs := range map[string][]int64{"again": {0, 1, 1}, "out of order": {1, 0, 2}, "lost": {0, 2, 3}} {
		w := NewWitness(3)
		for _, seq := range seqs {
			w.Handle(NewCarried(0, seq))
		}
		require.Error(t, w.Await(3), name)
	}
}
