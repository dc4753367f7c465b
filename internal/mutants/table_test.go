package mutants

// passContext gives a delivery the publisher's context, as wrap makes it.
func passContext(wrap string) []edit {
	return []edit{
		{"entry.go", "package jitney\n", "package jitney\n\nimport \"context\"\n"},
		{"entry.go", "type parcel struct {\n", "type parcel struct {\n\tctx context.Context\n"},
		{"fanout.go", "pc := parcel{", "pc := parcel{ctx: ctx, "},
		{"deliver.go", "s.attempt(withTrace(s.life, e.env), e)", "s.attempt(withTrace(" + wrap + ", e.env), e)"},
	}
}

var mutants = []mutant{
	{"inbox-marks-on-arrival", []edit{{"memory_inbox.go", "ok = err == nil", "ok = true"}}, "^TestG12Idempotency$"},
	{"inbox-key-without-subscriber", []edit{{"memory_inbox.go", "inboxID{key.Subscriber, key.ID}", `inboxID{"", key.ID}`}}, "^TestMemoryInboxKeepsTheContract$"},
	{"cancel-before-wait", []edit{{"shutdown.go", "b.bell.until(b.patient.Done(), b.quiet)", "b.force(subs)"}}, "^TestG13Shutdown$"},
	{"close-does-not-wait", []edit{{"shutdown.go", "<-s.closed\n\treturn s.result", "return nil"}}, "^TestG14Unsubscribe$"},
	{"handler-waits-for-room", []edit{{"queue.go", "case !p.inside:\n\t\tw =", "case true:\n\t\tw ="}}, "^TestG8NoCycleDeadlocks$"},
	{"hop-limit-ignored", []edit{{"event.go", "case env.Hops > b.hopLimit:", "case env.Hops > b.hopLimit+1<<20:"}}, "^TestHopLimitEndsALoop$"},
	{"retry-at-the-tail", []edit{{"lane.go", "\tl.state = laneIdle\n\tq.requeue(l)\n}", `	if h := l.head; h.next != nil {
		l.head, h.next = h.next, nil
		l.tail.next, l.tail = h, h
	}
	l.state = laneIdle
	q.requeue(l)
}`}}, "^TestConfigurationDoesNotChangeWhatHappensToAKey$"},
	{"no-key-any-lane", []edit{{"lane.go", "\tl := q.lanes[key]\n", "\tif key == \"\" {\n\t\tkey = time.Duration(q.stats.Accepted).String()\n\t}\n\tl := q.lanes[key]\n"}}, "^TestG3Order$"},
	{"goexit-not-noticed", []edit{{"deliver.go", "go s.work(e, &PanicError{Goexit: true, Stack: stack()})", "s.workers.Add(-1)\n\t\ts.goroutines.Done()"}}, "^TestG6Containment$"},
	{"publisher-context-passed-on", passContext("e.ctx"), "^TestG9Context$"},
	{"publisher-values-leak", passContext("context.WithoutCancel(e.ctx)"), "^TestG9Context$"},
	{"letter-store-error-ignored", []edit{{"deadletter.go", "err = contain(func() error { return s.letters.Add", "_ = contain(func() error { return s.letters.Add"}}, "^TestADeliveryKeepsItsPlaceUntilItsLetterIsStored$"},
	{"letter-of-failing-store-dropped", []edit{{"deadletter.go", "return s.hold(e)", "return s.finish(e, verdict{ending: dead}, err)"}}, "^TestADeliveryKeepsItsPlaceUntilItsLetterIsStored$"},
	{"redeliver-to-all", []edit{{"redeliver.go", "return r, s.submit(ctx, p)", `for _, o := range b.routes.all() {
		if o != s && o.wants(reflect.TypeOf(letter.Envelope.Event)) {
			_ = o.submit(ctx, parcel{env: p.env, at: p.at})
		}
	}
	return r, s.submit(ctx, p)`}}, "^TestG11DeadLetters$"},
	{"redeliver-removes-first", []edit{{"redeliver.go", "r = &redelivery{letter: letter,", "_ = s.letters.Remove(ctx, letter.ID)\n\tr = &redelivery{letter: letter,"}}, "^TestModel$"},
	{"drop-not-counted", []edit{{"queue.go", "\tq.stats.Dropped++\n", ""}}, "^TestG1Accounting$"},
	{"backoff-shift-overflows", []edit{{"retry.go", "r.Base > r.Max>>doublings", "r.Base<<doublings > r.Max"}}, "^(TestG10Retry|FuzzRetryNext)$"},
	{"offer-ignores-limit", []edit{{"queue.go", "case held < q.limit && (len(q.room) == 0 || p.inside):", "case held >= 0:"}}, "^TestG7Bounded$"},
	{"waiting-publishers-forgotten", []edit{{"room.go", "for len(q.room) > 0 &&", "for len(q.room) > 1<<20 &&"}}, "^TestConfigurationDoesNotChangeWhatHappensToAKey$"},
	{"sync-before-queues", []edit{{"fanout.go", "\t\t\tsyncs = true\n", "\t\t\trefuse(s, s.deliverSync(ctx, p))\n"}}, "^TestQueuesGetAnEventBeforeSynchronousSubscribers$"},
	{"ids-follow-the-clock-back", []edit{{"id.go", "if stamp <= last {", "if stamp == last {"}}, "^TestIDsRiseWhenTheClockIsSetBack$"},
	{"quiet-looks-once", []edit{{"bus.go", "!st.Oldest.IsZero() || st.Accepted != accepted[i]", "st.Accepted < accepted[i]"}}, "^TestQuietIsNotFooledByWorkThatMoves$"},
}
