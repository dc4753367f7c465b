package natstest

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Proxy stands between clients and a server, and cuts their connections.
type Proxy struct {
	// URL is where it listens.
	URL string

	addr     string // of the server
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	outage time.Time // until then connections are refused
	muted  bool      // what the server says is lost
	links  map[*link]struct{}
}

// link is a connection from a client to the server.
type link struct{ client, server net.Conn }

// NewProxy returns a proxy to a server that ends with the test.
func NewProxy(t testing.TB, addr string) *Proxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Proxy{URL: "nats://" + listener.Addr().String(), addr: addr, listener: listener, links: make(map[*link]struct{})}
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

// Cut ends all connections at both ends, and refuses new ones for as long as outage.
func (p *Proxy) Cut(outage time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outage, p.muted = time.Now().Add(outage), false
	for l := range p.links {
		l.close()
	}
}

// Mute has what the server says from now on be lost, until Cut is called.
func (p *Proxy) Mute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = true
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
	server, err := net.Dial("tcp", p.addr)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client, server}
	if !p.add(l) {
		l.close()
		return
	}
	p.running.Go(func() { p.forward(l, server, client, true) })
	p.forward(l, client, server, false)
}

func (p *Proxy) forward(l *link, from, to net.Conn, answers bool) {
	defer p.end(l)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if answers && p.isMuted() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) isMuted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.muted
}

// add reports whether the connection may be.
func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || time.Now().Before(p.outage) {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) end(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.close()
	delete(p.links, l)
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}
