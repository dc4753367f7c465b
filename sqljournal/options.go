package sqljournal

import (
	"log/slog"
	"time"
)

// Option configures a [Journal].
type Option func(*Journal)

// WithLogger sets where the journal logs to. Default: slog.Default() when Open is called.
func WithLogger(l *slog.Logger) Option { return func(j *Journal) { j.log = l } }

// WithPrefix sets what the names of the journal's tables begin with: a lower-case letter, and up to 30 more lower-case
// letters, digits and underscores. Default "jitney_".
func WithPrefix(prefix string) Option { return func(j *Journal) { j.prefix = prefix } }

// WithPollInterval sets how often a database that other processes write to is asked for what they have published.
// What this process publishes is known without asking. Default 200 ms.
func WithPollInterval(d time.Duration) Option { return func(j *Journal) { j.poll = d } }

// WithLease sets after how long a subscriber becomes another process's when the one that has it is dead, where several
// share a database. It is renewed three times as often. The database's clock counts: if that was ahead when the owner
// died, the lease runs out when the right time gets there. Default 15 s.
func WithLease(d time.Duration) Option { return func(j *Journal) { j.lease = d } }

// AllowNotDurable lets a journal be opened whose database may lose a commit when the power fails, or what is in a table
// when its server dies: one that is UNLOGGED in PostgreSQL, or not InnoDB's in MySQL.
func AllowNotDurable() Option { return func(j *Journal) { j.allowNotDurable = true } }
