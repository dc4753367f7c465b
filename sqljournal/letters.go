package sqljournal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/jitney-go/jitney"
	"github.com/jitney-go/jitney/internal/letter"
)

// DeadLetters returns a [jitney.DeadLetterStore] in the journal's database. It has no limit but the disk's. An event that
// this program cannot decode, or no longer, is a [jitney.RawEvent] in its letter.
func (j *Journal) DeadLetters() jitney.DeadLetterStore { return letters{j} }

type letters struct{ j *Journal }

// Add implements [jitney.DeadLetterStore].
func (s letters) Add(ctx context.Context, l jitney.DeadLetter) error {
	text, err := letter.Write(l)
	if err != nil {
		return fmt.Errorf("sqljournal: dead letter: %w", err)
	}
	return s.write(ctx, func(tx *writeTx) error {
		if err := tx.exec(ctx, `DELETE FROM {p}letter WHERE id = ?`, l.ID[:]); err != nil {
			return err
		}
		return tx.exec(ctx, `INSERT INTO {p}letter (id, subscriber, type, class, died, letter) VALUES (?, ?, ?, ?, ?, ?)`,
			l.ID[:], l.Subscriber, l.Envelope.Type, clip(l.Class()), l.Time.UnixNano(), string(text))
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

func (s letters) read(text string) (jitney.DeadLetter, error) {
	l, err := letter.Read([]byte(text), s.j.types)
	if errors.Is(err, letter.ErrCorrupt) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return l, err
}

// Get implements [jitney.DeadLetterStore].
func (s letters) Get(ctx context.Context, id uuid.UUID) (l jitney.DeadLetter, err error) {
	var text string
	err = s.j.db.QueryRowContext(ctx, s.j.sql(`SELECT letter FROM {p}letter WHERE id = ?`), id[:]).Scan(&text)
	if isNoRows(err) {
		return l, fmt.Errorf("sqljournal: %w: %s", jitney.ErrNoDeadLetter, id)
	}
	if err == nil {
		l, err = s.read(text)
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
		l, err := s.read(text)
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
