package why

import (
	"fmt"
	"strings"
	"time"
)

// story tells in one line what has become of a delivery.
func (d *Delivery) story(layout string) string {
	if len(d.Attempts) == 0 {
		return "nothing seen yet"
	}
	last := &d.Attempts[len(d.Attempts)-1]
	text := last.ending(d.took(), layout)
	if last.Error != "" && (last.Outcome != "skipped" || last.Error != "skipped") {
		text += ": " + last.Error
	}
	if others := d.failures(last.Error); others != "" {
		text += "   (" + others + ")"
	}
	return text
}

// ending says how an attempt has ended that is the last so far, but for its error.
func (a *Attempt) ending(took time.Duration, layout string) string {
	switch a.Outcome {
	case "handled", "skipped":
		text := a.Outcome
		if a.Redeliveries > 0 {
			text += " when redelivered"
		}
		if a.Number > 1 {
			return fmt.Sprintf("%s  %s, %s", text, count(a.Number, "attempt"), span(took))
		}
		return text + "  " + span(took)
	case "dead":
		text := "dead after " + count(a.Number, "attempt")
		if a.Redeliveries > 0 {
			text = "dead again after " + count(a.Number, "attempt") + " when redelivered"
		}
		if a.Reason != "" && a.Reason != "exhausted" {
			text += ", " + a.Reason
		}
		return text
	case "retry":
		return fmt.Sprintf("failed in attempt %d%s", a.Number, a.due(", again at ", layout))
	case "held":
		return "held" + a.due(", again at ", layout)
	case "spared":
		return "waits for its breaker"
	case "recalled":
		return "recalled for another process"
	case "dropped":
		return "dropped, its queue was full"
	}
	return a.Outcome
}

// due says when the next attempt may begin, if that is known.
func (a *Attempt) due(text, layout string) string {
	if a.Began.IsZero() {
		return ""
	}
	began, due := a.Began.UTC(), a.Began.Add(a.Took+a.Wait).UTC()
	if began.Format(dateLayout) != due.Format(dateLayout) {
		layout = dateLayout + " " + clockLayout
	}
	return text + due.Format(layout)
}

// began is when its first attempt began.
func (d *Delivery) began() time.Time {
	for i := range d.Attempts {
		if a := &d.Attempts[i]; !a.Began.IsZero() {
			return a.Began
		}
	}
	return time.Time{}
}

// took is the time from the beginning of the (re)delivery's first attempt to the end of its last.
func (d *Delivery) took() time.Duration {
	last := &d.Attempts[len(d.Attempts)-1]
	for i := range d.Attempts {
		if a := &d.Attempts[i]; a.Redeliveries == last.Redeliveries && !a.Began.IsZero() && !last.Began.IsZero() {
			return last.Began.Add(last.Took).Sub(a.Began)
		}
	}
	return last.Took
}

// failures lists the errors of earlier attempts, but for the one that is told already: each once for the attempts in a
// row that had it.
func (d *Delivery) failures(told string) string {
	var list []string
	as := d.Attempts[:len(d.Attempts)-1]
	for i := 0; i < len(as); {
		n := i + 1
		for n < len(as) && as[n].Error == as[i].Error && as[n].Redeliveries == as[i].Redeliveries {
			n++
		}
		if as[i].Error != "" && as[i].Error != told {
			list = append(list, label(as[i:n])+": "+as[i].Error)
		}
		i = n
	}
	if d.Left > 0 {
		list = append(list, count(d.Left, "more attempt"))
	}
	return strings.Join(list, "; ")
}

// label numbers attempts that ended alike.
func label(as []Attempt) string {
	first, last := as[0].Number, as[len(as)-1].Number
	if first == 0 { // it was no attempt
		return as[0].Outcome
	}
	text := fmt.Sprint(first)
	if last > first {
		text = fmt.Sprintf("%d–%d", first, last)
	}
	if as[0].Redeliveries > 0 {
		text = fmt.Sprintf("redelivery %d, %s", as[0].Redeliveries, text)
	}
	if len(as) > last-first+1 { // a breaker has spared some
		text += fmt.Sprintf(", %d times", len(as))
	}
	return text
}

// span is a duration as people read it.
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
