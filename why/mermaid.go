package why

import (
	"fmt"
	"strings"
)

// Mermaid is the flow as a flowchart in Mermaid's language: events are rounded, deliveries are boxes, and what has died
// has a red frame.
func (f Flow) Mermaid() string {
	c := &chart{tree: newTree(&f)}
	fmt.Fprintf(&c.out, "flowchart LR\n")
	if f.Missing > 0 {
		fmt.Fprintf(&c.out, "  missing[\"%s\"]\n", quote("… "+count(f.Missing, "earlier event")+" not kept"))
	}
	c.roots(func(i int) { c.event(i, "") })
	if len(c.dead) > 0 {
		fmt.Fprintf(&c.out, "  classDef dead stroke:#c00,stroke-width:3px\n  class %s dead\n", strings.Join(c.dead, ","))
	}
	return c.out.String()
}

type chart struct {
	*tree
	out        strings.Builder
	deliveries int
	dead       []string
}

// event draws an event, an arrow to it from where it comes from, and what hangs from it.
func (c *chart) event(i int, from string) {
	if !c.take(i) {
		return
	}
	e := &c.flow.Events[i]
	id := fmt.Sprintf("e%d", i)
	fmt.Fprintf(&c.out, "  %s([\"%s\"])\n", id, quote(line(e.Type)))
	c.arrow(from, id)
	for j := range e.Deliveries {
		c.delivery(e, &e.Deliveries[j], id)
	}
	for _, child := range c.children[parent{event: e.ID}] {
		c.event(child, id)
	}
}

func (c *chart) delivery(e *Event, d *Delivery, from string) {
	id := fmt.Sprintf("d%d", c.deliveries)
	c.deliveries++
	outcome := d.outcome()
	if strings.HasPrefix(outcome, "dead") {
		c.dead = append(c.dead, id)
	}
	fmt.Fprintf(&c.out, "  %s[\"%s<br/>%s\"]\n", id, quote(d.Subscriber), quote(outcome))
	c.arrow(from, id)
	for _, child := range c.children[parent{e.ID, d.Subscriber}] {
		c.event(child, id)
	}
}

// outcome is the short form of a story.
func (d *Delivery) outcome() string {
	if len(d.Attempts) == 0 {
		return "nothing seen yet"
	}
	last := &d.Attempts[len(d.Attempts)-1]
	text := last.Outcome
	if last.Number > 1 {
		text += ", " + count(last.Number, "attempt")
	}
	if last.Outcome != "handled" && last.Error != "" {
		text += ": " + last.Error
	}
	return text
}

func (c *chart) arrow(from, to string) {
	if from != "" {
		fmt.Fprintf(&c.out, "  %s --> %s\n", from, to)
	}
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
