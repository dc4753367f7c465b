package why

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// String is the flow as a tree of text, one line for each event and each delivery, with the time, in UTC, of its
// publication or its first attempt:
//
//	18:04:11.120  orders.placed 0199…  by shop
//	18:04:11.121  ├─ billing  handled  2 attempts, 103 ms   (1: card declined)
//	18:04:11.224  │  └─ payments.charged 0199…
//	18:04:11.121  └─ mailer   dead after 5 attempts: smtp: 421
func (f Flow) String() string {
	w := &writer{tree: newTree(&f), layout: f.layout()}
	fmt.Fprintf(&w.out, "flow %s: %s%s\n", line(f.Correlation), count(len(f.Events), "event"), f.when())
	if f.Missing > 0 {
		fmt.Fprintf(&w.out, "… %s not kept\n", count(f.Missing, "earlier event"))
	}
	w.roots(func(i int) { w.event(i, "", "") })
	return w.out.String()
}

const (
	clockLayout = "15:04:05.000"
	dateLayout  = "2006-01-02"
)

func (f *Flow) when() string {
	if len(f.Events) == 0 {
		return ""
	}
	return ", from " + f.Events[0].Time.UTC().Format(dateLayout+" "+clockLayout) + " UTC"
}

// layout is that of times: without a date if all is of one day.
func (f *Flow) layout() string {
	days := make(map[string]bool)
	for i := range f.Events {
		e := &f.Events[i]
		days[e.Time.UTC().Format(dateLayout)] = true
		for _, d := range e.Deliveries {
			for _, a := range d.Attempts {
				if !a.Began.IsZero() {
					days[a.Began.UTC().Format(dateLayout)] = true
				}
			}
		}
	}
	if len(days) > 1 {
		return dateLayout + " " + clockLayout
	}
	return clockLayout
}

type writer struct {
	*tree
	out    strings.Builder
	layout string
}

// event writes an event behind first, and what hangs from it behind rest.
func (w *writer) event(i int, first, rest string) {
	if !w.take(i) {
		return
	}
	e := &w.flow.Events[i]
	w.line(e.Time, first+e.title(w.flow))
	own := w.children[parent{event: e.ID}]
	width := 0
	for _, d := range e.Deliveries {
		width = max(width, utf8.RuneCountInString(d.Subscriber))
	}
	for j := range e.Deliveries {
		first, deeper := branch(j == len(e.Deliveries)-1 && len(own) == 0)
		w.delivery(e, &e.Deliveries[j], width, rest+first, rest+deeper)
	}
	w.below(own, rest)
}

func (w *writer) delivery(e *Event, d *Delivery, width int, first, rest string) {
	w.line(d.began(), fmt.Sprintf("%s%-*s  %s", first, width, d.Subscriber, d.story(w.layout)))
	w.below(w.children[parent{e.ID, d.Subscriber}], rest)
}

func (w *writer) below(events []int, rest string) {
	for j, i := range events {
		first, deeper := branch(j == len(events)-1)
		w.event(i, rest+first, rest+deeper)
	}
}

func branch(last bool) (first, rest string) {
	if last {
		return "└─ ", "   "
	}
	return "├─ ", "│  "
}

func (w *writer) line(at time.Time, text string) {
	clock := strings.Repeat(" ", len(w.layout))
	if !at.IsZero() {
		clock = at.UTC().Format(w.layout)
	}
	fmt.Fprintf(&w.out, "%s  %s\n", clock, text)
}

// title names an event, and says where it comes from if the tree does not.
func (e *Event) title(f *Flow) string {
	text := line(e.Type) + " " + e.ID.String()
	_, known := f.find(e.Cause)
	switch {
	case e.Cause == uuid.Nil && e.Source != "":
		text += "  by " + line(e.Source)
	case e.Cause != uuid.Nil && !known && e.Publisher != "":
		text += "  by " + e.Publisher + ", because of " + e.Cause.String() + ", which is not here"
	case e.Cause != uuid.Nil && !known:
		text += "  because of " + e.Cause.String() + ", which is not here"
	}
	if e.Seen && len(e.Deliveries) == 0 {
		text += "  (nobody has subscribed)"
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// line makes one line of a text, without what a terminal might obey, and of at most maxText bytes.
func line(s string) string {
	n := maxText
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s[:min(len(s), 4*n)])
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
