package sqljournal

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// migrations bring the schema from one version to the next. They are never changed once released. Each statement may be
// executed again: MySQL commits at each, and the process may die between two.
var migrations = [][]string{
	{
		`CREATE TABLE IF NOT EXISTS {p}log (
	pos {number} NOT NULL PRIMARY KEY,
	id {id} NOT NULL UNIQUE,
	type {label} NOT NULL,
	at {number} NOT NULL,
	attributes {text} NOT NULL,
	data {bytes},
	crc {number} NOT NULL
){options}`,
		`CREATE TABLE IF NOT EXISTS {p}head (
	id {number} NOT NULL PRIMARY KEY,
	next {number} NOT NULL,
	oldest {number} NOT NULL
){options}`,
		`CREATE TABLE IF NOT EXISTS {p}type (
	type {label} NOT NULL,
	version {number} NOT NULL,
	PRIMARY KEY (type, version)
){options}`,
		`INSERT INTO {p}head (id, next, oldest) SELECT 1, 1, 1 FROM (SELECT 1) AS one WHERE NOT EXISTS (SELECT 1 FROM {p}head)`,
		`CREATE TABLE IF NOT EXISTS {p}subscriber (
	name {label} NOT NULL PRIMARY KEY,
	position {number} NOT NULL,
	ahead {bytes},
	crc {number} NOT NULL,
	owner {label},
	lease_until {number},
	clean {number} NOT NULL,
	suspect {number} NOT NULL,
	deaths {number} NOT NULL,
	held {text}
){options}`,
		`CREATE TABLE IF NOT EXISTS {p}aside (
	subscriber {label} NOT NULL,
	pos {number} NOT NULL,
	reason {number} NOT NULL,
	progress {text},
	PRIMARY KEY (subscriber, pos)
){options}`,
		`CREATE TABLE IF NOT EXISTS {p}outbox (
	pos {serial},
	batch {number} NOT NULL,
	parts {number} NOT NULL,
	id {id} NOT NULL,
	type {label} NOT NULL,
	version {number} NOT NULL,
	at {number} NOT NULL,
	attributes {text} NOT NULL,
	data {bytes},
	crc {number} NOT NULL
){options}`,
		`CREATE TABLE IF NOT EXISTS {p}later (
	id {id} NOT NULL UNIQUE,
	due {number} NOT NULL,
	type {label} NOT NULL,
	at {number} NOT NULL,
	attributes {text} NOT NULL,
	data {bytes},
	crc {number} NOT NULL,
	PRIMARY KEY (due, id)
){options}`,
		`CREATE TABLE IF NOT EXISTS {p}inbox (
	subscriber {label} NOT NULL,
	id {label} NOT NULL,
	fingerprint {label} NOT NULL,
	PRIMARY KEY (subscriber, id)
){options}`,
		`CREATE TABLE IF NOT EXISTS {p}checkpoint (
	name {label} NOT NULL PRIMARY KEY,
	state {text} NOT NULL
){options}`,
		`CREATE TABLE IF NOT EXISTS {p}letter (
	id {id} NOT NULL PRIMARY KEY,
	subscriber {label} NOT NULL,
	type {label} NOT NULL,
	class {label} NOT NULL,
	died {number} NOT NULL,
	letter {text} NOT NULL
){options}`,
	},
}

// ErrNewerSchema says that the journal was written by a newer version of this package.
var ErrNewerSchema = errors.New("journal was written by a newer version")

// Schema is what Open executes on an empty database, as plain SQL: for those who would rather do that themselves.
func Schema(d *Dialect, prefix string) string {
	var b strings.Builder
	statements := append([]string{versionTable}, migrations[0]...)
	for _, list := range migrations[1:] {
		statements = append(statements, list...)
	}
	statements = append(statements, fmt.Sprintf("INSERT INTO {p}schema (version) VALUES (%d)", len(migrations)))
	for _, s := range statements {
		b.WriteString(d.sql(prefix, s))
		b.WriteString(";\n")
	}
	return b.String()
}

// tables are the names of the journal's tables.
func tables(prefix string) []string {
	names := []string{prefix + "schema"}
	for _, statements := range migrations {
		for _, s := range statements {
			if rest, creates := strings.CutPrefix(s, "CREATE TABLE IF NOT EXISTS {p}"); creates {
				name, _, _ := strings.Cut(rest, " ")
				names = append(names, prefix+name)
			}
		}
	}
	return names
}

const versionTable = `CREATE TABLE IF NOT EXISTS {p}schema (version {number} NOT NULL){options}`

// readable says that the schema is newer than this program, before anything is written.
func (j *Journal) readable(ctx context.Context) error {
	var version int
	err := j.db.QueryRowContext(ctx, j.sql(`SELECT COALESCE(MAX(version), 0) FROM {p}schema`)).Scan(&version)
	if err == nil && version > len(migrations) {
		return fmt.Errorf("%w: its schema is version %d, known are %d", ErrNewerSchema, version, len(migrations))
	}
	return nil // without the table it is new; and what else is wrong will be found out
}

// migrate brings the schema to this version, in one transaction where the database can do that. A second process
// that does the same at the same time waits.
func (j *Journal) migrate(ctx context.Context) error {
	c, err := j.writer(ctx)
	if err != nil {
		return err
	}
	for attempt := 0; ; attempt++ { // PostgreSQL may fail if another does the same
		_, err := c.ExecContext(ctx, j.sql(versionTable))
		if err == nil {
			break
		}
		if attempt == 3 || j.d.Classify(err) != Duplicate {
			return fmt.Errorf("create the schema: %w", err)
		}
	}
	return j.tx(ctx, func(tx *writeTx) (err error) {
		if lock := j.d.LockSchema; lock != "" {
			if _, err := c.ExecContext(ctx, j.sql(lock)); err != nil {
				return fmt.Errorf("lock the schema: %w", err)
			}
		}
		if unlock := j.d.UnlockSchema; unlock != "" {
			defer func() {
				_, failed := c.ExecContext(ctx, j.sql(unlock))
				err = errors.Join(err, failed)
			}()
		}
		version, err := tx.number(ctx, `SELECT COALESCE(MAX(version), 0) FROM {p}schema`)
		if err != nil {
			return err
		}
		if int(version) > len(migrations) { // since a moment ago
			return ErrNewerSchema
		}
		for ; int(version) < len(migrations); version++ {
			for _, statement := range migrations[version] {
				if err := tx.exec(ctx, statement); err != nil {
					return fmt.Errorf("schema version %d: %w", version+1, err)
				}
			}
			if err := tx.exec(ctx, `INSERT INTO {p}schema (version) VALUES (?)`, version+1); err != nil {
				return err
			}
		}
		return nil
	})
}
