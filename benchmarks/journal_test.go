package benchmarks

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEveryEventOfAJournalIsCounted runs the measurements of journals, each in little.
func TestEveryEventOfAJournalIsCounted(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	d := Databases()[0]
	require.Equal(t, SQLite, d.Name)
	version, err := d.Version(ctx)
	require.NoError(t, err)
	assert.NotEmpty(t, version)

	file, j, err := d.Open(ctx, dir, "some")
	require.NoError(t, err)
	require.NoError(t, Fill(ctx, j, 2500))
	perSecond, err := CatchUp(ctx, j, 2500)
	require.NoError(t, err)
	assert.Positive(t, perSecond)
	perSecond, err = Publish(ctx, j, 3, 20*time.Millisecond)
	require.NoError(t, err)
	assert.Positive(t, perSecond)
	end, err := j.End(ctx)
	require.NoError(t, err)
	assert.Greater(t, end, int64(2500))
	require.NoError(t, file.Close())

	perSecond, err = RawAppends(dir, 5*time.Millisecond)
	require.NoError(t, err)
	assert.Positive(t, perSecond)
	require.NoError(t, d.Remove(context.Background(), dir, "some"))
}
