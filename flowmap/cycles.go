package flowmap

import (
	"maps"
	"slices"
)

// graph has the ways from a type to those that are published because of it.
type graph map[string][]step

// step is one of them: a subscriber, and what it publishes.
type step struct{ subscriber, to string }

func (m *Map) graph() graph {
	g := make(graph)
	for _, s := range m.Subscribers {
		for _, on := range s.On {
			for _, typ := range on.Publishes {
				g[on.Type] = append(g[on.Type], step{s.Name, typ})
			}
		}
	}
	return g
}

// cycles returns, for each set of types that lead to each other, a shortest way from its first one back to it.
func (m *Map) cycles() [][]string {
	g := m.graph()
	told := make(map[string]bool)
	list := [][]string{}
	for _, typ := range slices.Sorted(maps.Keys(g)) {
		if told[typ] {
			continue
		}
		way, from := g.back(typ)
		if way == nil {
			continue
		}
		list = append(list, way)
		for other := range from {
			if _, leads := g.reach(other)[typ]; leads {
				told[other] = true
			}
		}
	}
	return list
}

// back returns a shortest way from typ to itself, nil if there is none, and all that typ leads to.
func (g graph) back(typ string) (way []string, from map[string]arrival) {
	from = g.reach(typ)
	if _, leads := from[typ]; !leads {
		return nil, from
	}
	way = []string{typ}
	for at := typ; len(way) == 1 || at != typ; {
		a := from[at]
		way = append(way, a.subscriber, a.from)
		at = a.from
	}
	slices.Reverse(way)
	return way, from
}

// arrival is how a type was reached: from another one, by a subscriber.
type arrival struct{ from, subscriber string }

// reach returns what typ leads to, each on a shortest way; typ itself is among it if it is on a cycle.
func (g graph) reach(typ string) map[string]arrival {
	from := make(map[string]arrival)
	for next := []string{typ}; len(next) > 0; next = next[1:] {
		for _, s := range g[next[0]] {
			if _, known := from[s.to]; !known {
				from[s.to] = arrival{next[0], s.subscriber}
				next = append(next, s.to)
			}
		}
	}
	return from
}
