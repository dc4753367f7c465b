package flowmap

import (
	"fmt"
	"strings"
)

// Mermaid is the map as a flowchart in Mermaid's language: who publishes from outside is a circle, types are rounded,
// subscribers are boxes. A type that nobody hears has a dashed frame, and the types of a cycle have a red one.
func (m Map) Mermaid() string {
	c := &chart{ids: make(map[node]string), ways: make(map[string]bool)}
	c.out.WriteString("flowchart LR\n")
	for _, s := range m.Outside {
		for _, typ := range s.Publishes {
			c.arrow(node{'p', s.Name}, node{'t', typ})
		}
	}
	for _, s := range m.Subscribers {
		c.node(node{'s', s.Name})
		for _, on := range s.On {
			c.arrow(node{'t', on.Type}, node{'s', s.Name})
		}
		for _, on := range s.On {
			for _, typ := range on.Publishes {
				c.arrow(node{'s', s.Name}, node{'t', typ})
			}
		}
	}
	c.class("unheard", "stroke-dasharray:5 5", m.Unheard)
	var circling []string
	for _, way := range m.Cycles {
		for i := 0; i < len(way)-1; i += 2 {
			circling = append(circling, way[i])
		}
	}
	c.class("cycle", "stroke:#c00,stroke-width:3px", circling)
	return c.out.String()
}

// node is something that a chart has once: p, what publishes from outside, t, a type, or s, a subscriber.
type node struct {
	kind byte
	name string
}

var shapes = map[byte][2]string{'p': {"((", "))"}, 't': {"([", "])"}, 's': {"[", "]"}}

type chart struct {
	out  strings.Builder
	ids  map[node]string
	ways map[string]bool
}

// node returns n's ID, and draws n if it is new.
func (c *chart) node(n node) string {
	if id, drawn := c.ids[n]; drawn {
		return id
	}
	id := fmt.Sprintf("%c%d", n.kind, len(c.ids))
	c.ids[n] = id
	name := n.name
	if name == "" {
		name = "outside"
	}
	shape := shapes[n.kind]
	fmt.Fprintf(&c.out, "  %s%s\"%s\"%s\n", id, shape[0], quote(name), shape[1])
	return id
}

func (c *chart) arrow(from, to node) {
	a, b := c.node(from), c.node(to)
	if way := "  " + a + " --> " + b + "\n"; !c.ways[way] {
		c.ways[way] = true
		c.out.WriteString(way)
	}
}

func (c *chart) class(name, style string, types []string) {
	if len(types) == 0 {
		return
	}
	ids := make([]string, len(types))
	for i, typ := range types {
		ids[i] = c.node(node{'t', typ})
	}
	fmt.Fprintf(&c.out, "  classDef %s %s\n  class %s %s\n", name, style, strings.Join(ids, ","), name)
}

// quote writes what might mean something between Mermaid's quotes as numbers.
func quote(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 && !plain(r) {
			fmt.Fprintf(&b, "#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func plain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(" .,:-/()+", r)
}
