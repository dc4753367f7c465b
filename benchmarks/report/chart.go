package main

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/jitney-go/jitney/benchmarks"
)

// chart draws the time per event as bars on a logarithmic scale, one row a system, one bar a scenario.
func (r *results) chart() string {
	const (
		width, left, right = 860, 250, 70
		bar, row, top      = 9, 52, 78
		least, most        = 10.0, 100_000.0
	)
	scenarios := benchmarks.Scenarios[:4]
	colours := []string{"#2f6f9f", "#e08a2e", "#5a9e5a", "#9a6aa8"}
	var systems []benchmarks.System
	for _, sys := range benchmarks.Systems() {
		if sys.Name != "function call" {
			systems = append(systems, sys)
		}
	}
	height := top + row*len(systems) + 24
	x := func(ns float64) float64 {
		share := math.Log10(max(ns, least)/least) / math.Log10(most/least)
		return left + share*(width-left-right)
	}
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, width, height, width, height)
	p(`<title>Time per event published, by system and scenario</title>`)
	p(`<rect width="100%%" height="100%%" fill="#ffffff"/>`)
	p(`<text x="12" y="22" font-size="15" font-weight="bold" fill="#222222">Time per event published, ns (logarithmic; shorter is better)</text>`)
	p(`<text x="12" y="40" fill="#666666">%s, %s, %s</text>`, html.EscapeString(r.Machine), html.EscapeString(r.Go), r.Date)
	for i, s := range scenarios {
		p(`<rect x="%d" y="52" width="10" height="10" fill="%s"/><text x="%d" y="61" fill="#222222">%s</text>`, left+110*i, colours[i], left+110*i+15, html.EscapeString(s.Name))
	}
	for ns := least; ns <= most; ns *= 10 {
		p(`<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#dddddd"/>`, x(ns), top-6, x(ns), height-20)
		p(`<text x="%.1f" y="%d" text-anchor="middle" fill="#666666">%.0f</text>`, x(ns), height-6, ns)
	}
	for i, sys := range systems {
		y := top + row*i
		weight := "normal"
		if strings.HasPrefix(sys.Name, ours) {
			weight = "bold"
			p(`<rect x="0" y="%d" width="%d" height="%d" fill="#f3f6f9"/>`, y-4, width, row-4)
		}
		p(`<text x="12" y="%d" font-weight="%s" fill="#222222">%s</text>`, y+16, weight, html.EscapeString(sys.Name))
		p(`<text x="12" y="%d" font-size="10" fill="#666666">%s</text>`, y+30, html.EscapeString(short(sys.Kind)))
		for k, s := range scenarios {
			ns := r.median(through(s.Name, sys.Name), nanoseconds)
			at := y + k*(bar+2)
			p(`<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, left, at, max(x(ns)-left, 1), bar, colours[k])
			p(`<text x="%.1f" y="%d" font-size="9" fill="#444444">%.0f</text>`, x(ns)+4, at+8, ns)
		}
	}
	p(`</svg>`)
	return b.String()
}

func short(k benchmarks.Kind) string {
	return [...]string{"no bus", "asynchronous, in order", "asynchronous, order is luck", "synchronous"}[k]
}
