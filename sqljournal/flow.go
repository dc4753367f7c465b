package sqljournal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/wire"
)

// Flow returns the events of that correlation, in their order, the first ones if there are more than most. It is a tool
// for people: no index leads to them, so it looks through the whole log, a second or two per million events. What has been damaged is left out, and named by
// the error beside the others.
func (j *Journal) Flow(ctx context.Context, correlation string, most int) ([]*jitney.Envelope, error) {
	if correlation == "" || most <= 0 {
		return nil, nil
	}
	pattern, err := correlationPattern(correlation)
	if err != nil {
		return nil, fmt.Errorf("sqljournal: flow: %w", err)
	}
	clause, args := `WHERE attributes LIKE ? ESCAPE '!' ORDER BY pos`, []any{pattern}
	if id, err := uuid.Parse(correlation); err == nil { // the event that began it may have no more than its ID
		clause, args = `WHERE id = ? OR attributes LIKE ? ESCAPE '!' ORDER BY pos`, []any{id[:], pattern}
	}
	rows, err := j.db.QueryContext(ctx, j.sql(`SELECT `+recordColumns+` FROM {p}log `+clause), args...)
	if err != nil {
		return nil, fmt.Errorf("sqljournal: flow: %w", err)
	}
	var envs []*jitney.Envelope
	var damaged []error
	err = eachRecord(rows, nil, func(r *record) bool {
		e := r.entry(j.types)
		switch {
		case e.Err != nil:
			damaged = append(damaged, e.Err)
		case e.Envelope.CorrelationID() == correlation: // LIKE may take an A for an a
			envs = append(envs, e.Envelope)
		}
		return len(envs) < most
	})
	if err != nil {
		err = fmt.Errorf("sqljournal: flow: %w", err)
	}
	return envs, errors.Join(append(damaged, err)...)
}

// correlationPattern matches attributes that name the correlation, as they are written, and a few others perhaps.
func correlationPattern(correlation string) (string, error) {
	text, err := json.Marshal(correlation)
	if err != nil {
		return "", err
	}
	return `%"` + wire.Correlation + `":` + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(string(text)) + "%", nil
}
