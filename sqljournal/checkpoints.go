package sqljournal

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jitney-go/jitney/deadletter"
)

// Checkpoints returns a [deadletter.CheckpointStore] in the journal's database, with which a redrive outlives the
// process.
func (j *Journal) Checkpoints() deadletter.CheckpointStore { return checkpoints{j} }

type checkpoints struct{ j *Journal }

// Load implements [deadletter.CheckpointStore].
func (s checkpoints) Load(ctx context.Context, name string) (c deadletter.Checkpoint, found bool, err error) {
	var text string
	err = s.j.db.QueryRowContext(ctx, s.j.sql(`SELECT state FROM {p}checkpoint WHERE name = ?`), name).Scan(&text)
	if isNoRows(err) {
		return c, false, nil
	}
	if err == nil && json.Unmarshal([]byte(text), &c) != nil {
		err = fmt.Errorf("%w: it is no checkpoint", ErrCorrupt)
	}
	if err != nil {
		return c, false, fmt.Errorf("sqljournal: checkpoint %s: %w", name, err)
	}
	return c, true, nil
}

// Save implements [deadletter.CheckpointStore].
func (s checkpoints) Save(ctx context.Context, name string, c deadletter.Checkpoint) error {
	text, err := json.Marshal(c)
	if err == nil {
		err = s.put(ctx, name, string(text))
	}
	if err != nil {
		return fmt.Errorf("sqljournal: checkpoint %s: %w", name, err)
	}
	return nil
}

// Remove implements [deadletter.CheckpointStore].
func (s checkpoints) Remove(ctx context.Context, name string) error {
	if err := s.put(ctx, name, ""); err != nil {
		return fmt.Errorf("sqljournal: checkpoint %s: %w", name, err)
	}
	return nil
}

// put stores text, or, if there is none, removes what is stored.
func (s checkpoints) put(ctx context.Context, name, text string) error {
	s.j.writing.Lock()
	defer s.j.writing.Unlock()
	return s.j.tx(ctx, func(tx *writeTx) error {
		if err := tx.exec(ctx, `DELETE FROM {p}checkpoint WHERE name = ?`, name); err != nil || text == "" {
			return err
		}
		return tx.exec(ctx, `INSERT INTO {p}checkpoint (name, state) VALUES (?, ?)`, name, text)
	})
}
