package payments

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"sync"

	"github.com/jitney-go/jitney/examples/orderflow/money"
)

// ErrUnavailable is what the gateway says while it is down.
var ErrUnavailable = errors.New("payment gateway unavailable")

// FlakyGateway stands for a payment provider that is not there for some payments, for a while, and once not
// there for anybody. Which payments fail, and for how many calls, follows from the seed and the invoice alone,
// not from the moment they come; and the outage is over after a number of calls: so a run can be repeated.
type FlakyGateway struct {
	seed uint64

	mu     sync.Mutex
	calls  map[string]int // per invoice that has failed
	called int            // in all
}

// The outage begins with one call and lasts until so many have failed.
const (
	outageBegin = 20
	outageCalls = 20
)

// NewFlakyGateway returns a gateway that is down where seed says so.
func NewFlakyGateway(seed uint64) *FlakyGateway {
	return &FlakyGateway{seed: seed, calls: make(map[string]int)}
}

// Move implements Gateway.
func (g *FlakyGateway) Move(ctx context.Context, invoice string, _ money.Amount) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.called++
	if n := g.called - outageBegin; n >= 0 && n < outageCalls {
		return ErrUnavailable
	}
	if g.calls[invoice] < g.failures(invoice) {
		g.calls[invoice]++
		return ErrUnavailable
	}
	delete(g.calls, invoice)
	return nil
}

// failures is how often the gateway fails for an invoice: not at all for most, up to three times for one
// in twenty. Once that many calls have failed it works for that invoice.
func (g *FlakyGateway) failures(invoice string) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(invoice))
	r := rand.New(rand.NewPCG(g.seed, h.Sum64()))
	if r.IntN(20) > 0 {
		return 0
	}
	return 1 + r.IntN(3)
}
