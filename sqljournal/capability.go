package sqljournal

import "github.com/jitney-go/jitney"

// Capabilities implements [jitney.Capable]: a database can do all of it.
func (j *Journal) Capabilities() []jitney.Capability {
	return []jitney.Capability{
		jitney.CanBatch, jitney.CanSchedule, jitney.CanOrderAll, jitney.CanDeduplicate, jitney.CanTransact, jitney.CanReplay,
	}
}
