package dbtest

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a journal and its server, and cuts their connections. It forwards to what Dial was last asked
// for.
type Proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu            sync.Mutex
	network, addr string // of the server
	closed        bool
	outage        time.Time // until then connections are refused
	trap          *trap
	links         map[*link]struct{}
}

// trap cuts the next connection whose client sends text: before the server has it, or when the server answers.
type trap struct {
	text      string
	delivered bool
}

// link is a connection from a client to the server. Its fields are guarded by Proxy.mu.
type link struct {
	client, server net.Conn
	mute           bool // it ends with the server's next answer, which the client does not get
	silent         bool // nothing gets through, not even the client's end
}

// fate is what becomes of what is to be forwarded.
type fate int

const (
	passes fate = iota
	vanishes
	ends // the connection, with it
)

// NewProxy returns a proxy that ends with the test.
func NewProxy(t testing.TB) *Proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &Proxy{listener: listener, links: make(map[*link]struct{})}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		_ = listener.Close()
		p.Cut(0)
		p.running.Wait()
	})
	return p
}

// Dial connects to addr through the proxy.
func (p *Proxy) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	p.mu.Lock()
	p.network, p.addr = network, addr
	p.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, "tcp", p.listener.Addr().String())
}

// Cut ends all connections at both ends, and refuses new ones for as long as outage.
func (p *Proxy) Cut(outage time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outage = time.Now().Add(outage)
	for l := range p.links {
		l.close()
	}
}

// CutReplies ends each of the connections when the server answers next: it has done what it was asked, and the client
// does not get to know.
func (p *Proxy) CutReplies() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.mute = true
	}
}

// CutAt ends the connection of the next client that sends text: when the server answers, if delivered is set, or else
// before the server has it.
func (p *Proxy) CutAt(text string, delivered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = &trap{text, delivered}
}

// Silence lets nothing through the connections there are any more, and the server does not learn that their clients
// give them up. New ones work.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.silent = true
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // whatever was to be sent has been
	network, addr, refused := p.target()
	if refused {
		return
	}
	server, err := net.Dial(network, addr)
	if err != nil {
		return
	}
	l := &link{client: client, server: server}
	if !p.add(l) {
		l.close()
		return
	}
	defer p.end(l)
	p.running.Go(func() {
		defer p.end(l)
		forward(server, client, func([]byte) fate { return p.reply(l) })
	})
	forward(client, server, func(request []byte) fate { return p.request(l, request) })
}

// forward copies what passes until an end is closed.
func forward(from, to net.Conn, judge func([]byte) fate) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		switch judge(buf[:n]) {
		case vanishes:
			continue
		case ends:
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) target() (network, addr string, refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.network, p.addr, p.refuses()
}

// add reports whether the connection may be.
func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses() {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) refuses() bool { return p.closed || time.Now().Before(p.outage) }

func (p *Proxy) end(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.silent && !p.closed {
		_ = l.client.Close()
		return
	}
	l.close()
	delete(p.links, l)
}

// reply is the fate of what the server answers.
func (p *Proxy) reply(l *link) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case l.silent:
		return vanishes
	case l.mute:
		return ends
	}
	return passes
}

// request is the fate of what a client sends.
func (p *Proxy) request(l *link, text []byte) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case l.silent:
		return vanishes
	case p.trap == nil || !bytes.Contains(text, []byte(p.trap.text)):
		return passes
	}
	delivered := p.trap.delivered
	p.trap, l.mute = nil, true
	if delivered {
		return passes
	}
	return ends
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}
