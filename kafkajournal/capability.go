package kafkajournal

import "github.com/jitney-go/jitney"

// Capabilities implements [jitney.Capable].
func (j *Journal) Capabilities() []jitney.Capability {
	return []jitney.Capability{jitney.CanBatch, jitney.CanReplay}
}
