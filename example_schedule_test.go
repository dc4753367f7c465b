package jitney_test

import (
	"context"
	"fmt"
	"time"

	"github.com/jitney-go/jitney"
)

// ReminderDue says that somebody is to be reminded of an order now.
type ReminderDue struct{ Order string }

func (ReminderDue) EventType() string { return "orders.reminder_due" }

// An event can be published later, and taken back until then.
func ExampleBus_Schedule() {
	ctx := context.Background()
	b := jitney.New(noLog)
	reminded := make(chan struct{})
	jitney.Subscribe(b, "reminders", func(_ context.Context, e ReminderDue) error {
		fmt.Println("remind of order", e.Order)
		close(reminded)
		return nil
	})

	_, _ = b.Schedule(ctx, time.Now().Add(10*time.Millisecond), ReminderDue{"1"})
	id, _ := b.Schedule(ctx, time.Now().Add(time.Hour), ReminderDue{"2"})
	list, _ := b.Scheduled(ctx, 10)
	fmt.Println(len(list), "scheduled")
	_ = b.Unschedule(ctx, id) // paid meanwhile

	<-reminded
	_ = b.Shutdown(ctx)
	// Output:
	// 2 scheduled
	// remind of order 1
}

// Any schedule with a method Next(time.Time) time.Time says when an event recurs: those of cron libraries do.
func ExampleBus_Recur() {
	ctx := context.Background()
	b := jitney.New(noLog)
	closed := make(chan struct{}, 1)
	jitney.Subscribe(b, "books", func(context.Context, DayClosed) error {
		select {
		case closed <- struct{}{}:
		default:
		}
		return nil
	})

	r := b.Recur("close the books", jitney.Every(5*time.Millisecond), func(at time.Time) jitney.Event { return DayClosed{at} })
	<-closed
	fmt.Println("closed")

	_ = r.Stop(ctx)
	_ = b.Shutdown(ctx)
	// Output: closed
}

// DayClosed says that a day's orders are all in.
type DayClosed struct{ At time.Time }

func (DayClosed) EventType() string { return "books.day_closed" }
