package natsjournal

import "github.com/jitney-go/jitney"

// Capabilities implements [jitney.Capable]. Whether several events can be stored together depends on the server.
func (j *Journal) Capabilities() []jitney.Capability {
	list := []jitney.Capability{jitney.CanOrderAll, jitney.CanReplay}
	if j.batches {
		list = append(list, jitney.CanBatch)
	}
	return list
}
