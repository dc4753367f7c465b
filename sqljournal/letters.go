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

// DeadLetters returns a [jitney.DeadLetterStore] in the journal's database. It has no limit but the disk's. An event that
// this program cannot decode, or no longer, is a [jitney.RawEvent] in its letter.
func (j *Journal) DeadLetters() jitney.DeadLetterStore { return letters{j} }

type letters struct{ j *Journal }

// letter is a dead letter as JSON; its envelopes are CloudEvents.
type letter struct {
	jitney.DeadLetter
	Envelope wire.Message
	Original *wire.Message `json:",omitempty"`
}

// Add implements [jitney.DeadLetterStore].
func (s letters) Add(ctx context.Context, l jitney.DeadLetter) error {
	text, err := writeLetter(l)
	if err != nil {
		return fmt.Errorf("sqljournal: dead letter: %w", err)
	}
	return s.write(ctx, func(tx *writeTx) error {
		if err := tx.exec(ctx, `DELETE FROM {p}letter WHERE id = ?`, l.ID[:]); err != nil {
			return err
		}
		return tx.exec(ctx, `INSERT INTO {p}letter (id, subscriber, type, class, died, letter) VALUES (?, ?, ?, ?, ?, ?)`,
			l.ID[:], l.Subscriber, l.Envelope.Type, clip(l.Class()), l.Time.UnixNano(), text)
	})
}

func (s letters) write(ctx context.Context, f func(*writeTx) error) error {
	s.j.writing.Lock()
	defer s.j.writing.Unlock()
	if err := s.j.tx(ctx, f); err != nil {
		return fmt.Errorf("sqljournal: dead letter: %w", err)
	}
	return nil
}

func clip(class string) string {
	if len(class) > 200 {
		return strings.ToValidUTF8(class[:200], "")
	}
	return class
}

func writeLetter(l jitney.DeadLetter) (string, error) {
	if l.Envelope == nil {
		return "", fmt.Errorf("%w: it has none", jitney.ErrInvalidEnvelope)
	}
	w := letter{DeadLetter: l}
	var err error
	if w.Envelope, err = wire.Encode(l.Envelope, wire.Limits{}); err != nil {
		return "", err
	}
	if l.Original != nil {
		m, err := wire.Encode(l.Original, wire.Limits{})
		if err != nil {
			return "", err
		}
		w.Original = &m
	}
	text, err := json.Marshal(w)
	return string(text), err
}

func (s letters) readLetter(text string) (l jitney.DeadLetter, err error) {
	var w struct {
		jitney.DeadLetter
		Envelope, Original json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return l, fmt.Errorf("%w: a dead letter is no JSON", ErrCorrupt)
	}
	l = w.DeadLetter
	if l.Envelope, err = s.envelope(w.Envelope); err != nil {
		return l, err
	}
	if w.Original != nil {
		l.Original, err = s.envelope(w.Original)
	}
	return l, err
}

func (s letters) envelope(text []byte) (*jitney.Envelope, error) {
	m, err := wire.Parse(text, wire.Limits{})
	if err != nil {
		return nil, err
	}
	env, err := s.j.types.Decode(m)
	if err == nil {
		return env, nil
	}
	if raw, failed := noTypes.Decode(m); failed == nil {
		return raw, nil // whoever is on duty is to see it all the same
	}
	return nil, err
}

// noTypes makes a RawEvent of everything.
var noTypes = wire.NewTypes()

// Get implements [jitney.DeadLetterStore].
func (s letters) Get(ctx context.Context, id uuid.UUID) (l jitney.DeadLetter, err error) {
	var text string
	err = s.j.db.QueryRowContext(ctx, s.j.sql(`SELECT letter FROM {p}letter WHERE id = ?`), id[:]).Scan(&text)
	if isNoRows(err) {
		return l, fmt.Errorf("sqljournal: %w: %s", jitney.ErrNoDeadLetter, id)
	}
	if err == nil {
		l, err = s.readLetter(text)
	}
	if err != nil {
		return l, fmt.Errorf("sqljournal: dead letter %s: %w", id, err)
	}
	return l, nil
}

// where is the condition for what f selects, but for the error's text.
func where(f jitney.DeadLetterFilter) (clause string, args []any) {
	clause = `WHERE 1 = 1`
	add := func(condition string, arg any) {
		clause += ` AND ` + condition
		args = append(args, arg)
	}
	if f.Subscriber != "" {
		add(`subscriber = ?`, f.Subscriber)
	}
	if f.Type != "" {
		add(`type = ?`, f.Type)
	}
	if f.Class != "" {
		add(`class = ?`, clip(f.Class))
	}
	if !f.Since.IsZero() {
		add(`died >= ?`, f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		add(`died < ?`, f.Until.UnixNano())
	}
	if f.After != uuid.Nil {
		add(`id > ?`, f.After[:])
	}
	return clause, args
}

// List implements [jitney.DeadLetterStore].
func (s letters) List(ctx context.Context, f jitney.DeadLetterFilter) (list []jitney.DeadLetter, err error) {
	clause, args := where(f)
	clause += ` ORDER BY id`
	if f.Limit > 0 && f.Error == "" {
		clause += ` LIMIT ?`
		args = append(args, f.Limit)
	}
	rows, err := s.j.db.QueryContext(ctx, s.j.sql(`SELECT letter FROM {p}letter `+clause), args...)
	if err != nil {
		return nil, fmt.Errorf("sqljournal: dead letters: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	for rows.Next() && (f.Limit <= 0 || len(list) < f.Limit) {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("sqljournal: dead letters: %w", err)
		}
		l, err := s.readLetter(text)
		if err != nil {
			return nil, fmt.Errorf("sqljournal: dead letters: %w", err)
		}
		if f.Matches(l) {
			list = append(list, l)
		}
	}
	return list, errors.Join(rows.Err())
}

// Count implements [jitney.DeadLetterStore].
func (s letters) Count(ctx context.Context, f jitney.DeadLetterFilter) (n int, err error) {
	f.After, f.Limit = uuid.Nil, 0
	if f.Error != "" {
		list, err := s.List(ctx, f)
		return len(list), err
	}
	clause, args := where(f)
	if err := s.j.db.QueryRowContext(ctx, s.j.sql(`SELECT COUNT(*) FROM {p}letter `+clause), args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("sqljournal: dead letters: %w", err)
	}
	return n, nil
}

// Remove implements [jitney.DeadLetterStore].
func (s letters) Remove(ctx context.Context, id uuid.UUID) error {
	return s.write(ctx, func(tx *writeTx) error {
		res, err := tx.conn.ExecContext(ctx, tx.j.sql(`DELETE FROM {p}letter WHERE id = ?`), id[:])
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fmt.Errorf("%w: %s", jitney.ErrNoDeadLetter, id))
		}
		return nil
	})
}
