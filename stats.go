package jitney

import "time"

// Stats is one subscription's account at one moment: a snapshot in which
//
//	Accepted = Handled + Skipped + Dead + Dropped + Recalled + Failed + Queued + Running + Waiting + Parked
type Stats struct {
	Accepted uint64 // deliveries taken on, redeliveries included; questions, if it is an answerer's

	Handled uint64 // the handler returned nil
	Skipped uint64 // the handler returned Skip, or the inbox knew the event already
	Dead    uint64 // given up: a dead letter each
	Dropped uint64 // pushed out by overflow policy DropOldest
	// Recalled: given back to the journal, which has another process handle them. They come again if it is this one's
	// turn after all.
	Recalled uint64

	Queued  int // not begun, or due for another attempt
	Running int // in the handler
	Waiting int // between two attempts, or for the dead-letter store or the inbox to work again
	Parked  int // behind a dead letter of their key; see WithParking

	Failed uint64 // questions whose asker got an error

	Duplicates  uint64 // the part of Skipped that the inbox knew
	Retried     uint64 // attempts that failed and were followed by another
	Spared      uint64 // attempts that failed and were not used up: thanks to the breaker, or in a batch that failed as a whole
	Opened      uint64 // times that the breaker has opened, after a failed try as well
	Late        uint64 // the part of Handled that succeeded after its timeout
	Filtered    uint64 // events that a filter has kept out: no deliveries
	Refused     uint64 // deliveries not accepted: queue full, closed or paused, or the publisher gave up waiting
	StoreErrors uint64 // failures of the dead-letter store, of the inbox itself, or to open or read the journal
	Unknown     uint64 // events of a journal put aside because this program cannot decode them
	// FilterErrors counts the filters that panicked; their events were delivered.
	FilterErrors uint64
	Slow         uint64 // handlers, and publishers waiting for room, that the watchdog has named

	Paused  bool         // by Pause; of a bus: any subscription
	Breaker BreakerState // of a bus: that of the subscription where it is worst

	// Oldest is when the oldest delivery that has not ended, and is not parked, was accepted, or, of a durable
	// subscription, when its event was published; zero if there is none.
	Oldest time.Time
}

// Unaccounted is what Accepted exceeds the sum of the endings and states by: always 0.
func (s Stats) Unaccounted() int64 {
	ended := s.Handled + s.Skipped + s.Dead + s.Dropped + s.Recalled + s.Failed
	return int64(s.Accepted-ended) - int64(s.Queued+s.Running+s.Waiting+s.Parked)
}

// add sums two accounts. It keeps the older Oldest.
func (s Stats) add(t Stats) Stats {
	s.Accepted += t.Accepted
	s.Handled += t.Handled
	s.Skipped += t.Skipped
	s.Dead += t.Dead
	s.Dropped += t.Dropped
	s.Recalled += t.Recalled
	s.Failed += t.Failed
	s.Queued += t.Queued
	s.Running += t.Running
	s.Waiting += t.Waiting
	s.Parked += t.Parked
	s.Duplicates += t.Duplicates
	s.Retried += t.Retried
	s.Spared += t.Spared
	s.Opened += t.Opened
	s.Late += t.Late
	s.Filtered += t.Filtered
	s.FilterErrors += t.FilterErrors
	s.Refused += t.Refused
	s.StoreErrors += t.StoreErrors
	s.Unknown += t.Unknown
	s.Slow += t.Slow
	s.Paused = s.Paused || t.Paused
	s.Breaker = max(s.Breaker, t.Breaker)
	if s.Oldest.IsZero() || (!t.Oldest.IsZero() && t.Oldest.Before(s.Oldest)) {
		s.Oldest = t.Oldest
	}
	return s
}

// BusStats is the account of a whole bus.
type BusStats struct {
	// Stats sums up all subscriptions, those that have been closed as well.
	Stats
	// Unheard counts, by event type, the events that nobody had subscribed to.
	Unheard map[string]uint64
	// TooLate counts the calls of Publish, Forward, Ask and Redeliver refused with ErrClosed.
	TooLate uint64
	// Scheduled counts the events that Schedule and Recur have taken on in this process, Unscheduled those that
	// Unschedule and Recurrence.Stop have taken back, and Due those that were published when they were due.
	Scheduled, Unscheduled, Due uint64
	// LeftOut counts the occurrences of Recur that this process could not make: the event func panicked, or Publish
	// would refuse the event.
	LeftOut uint64
	// Unanswered counts the questions refused with ErrNoAnswer because nobody answers their type.
	Unanswered uint64
	// Retained is how many events are kept for late subscribers, and Forgotten how many have given way to those of
	// other keys; see WithRetained.
	Retained  int
	Forgotten uint64
}
