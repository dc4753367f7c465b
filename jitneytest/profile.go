package jitneytest

import "github.com/jitney-go/jitney"

// Profile says how a journal behaves, where engines differ or where a program seldom sees it: what is to be reckoned
// with on one of them. The zero value is a journal in memory with nothing of that. Rates are shares from 0 to 1; which
// events they hit follows from Seed, and each event is hit by one of a kind, for one subscriber, at most once.
//
// In all profiles every event comes to every subscriber at least once, those of a key in their order, counted from the
// first time that each of them comes, and events without a key are one key's. Each field says what does not hold.
type Profile struct {
	Name string
	// Seed decides all that is left to chance. 0 is another one for each rehearsal.
	Seed uint64

	// MaxEvent is how many bytes an event may have, payload and attributes. An Append of a larger one fails with
	// wire.ErrPayloadTooLarge. 0 leaves it at the 1 MiB for the payload alone that every journal has.
	MaxEvent int
	// NoBatches says that an Append of more than one event fails, with errors.ErrUnsupported.
	NoBatches bool
	// NoSchedule says that Schedule fails with jitney.ErrNoSchedule, and that Recur panics.
	NoSchedule bool
	// Indeterminate is the rate of Appends that answer jitney.ErrIndeterminate. The events of half of them are stored.
	Indeterminate float64
	// Remembers is how many events back a stored ID is known, so that its event is not stored again and another event
	// under it is a conflict; beyond that it is stored again. 0 stands for all of them, a negative number for none.
	Remembers int

	// Late is the rate of Appends that subscribers see after 2 ms only. What is behind them waits, or, with PerKey, what is
	// behind them of their key.
	Late float64
	// PerKey says that only the events of one key keep their order. One may come before others that are up to a window
	// before it in the journal.
	PerKey bool
	// Duplicates is the rate of events that come a second time though nobody has lost anything. Until then Next does not
	// say that it is through.
	Duplicates float64
	// LostAcks is the rate of events whose settlement is lost, so that they are handled again.
	LostAcks float64
	// Takeovers is the rate of events at whose settlement the subscriber loses its place to another process, and gets it
	// back: it is given again what was not settled, and what had been settled and was not stored. What it tells the cursor
	// in between is ignored, and Hold answers jitney.ErrInUse.
	Takeovers float64
	// Window is how many settlements are stored together, and so how many of them less one are lost at most in a takeover
	// or in a Crash, with the one at which it happens. 0 and 1 store each at once.
	Window int
}

// Profiles that are ready for use. Their rates are far above what an engine shows in production, so that a test with a
// few dozen events meets all that may happen.
var (
	// InProcess is a journal with which nothing happens.
	InProcess = Profile{Name: "InProcess"}
	// SQL is a database that several processes share: one order, and what was settled last comes again when a lease is
	// lost or a process has died.
	SQL = Profile{Name: "SQL", Window: 64, Takeovers: 0.05, Indeterminate: 0.02, Late: 0.05}
	// NATS is a stream of JetStream's: one order, messages of at most 1 MiB with their headers, de-duplication within a
	// window. For servers before 2.12, set NoBatches.
	NATS = Profile{
		Name: "NATS", MaxEvent: 1 << 20, Remembers: 1000, NoSchedule: true,
		Indeterminate: 0.05, Late: 0.05, LostAcks: 0.05, Takeovers: 0.05, Window: 64,
	}
	// Kafka is a topic with partitions: the order of one key alone, records of at most 1,000,000 bytes, no de-duplication
	// of what is published again, partitions that move from process to process.
	Kafka = Profile{
		Name: "Kafka", MaxEvent: 1_000_000, Remembers: -1, NoSchedule: true,
		Indeterminate: 0.05, Late: 0.1, PerKey: true, Duplicates: 0.02, Takeovers: 0.05, Window: 64,
	}
	// Worst is all of it at once, and often.
	Worst = Profile{
		Name: "Worst", MaxEvent: 256 << 10, NoBatches: true, NoSchedule: true, Remembers: -1,
		Indeterminate: 0.2, Late: 0.3, PerKey: true, Duplicates: 0.2, LostAcks: 0.2, Takeovers: 0.1, Window: 16,
	}
)

// capabilities are what a journal that behaves as p says can do.
func (p Profile) capabilities() (list []jitney.Capability) {
	for c, can := range map[jitney.Capability]bool{
		jitney.CanBatch: !p.NoBatches, jitney.CanSchedule: !p.NoSchedule,
		jitney.CanOrderAll: !p.PerKey, jitney.CanDeduplicate: p.Remembers == 0,
	} {
		if can {
			list = append(list, c)
		}
	}
	return list
}

// WithSeed returns p with another seed.
func (p Profile) WithSeed(seed uint64) Profile {
	p.Seed = seed
	return p
}
