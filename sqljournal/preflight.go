package sqljournal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jitney-go/jitney"
)

// Preflight is what does not fit between a journal and a program.
type Preflight struct {
	// Orphans are subscribers that the journal has a place for, and the program no subscription. Nobody handles their
	// events, and they keep events from being pruned. Forget removes one.
	Orphans []string
	// Unknown are types and versions that the journal has had events of, and the program cannot decode: as Go types
	// that are not registered, or without an upcaster to the newest version.
	Unknown []TypeVersion
}

// TypeVersion is a version of an event's type.
type TypeVersion struct {
	Type    string
	Version int
}

// Mismatch says what to do about what does not fit.
type Mismatch uint8

// What Preflight can do about it, beside returning it.
const (
	Report Mismatch = iota // nothing
	Warn                   // log each
	Refuse                 // return all together as an error
)

// Preflight looks for what does not fit between the journal and the program that b is of: call it when all has been
// subscribed, and before anything is published. A schema that is newer than the program, and gaps between upcasters, are
// refused before that, together, by Open.
func (j *Journal) Preflight(ctx context.Context, b *jitney.Bus, then Mismatch) (Preflight, error) {
	p, err := j.look(ctx, b)
	switch {
	case err == nil && then == Refuse:
		err = p.Err()
	case err == nil && then == Warn:
		for _, finding := range p.findings() {
			j.log.Warn("sqljournal: preflight", slog.String("finding", finding.Error()))
		}
	}
	if err != nil {
		return p, fmt.Errorf("sqljournal: preflight: %w", err)
	}
	return p, nil
}

func (j *Journal) look(ctx context.Context, b *jitney.Bus) (p Preflight, err error) {
	code := make(map[string]bool)
	for _, s := range b.Subscriptions() {
		code[s.Name()] = true
	}
	err = j.each(ctx, `SELECT name FROM {p}subscriber ORDER BY name`, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		if !code[name] {
			p.Orphans = append(p.Orphans, name)
		}
		return err
	})
	if err == nil {
		err = j.each(ctx, `SELECT type, version FROM {p}type ORDER BY type, version`, func(scan func(...any) error) error {
			var tv TypeVersion
			err := scan(&tv.Type, &tv.Version)
			if !j.types.Knows(tv.Type, tv.Version) {
				p.Unknown = append(p.Unknown, tv)
			}
			return err
		})
	}
	return p, err
}

// Err is all that p has found, as one error; nil if it has found nothing.
func (p Preflight) Err() error { return errors.Join(p.findings()...) }

func (p Preflight) findings() (errs []error) {
	for _, name := range p.Orphans {
		errs = append(errs, fmt.Errorf("the journal has a place for subscriber %q, which is not subscribed", name))
	}
	for _, tv := range p.Unknown {
		errs = append(errs, fmt.Errorf("the journal has events %s of version %d, which this program cannot decode", tv.Type, tv.Version))
	}
	return errs
}

// Forget removes a subscriber's place, and what is put aside for it. Its dead letters and its marks in the inbox stay.
// A subscriber that is open here is not forgotten: jitney.ErrInUse.
func (j *Journal) Forget(ctx context.Context, name string) error {
	j.mu.Lock()
	open := j.cursors[name] != nil
	j.mu.Unlock()
	if open {
		return fmt.Errorf("sqljournal: forget %s: %w", name, jitney.ErrInUse)
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	err := j.tx(ctx, func(tx *writeTx) error {
		if err := tx.exec(ctx, `DELETE FROM {p}aside WHERE subscriber = ?`, name); err != nil {
			return err
		}
		return tx.exec(ctx, `DELETE FROM {p}subscriber WHERE name = ?`, name)
	})
	if err != nil {
		return fmt.Errorf("sqljournal: forget %s: %w", name, err)
	}
	return nil
}

// each calls f for each row that a query finds.
func (j *Journal) each(ctx context.Context, query string, f func(scan func(...any) error) error) error {
	rows, err := j.db.QueryContext(ctx, j.sql(query))
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// noteTypes notes in the database which types and versions it has events of.
func (tx *writeTx) noteTypes(ctx context.Context, records []*record) error {
	for _, r := range records {
		tv := TypeVersion{r.typ, r.version}
		if _, before := tx.j.noted[tv]; before {
			continue
		}
		if err := tx.exec(ctx, tx.j.d.InsertNew(`{p}type`, `(type, version) VALUES (?, ?)`), tv.Type, tv.Version); err != nil {
			return err
		}
		tx.noting = append(tx.noting, tv)
	}
	return nil
}
