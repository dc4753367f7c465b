package sqljournal

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/jitney-go/jitney"
)

// Hold implements [jitney.Cursor].
func (c *cursor) Hold(ctx context.Context, h jitney.Held) error {
	var text sql.NullString
	if h != (jitney.Held{}) {
		b, err := json.Marshal(h)
		if err != nil {
			return err
		}
		text = sql.NullString{String: string(b), Valid: true}
	}
	err := c.write(ctx, func(tx *writeTx) error {
		return tx.exec(ctx, `UPDATE {p}subscriber SET held = ? WHERE name = ?`, text, c.name)
	})
	if err != nil {
		return fmt.Errorf("sqljournal: hold %s: %w", c.name, err)
	}
	return nil
}

// tellHeld tells what held the subscriber back.
func (c *cursor) tellHeld(ctx context.Context) error {
	if c.wasHeld == nil {
		return nil
	}
	ctx, cancel := c.j.patiently(ctx)
	defer cancel()
	var text sql.NullString
	if err := c.j.db.QueryRowContext(ctx, c.j.sql(`SELECT held FROM {p}subscriber WHERE name = ?`), c.name).Scan(&text); err != nil {
		return fmt.Errorf("sqljournal: read for %s: %w", c.name, err)
	}
	var h jitney.Held
	if text.Valid {
		if err := json.Unmarshal([]byte(text.String), &h); err != nil {
			return fmt.Errorf("sqljournal: read for %s: %w: what holds it back", c.name, ErrCorrupt)
		}
	}
	c.wasHeld(h)
	return nil
}
