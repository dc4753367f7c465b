package mutants

// passContext gives a delivery the publisher's context, as wrap makes it.
func passContext(wrap string) []edit {
	return []edit{
		{"entry.go", "package jitney\n", "package jitney\n\nimport \"context\"\n"},
		{"entry.go", "type parcel struct {\n", "type parcel struct {\n\tctx context.Context\n"},
		{"fanout.go", "pc := parcel{", "pc := parcel{ctx: ctx, "},
		{"deliver.go", "s.try(s.bus.carried(s.life, e.env), e)", "s.try(s.bus.carried(" + wrap + ", e.env), e)"},
	}
}

var mutants = []mutant{
	{"inbox-marks-on-arrival", []edit{{"memory_inbox.go", "ok = err == nil", "ok = true"}}, "^TestG12Idempotency$"},
	{"inbox-key-without-subscriber", []edit{{"memory_inbox.go", "l := in.ledgers[subscriber]\n", "subscriber = \"\"\n\tl := in.ledgers[subscriber]\n"}}, "^TestMemoryInboxKeepsTheContract$"},
	{"inbox-row-out-of-order", []edit{{"memory_inbox.go", "ss.list = slices.Insert(ss.list, at, s)", "ss.list = append(ss.list, s)"}}, "^TestMemoryInboxKnowsEachKeyWhateverTheOrder$"},
	{"inbox-old-mark-comes-back", []edit{{"memory_inbox.go", "\t\tl.forget(id)\n", ""}}, "^TestMemoryInboxForgetsByAgeAlsoInDisorder$"},
	{"cancel-before-wait", []edit{{"shutdown.go", "b.bell.until(b.patient.Done(), func() bool { return b.quiet(true) })", "b.force(subs)"}}, "^TestG13Shutdown$"},
	{"close-does-not-wait", []edit{{"shutdown.go", "<-s.closed\n\treturn s.result", "return nil"}}, "^TestG14Unsubscribe$"},
	{"handler-waits-for-room", []edit{{"overflow.go", "case !inside:\n\t\tw =", "case true:\n\t\tw ="}}, "^TestG8NoCycleDeadlocks$"},
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
			_ = o.submit(ctx, parcel{env: p.env})
		}
	}
	return r, s.submit(ctx, p)`}}, "^TestG11DeadLetters$"},
	{"redeliver-removes-first", []edit{{"redeliver.go", "r = &redelivery{letter: letter,", "_ = s.letters.Remove(ctx, letter.ID)\n\tr = &redelivery{letter: letter,"}}, "^TestModel$"},
	{"drop-not-counted", []edit{{"overflow.go", "\tq.stats.Dropped++\n", ""}}, "^TestG1Accounting$"},
	{"backoff-shift-overflows", []edit{{"retry.go", "r.Base > r.Max>>doublings", "r.Base<<doublings > r.Max"}}, "^(TestG10Retry|FuzzRetryNext)$"},
	{"offer-ignores-limit", []edit{{"overflow.go", "case held < q.limit && (len(q.room) == 0 || inside), q.owes(p, held):", "case held >= 0:"}}, "^TestG7Bounded$"},
	{"waiting-publishers-forgotten", []edit{{"room.go", "for len(q.room) > 0 &&", "for len(q.room) > 1<<20 &&"}}, "^TestConfigurationDoesNotChangeWhatHappensToAKey$"},
	{"sync-before-queues", []edit{{"fanout.go", "\t\t\tsyncs = syncs || s.sync\n", "\t\t\tif s.sync {\n\t\t\t\trefuse(s, s.deliverSync(ctx, p, inside))\n\t\t\t}\n"}}, "^TestQueuesGetAnEventBeforeSynchronousSubscribers$"},
	{"ids-follow-the-clock-back", []edit{{"id.go", "if stamp <= last {", "if stamp == last {"}}, "^TestIDsRiseWhenTheClockIsSetBack$"},
	{"parked-released-at-the-tail", []edit{{"parking.go", "e.next, e.state = nil, queued\n\t\tq.enterFirst(e)\n\t\tq.first(e)", `e.next, e.state = nil, queued
		q.enterFirst(e)
		e.lane = q.laneOf(e)
		if e.lane.tail == nil {
			e.lane.head = e
		} else {
			e.lane.tail.next = e
		}
		e.lane.tail = e
		if e.lane.state == laneIdle {
			q.push(e.lane)
		}`}}, "^TestG33Parking$"},
	{"parking-without-bound", []edit{{"parking.go", "q.stats.Parked >= q.parking.limit", "q.stats.Parked < 0"}}, "^TestFullParkingHoldsTheLaneAndItsLetterGetsThrough$"},
	{"redelivery-does-not-overtake", []edit{{"overflow.go", "p.again() != nil && q.parking.limit > 0", "p.again() != nil && q.parking.limit < 0"}}, "^TestFullParkingHoldsTheLaneAndItsLetterGetsThrough$"},
	{"failed-redelivery-releases", []edit{{"parking.go", "case v.ending != dead && e.again() != nil:", "case e.again() != nil:"}}, "^TestG33Parking$"},
	{"shutdown-waits-for-parked", []edit{{"ending.go", "q.oldest == nil && n == 0 || leaveHeld", "q.oldest == nil && n == 0 && q.stats.Parked == 0 || leaveHeld"}}, "^TestG33Parking$"},
	{"drop-wakes-a-waiting-lane", []edit{{"overflow.go", "case e.state == waiting: // its lane has waited for it", "case l.state == laneWaiting:"}}, "^TestDropOldestLeavesALaneThatWaitsAlone$"},
	{"breaker-burns-attempts", []edit{{"gate.go", "\treturn true\n}\n\n// halfOpen", "\treturn false\n}\n\n// halfOpen"}}, "^TestG36Breaker$"},
	{"half-open-lets-all-through", []edit{{"gate.go", "\t\tb.probe = e\n\t\tg.close(true)", "\t\tb.probe = e"}}, "^TestHalfOpenBreakerLetsOneThrough$"},
	{"probe-never-cleared", []edit{{"gate.go", "case e == b.probe: // it has told nothing: the next one is tried", "case false:"}}, "^TestHalfOpenBreakerTriesTheNextAfterASkip$"},
	{"breaker-pause-does-not-double", []edit{{"breaker.go", "b.pause = b.Pause << doublings", "b.pause = b.Pause << min(doublings, 0)"}}, "^TestBreakerProbesAfterPausesThatDouble$"},
	{"resume-wakes-nobody", []edit{{"gate.go", "\tif !g.shut {\n\t\tq.work.Broadcast()", "\tif g.shut {\n\t\tq.work.Broadcast()"}}, "^TestPauseHoldsBackAndResumeLetsGo$"},
	{"held-back-not-told", []edit{{"queue.go", "if (q.gate.paused || q.parking.blocked != nil || q.kept > 0) && q.idle() {", "if false {"}}, "^TestShutdownReturnsWhatIsPausedAndDoesNotWaitForIt$"},
	{"shares-without-deficit", []edit{{"share.go", "if cost <= s.credit {", "if cost >= 0 {"}}, "^TestSharesAreOfCostNotOfEvents$"},
	{"share-of-the-key-forgotten", []edit{{"share.go", "\t\tss.append(s)\n\t}\n}\n\n// pop", "\t\tss.insert(s)\n\t}\n}\n\n// pop"}}, "^TestG38FairShare$"},
	{"discard-leaves-mark", []edit{{"redeliver.go", "b.redeliveries.Delete(id)", "b.redeliveries.Delete(letter.ID)"}}, "^TestDiscardLetsTheRestGoOnWhenTheLetterIsLost$"},
	{"redrive-forgets-where-it-was", []edit{{"deadletter/redrive.go", "\t\tj.report.Checkpoint.After = l.ID\n", ""}}, "^TestCancelledJobGoesOnWhereItWas$"},
	{"redrive-skips-the-one-under-way", []edit{{"deadletter/redrive.go", "\t\tif err := j.send(ctx, l); err != nil {\n", "\t\tj.report.Checkpoint.After = l.ID\n\t\tif err := j.send(ctx, l); err != nil {\n"}}, "^TestLetterUnderWayAtTheEndIsTriedAgainIfItHasFailed$"},
	{"redrive-tries-new-letters", []edit{{"deadletter/redrive.go", "if c.Last != uuid.Nil && ", "if c.Last != uuid.Nil && false && "}}, "^TestLettersThatDieMeanwhileAreNotTried$"},
	{"room-not-reckoned-after-a-retry", []edit{{"lane.go", "\tq.stats.Waiting++\n\tq.reckon()\n", "\tq.stats.Waiting++\n"}}, "^TestWhatWaitsAgainTakesRoom$"},
	{"intake-not-on-the-account", []edit{{"queue.go", "\ts.Queued += n\n", ""}}, "^TestWhatStandsInNoLaneYetIsAccountedFor$"},
	{"intake-forgotten-at-shutdown", []edit{{"ending.go", "\tq.gather()\n", ""}}, "^TestShutdownNamesWhatStandsInNoLaneYet$"},
	{"intake-looked-at-when-idle-only", []edit{{"queue.go", "q.taken%gatherEvery == 0 && q.keyed", "false"}}, "^TestAKeyDoesNotWaitForAnothersBacklog$"},
	{"handled-kept-alive", []edit{{"intake.go", "clear(q.stock[max(0, used-letGo):used])", "_ = used"}}, "^TestHandledEventsAreLetGo$"},
	{"waiter-overtakes-the-intake", []edit{{"room.go", "\tq.admit(w.parcel)\n", "\tq.accept(w.parcel)\n"}}, "^TestG3Order$"},
	{"standstill-not-told", []edit{{"queue.go", "if (q.parking.blocked != nil || q.kept > 0) && q.idle() {", "if false {"}}, "^TestShutdownNoticesAStandstillThatComesInLate$"},
	{"scope-used-twice", []edit{{"deliver.go", "if e.scope = nil; c == nil {", "if c == nil {"}}, "^TestEachAttemptHasAContextOfItsOwn$"},
	{"late-needs-a-timer", []edit{{"limit.go", "return time.Since(start)-l.begin >= l.timeout && l.Context.Err() == nil", "return false"}}, "^TestTimeoutIsNoticedWithoutATimer$"},
	{"child-of-a-founder-has-no-flow", []edit{{"scope.go", "return v.env.CorrelationID(), v", "return v.env.Correlation, v"}}, "^TestCorrelationAndCauseFlow$"},
	{"quiet-looks-once", []edit{{"bus.go", "!still || n != reasons[i]", "!still && n < reasons[i]"}}, "^TestQuietIsNotFooledByWorkThatMoves$"},

	// The journal.
	{"feed-settles-what-was-interrupted", []edit{{"feed.go", "if end != interrupted {", "if true {"}}, "^TestDurableSubscriptionGoesOnWhereItWas$"},
	{"crashes-not-heeded", []edit{{"deliver.go", "case e.crashes() >= maxCrashes:", "case e.crashes() > 1<<20:"}}, "sqljournal/sqlite:^TestG30CrashLoopsEnd$"},
	{"synchronous-normal", []edit{
		{"sqljournal/sqlite/sqlite.go", "\"synchronous = FULL\", ", "\"synchronous = NORMAL\", "},
		{"sqljournal/sqlite/sqlite.go", "synchronous < 2", "synchronous < 1"},
	}, "^TestG18DurableOnReturn$"},
	{"tail-mark-not-checked", []edit{{"sqljournal/sqlite/files.go", "acked > last {", "acked > last+1<<40 {"}}, "^TestG26CorruptionIsLoud$"},
	{"checksum-not-checked", []edit{{"sqljournal/record.go", "if r.crc != r.sum() {", "if false {"}}, "sqljournal/sqlite:^TestG26CorruptionIsLoud$"},
	{"floor-above-what-is-out", []edit{{"sqljournal/settling.go", "c.floor = c.out[0] - 1", "c.floor = c.through"}}, "sqljournal/sqlite:^TestAllThatHoldsForEachDatabase$/^Journal$"},
	{"settled-ahead-forgotten", []edit{{"sqljournal/reading.go", "c.settled[e.Position] = true\n\t\treturn true", "return false"}}, "sqljournal/sqlite:^TestAllThatHoldsForEachDatabase$/^Journal$"},
	{"doubt-not-settled", []edit{{"sqljournal/tx.go", "\tj.doubtful = true\n", ""}}, "sqljournal/sqlite:^TestG19ThreeOutcomes$"},
	{"failed-batch-fails-all", []edit{{"sqljournal/commit.go", "if len(batch) > 0 && len(batch)+len(changes) > 1 && err != nil", "if len(batch) > 1<<20 && err != nil"}}, "sqljournal/sqlite:^TestG20AtomicAppend$"},
	{"inbox-marks-failures", []edit{{"sqljournal/inbox.go", "\t\treturn handle(ctx)\n\t})\n}\n\n// marked", "\t\t_ = handle(ctx)\n\t\treturn nil\n\t})\n}\n\n// marked"}}, "sqljournal/sqlite:^TestG24EffectsOnce$"},
	{"outbox-without-transaction", []edit{{"sqljournal/append.go", "if tx := j.TxOf(ctx); tx != nil {", "if tx := j.TxOf(context.Background()); tx != nil {"}}, "sqljournal/postgres:^TestG23Outbox$"},
	{"occurrence-of-each-process", []edit{{"recur.go", "ID: occurrence(r.name, at), At: at}", "ID: uuid.Must(uuid.NewV7()), At: at}"}}, "^TestG42Timetables$"},
	{"occurrence-left-out-uncounted", []edit{{"recur.go", "			s.leftOut.Add(1)\n", ""}}, "^TestG16NothingSilent$"},
	{"occurrence-left-out-at-shutdown", []edit{{"recur.go", "if s.bus.closing.Load() {", "if false {"}}, "^TestAnOccurrenceAtShutdownIsNotLeftOut$"},
	{"occurrence-returned-at-shutdown", []edit{{"scheduler.go", "if s.recurs(e) {", "if false {"}}, "^TestARecurringEventIsPublishedAtEachTime$"},
	{"stopped-recurrence-comes-once-more", []edit{{"recur.go", "	if at.IsZero() {\n		return nil\n	}\n	if err := s.bus", "	if true {\n		return nil\n	}\n	if err := s.bus"}}, "^TestARecurringEventIsPublishedAtEachTime$"},
	{"recall-misses-what-next-returns", []edit{{"feed.go", "	if f.recalled[e.Position] {\n", "	if false {\n"}}, "^TestWhatIsRecalledJustBeforeNextReturnsIsNotHandled$"},
	{"recall-does-not-wait", []edit{{"recall.go", "			runs = append(runs, e.rare.ran)\n", ""}}, "^TestWhatAJournalRecallsIsNotHandledHere$"},
	{"recall-leaves-parked", []edit{{"recall.go", "		case back[e.position()]:\n			p.n--", "		case false:\n			p.n--"}}, "^TestWhatAJournalRecallsIsNotHandledHere$"},
	{"recalled-is-through", []edit{{"recall.go", "		f.through.Store(min(f.through.Load(), pos-1))\n", ""}}, "^TestFlushWaitsForWhatIsRecalledAndComesAgain$"},
	{"scheduled-forgotten-first", []edit{{"scheduler.go", "	err = b.post(s.life, []posting{p})\n	var refused", "	_ = s.forget(e)\n	err = b.post(s.life, []posting{p})\n	var refused"}}, "^TestWhatIsDueWaitsForAJournalThatFails$"},
	{"scheduled-not-returned", []edit{{"scheduler.go", "if s.memory != nil {\n		for", "if s.memory == nil {\n		for"}}, "^TestG39Later$"},
	{"pause-forgotten", []edit{{"held.go", "f.s.queue.holdAgain(h)", "_ = h"}}, "^TestAPauseHoldsOnAfterARestart$"},
	{"batch-moved-in-part", []edit{{"sqljournal/moving.go", "if len(missing) == 0 || len(list) < maxBatch {", "if true {"}}, "sqljournal/sqlite:^TestG23Outbox$/^Batches$"},
	{"upcaster-tells-numbers", []edit{{"wire/types.go", "ofUpcaster(err)", "err"}}, "wire:^TestAnUpcasterThatFailsIsAnError$"},
	{"progress-not-taken-up", []edit{{"deliver.go", "case e.progress() != nil:", "case e.progress() != nil && false:"}}, "^TestARetryGoesOnAfterADeathOfTheProcess$"},
	{"asleep-takes-room", []edit{{"lane.go", "return min(q.asleep, maxAsleep*q.limit)", "return 0"}}, "^TestKeysThatWaitForLongLeaveRoomForOthers$"},
	{"letters-hold-nothing-after-restart", []edit{{"feed.go", "if ok && f.s.queue.parking.limit > 0", "if false && f.s.queue.parking.limit > 0"}}, "^TestWhatIsParkedOnAJournalStaysParkedAfterARestart$"},
	{"late-not-put-aside", []edit{{"sqljournal/settling.go", "\t\tc.catchUp()\n", ""}}, "sqljournal/sqlite:^TestAllThatHoldsForEachDatabase$/^Stuck$"},
	{"deaths-not-counted", []edit{{"sqljournal/recovery.go", "deaths = r.deaths + 1", "deaths = 1"}}, "sqljournal/sqlite:^TestG30CrashLoopsEnd$"},
	{"prune-takes-what-is-needed", []edit{{"sqljournal/retention.go", "if !also {", "if false {"}}, "sqljournal/sqlite:^TestAllThatHoldsForEachDatabase$/^Retention$"},
	{"replay-in-spite-of-side-effects", []edit{{"sqljournal/replay.go", "case c.sideEffects && !r.SideEffects:", "case false:"}}, "sqljournal/sqlite:^TestG25Replay$"},
	{"second-owner-let-in", []edit{{"sqljournal/sqlite/files.go", "if !locked {", "if !locked && false {"}}, "^TestG27OneOwner$"},
	{"bridge-marks-the-shared-envelope", []edit{{"bridge/via.go", "maps.Clone(env.Headers)", "maps.Collect(maps.All(env.Headers))\n\tif env.Headers != nil {\n\t\tstamped.Headers = env.Headers\n\t}"}}, "^TestEventLeavesAsItIsButForVia$"},
	{"bridge-goes-in-circles", []edit{{"bridge/via.go", "if slices.Contains(left, r.to) {", "if slices.Contains(left, r.to) && false {"}}, "^TestLoopOfTwoIsCut$"},
	{"bridge-forgets-foreign-events-engine", []edit{{"bridge/via.go", "append(left, r.from)", "append(left, left...)"}}, "^TestForeignEventDoesNotGoBack$"},
	{"bridge-tries-a-conflict-forever", []edit{{"bridge/way.go", "if final(err) {", "if false {"}}, "^TestWhatTheEngineWillNeverTakeIsADeadLetter$"},
	{"bridge-gives-up", []edit{{"bridge/way.go", "Attempts: math.MaxInt,", "Attempts: math.MaxInt8,"}}, "^TestOutIsPatientThroughAnOutage$"},
	{"bridge-settles-for-some", []edit{{"bridge/in.go", "err == nil && len(late) > 0; n++", "err == nil && len(late) > 0 && false; n++"}}, "^TestFullQueueIsWaitedFor$"},
	{"bridge-repeats-to-all", []edit{{"bridge/in.go", "d.offer(ctx, env, name)", "d.offer(ctx, env, names[:0]...)\n\t\t_ = name"}}, "^TestFullQueueIsWaitedFor$"},
	{"bridge-counts-as-a-handler", []edit{{"bridge/in.go", "ctx, done := outside(ctx)", "_, done := outside(ctx)"}}, "^TestFullQueueIsWaitedFor$"},
	{"bridge-runs-the-engines-schedule", []edit{{"bridge/in.go", "log{ends.Engine}", "ends.Engine"}}, "^TestInLeavesTheSchedule$"},
	{"bridge-lets-out-what-was-hidden", []edit{{"bridge/via.go", "\tstamped.Event = e\n", "\t_ = e\n"}}, "^TestWhatAMiddlewareMakesOfAnEventLeaves$"},
	{"question-passes-values-on", []edit{{"request.go", "\t\treturn in.asker.Value(key)\n\t}\n\treturn nil\n", "\t\treturn in.asker.Value(key)\n\t}\n\treturn in.asker.Value(key)\n"}}, "^TestAnswererHasTheAskersTimeAndNoneOfItsValues$"},
	{"question-outlives-its-asker", []edit{{"request.go", "{ return in.asker.Done() }", "{ return nil }"}}, "^TestAnswererHasTheAskersTimeAndNoneOfItsValues$"},
	{"question-without-hop-limit", []edit{{"request.go", "if env.Hops > s.bus.hopLimit {", "if env.Hops > s.bus.hopLimit+1 {"}}, "^TestQuestionsInACircleEndWithTheirChain$"},
	{"question-becomes-a-dead-letter", []edit{{"deliver.go", "\tif s.answers {\n\t\te.open()", "\tif false {\n\t\te.open()"}}, "^TestAFailedQuestionIsItsAskersAlone$"},
	{"question-by-goexit-answered", []edit{{"request.go", "s.told(e, verdict{ending: failed}, ", "s.told(e, verdict{ending: handled}, "}}, "^TestGoexitInAnAnswererFailsTheQuestionAndTheAskersDelivery$"},
	{"question-refused-to-handlers", []edit{{"request.go", "cause != nil && cause.alive())", "cause == nil && cause.alive())"}}, "^TestShutdownWaitsForQuestionsAndAnswersHandlers$"},
	{"question-published", []edit{{"route.go", "if typ.Implements(questionType) {", "if typ.Implements(questionType) && false {"}}, "^TestAQuestionIsNoEvent$"},
	{"second-answerer-let-in", []edit{{"route.go", "rs.answerers.Load(s.want); taken {", "rs.answerers.Load(s.want); taken && false {"}}, "^TestAnswerersAreWiredOnce$"},
	{"closed-answerer-asked", []edit{{"route.go", "\trs.answerers.CompareAndDelete(s.want, s)\n", ""}}, "^TestAnAnswererIsPausedAndClosed$"},
	{"middleware-answers-nothing", []edit{{"request.go", "if err == nil && inquiryOf(ctx).answer.Load() == nil {", "if err != nil && inquiryOf(ctx).answer.Load() == nil {"}}, "^TestMiddlewareIsAroundAnswersToo$"},
	{"answerer-takes-all-defaults", []edit{{"option.go", "if o, ok := o.(AnswerOption); ok {\n\t\t\to.applyAnswer(&c)\n\t\t}", "o.applySubscription(&c)"}, {"deliver.go", "\tif s.answers {\n\t\te.open()", "\tif s.answers && s.retry == nil {\n\t\te.open()"}}, "^TestAFailedQuestionIsItsAskersAlone$"},
	{"filter-panic-loses-the-event", []edit{{"filter.go", "wanted := true", "wanted := false"}}, "^TestAnEventWhoseFilterPanicsIsDelivered$"},
	{"filter-asked-of-what-is-addressed", []edit{{"fanout.go", "if s.picky && !named && !s.hears(p.env) {", "if s.picky && !s.hears(p.env) {"}}, "^TestNobodyAsksAFilterOfWhatIsAddressed$"},
	{"filter-not-asked-by-journal", []edit{{"feed.go", "if f.s.picky && !f.s.hears(e.Envelope) {", "if f.s.picky && !f.s.hears(e.Envelope) && false {"}}, "^TestADurableSubscriptionSettlesWhatItFiltersOut$"},
	{"filter-not-asked-when-synchronous", []edit{{"fanout.go", "if s.sync && (!s.picky || named || s.hears(p.env)) {", "if s.sync {"}}, "^TestG43Filters$"},
	{"sticky-misses-what-comes-meanwhile", []edit{{"sticky.go", "\tif len(missing) > 0 {\n", "\tif len(missing) > 0 && len(asked) == 0 {\n"}}, "^TestWhatAFilterPublishesMeanwhileComesToo$"},
	{"sticky-before-the-name-is-free", []edit{{"sticky.go", "return nil, s.bus.routes.add(s, func() { s.queue.preload(first) })", "s.queue.preload(first)\n\treturn nil, s.bus.routes.add(s, nil)"}}, "^TestAStickySubscriptionWithATakenNameGetsNothing$"},
	{"retained-in-two-steps", []edit{{"retain.go", "\t}\n\treturn subs\n", "\t}\n\treturn *r.subs.Load()\n"}, {"retain.go", "subs, old := rt.replace", "_, old := rt.replace"}}, "^TestWhoSubscribesWhileAnEventIsPublishedGetsItOnce$"},
	{"sticky-seen-too-early", []edit{{"route.go", "\tif before != nil {\n\t\tbefore()\n\t}\n", ""}, {"route.go", "{ return append(subs, s) })\n\treturn nil\n", "{ return append(subs, s) })\n\tif before != nil {\n\t\tbefore()\n\t}\n\treturn nil\n"}}, "^TestASubscriberIsReadyBeforeItIsSeen$"},
	{"retained-though-refused", []edit{{"fanout.go", "if r.retained != nil && !refused {", "if r.retained != nil {"}}, "^TestOnlyWhatIsPublishedIsRetained$"},
	{"retained-only-if-heard", []edit{{"event.go", "b.telemetry.tracer == nil && r.retained == nil &&", "b.telemetry.tracer == nil &&"}}, "^TestALateSubscriberBeginsWithTheLastEventOfEachKey$"},
	{"retained-forgets-the-newest", []edit{{"retain.go", "k.order.Remove(k.order.Front())", "k.order.Remove(k.order.Back())"}}, "^TestTheKeyPublishedLongestAgoIsForgotten$"},
	{"retained-without-bound", []edit{{"retain.go", "if k.order.Len() > k.limit {", "if k.order.Len() > k.limit+1<<20 {"}}, "^TestTheKeyPublishedLongestAgoIsForgotten$"},
	{"nobody-listens-to-retained", []edit{{"listened.go", "return r.retained != nil || len", "return len"}}, "^TestListenedKnowsWhetherAnybodyHears$"},

	// Recorders.
	{"recorder-not-told-of-what-nobody-hears", []edit{{"event.go", "b.recorders == nil && r.unheard", "r.unheard"}}, "^TestG45WhyItRan$"},
	{"recorder-not-told-of-goexit", []edit{{"deliver.go", "return s.told(e, v, tried{number: number})\n", "_ = number\n\t\treturn v\n"}}, "^TestARecorderIsToldOfGoexit"},
	{"recorder-told-of-each-hold", []edit{{"recorder.go", "s.bus.recorders == nil || unwatched && v.ending == held {", "s.bus.recorders == nil {"}}, "^TestARecorderIsToldOfGoexit"},
	{"recorder-takes-a-handlers-error-for-a-refusal", []edit{{"recorder.go", "== refusal.Subscriber && !s.sync {", "== refusal.Subscriber {"}}, "^TestARecorderIsToldOfASynchronousDelivery$"},
	{"recorder-not-told-of-questions", []edit{{"request.go", "if s.bus.recorders != nil {", "if false {"}}, "^TestARecorderIsToldOfQuestions$"},
	{"recorder-not-contained", []edit{{"recorder.go", "_ = contain(func() error { r.Attempted(a); return nil })", "r.Attempted(a)"}}, "^TestARecordersPanics"},
	{"why-forgets-the-active-flow", []edit{{"why/recorder.go", "\t\tr.quiet.MoveToBack(e)\n", ""}}, "^TestARecorderKeepsWithinItsBounds$"},
	{"why-forgets-what-is-told-now", []edit{{"why/recorder.go", "if f.Events[0].ID == id {", "if false {"}}, "^TestOfAFlowThatIsTooLarge"},
	{"why-keeps-the-index", []edit{{"why/recorder.go", "\t\tdelete(r.events, f.Events[i].ID)\n", "\t\t_ = i\n"}}, "^TestARecorderKeepsWithinItsBounds$"},
	{"why-without-bound-on-attempts", []edit{{"why/flow.go", "len(d.Attempts) == maxAttempts", "len(d.Attempts) < 0"}}, "^TestOfManyAttempts"},
	{"why-loses-circles", []edit{{"why/tree.go", "if !t.shown[i] {", "if false {"}}, "^TestEventsThatAreEachOthersCauseAreTold$"},
	{"why-copies-by-half", []edit{{"why/recorder.go", "\t\te.Deliveries = slices.Clone(e.Deliveries)\n", ""}}, "^TestAFlowIsACopy$"},
	{"why-terminal-obeys", []edit{{"why/text.go", "if !unicode.IsPrint(r) {", "if !unicode.IsPrint(r) && r != '\x1b' {"}}, "^FuzzTextsAreHarmless$"},
	{"map-cycle-through-any-event", []edit{{"flowmap/cycles.go", "g[on.Type] = append(g[on.Type], step{s.Name, typ})", "for _, any := range s.On {\n\t\t\t\t\tg[any.Type] = append(g[any.Type], step{s.Name, typ})\n\t\t\t\t}"}}, "^TestCyclesAreFound$"},
	{"map-cycle-told-twice", []edit{{"flowmap/cycles.go", "told[other] = true", "told[other] = false"}}, "^TestCyclesAreFound$"},
	{"map-charts-what-it-is-told", []edit{{"flowmap/mermaid.go", "if r < 0x80 && !plain(r) {", "if r < 0 {"}}, "^TestNamesAreHarmlessInAChart$"},
	{"flow-takes-what-looks-alike", []edit{{"sqljournal/flow.go", "case e.Envelope.CorrelationID() == correlation:", "default:"}}, "sqljournal/sqlite:^TestAllThatHoldsForEachDatabase$/^Flow$"},
	{"flow-pattern-not-escaped", []edit{{"sqljournal/flow.go", `.Replace(string(text))`, `.Replace("")+string(text)`}}, "sqljournal/sqlite:^TestAllThatHoldsForEachDatabase$/^Flow$"},

	// Batches.
	{"batch-not-recorded", []edit{{"batch_deliver.go", "\t\t\ts.told(e, v, tried{number, b.began, b.now.Sub(b.began), r.err})\n", "\t\t\t_ = number\n"}}, "^TestARecorderIsToldOfEachEventOfABatch$"},
	{"batch-blames-all", []edit{{"batch_deliver.go", "b.halve = len(b.entries) > 1 &&", "b.halve = false &&"}}, "^TestAPoisonedEventDiesAlone$"},
	{"batch-never-halved", []edit{{"batch_deliver.go", "e.most = int32(len(b.entries) / 2)", "e.most = 1"}}, "^TestAPoisonedEventDiesAlone$"},
	{"short-batch-error-handles-the-rest", []edit{{"batch.go", "\t\terrs = append(errs, ErrNotTried)\n", "\t\terrs = append(errs, nil)\n"}}, "^TestABatchErrorThatEndsEarlyLeavesTheRestForLater$"},
	{"batch-comes-back-in-disorder", []edit{{"batch_queue.go", "for i, e := range slices.Backward(b.entries) {", "for i, e := range b.entries {"}, {"batch_queue.go", "\t\"slices\"\n", ""}}, "^TestABatchErrorThatEndsEarlyLeavesTheRestForLater$"},
	{"flush-waits-for-a-full-batch", []edit{{"batch_queue.go", "q.batching.hurry.Load() > 0 ", "q.batching.hurry.Load() > 1<<20 "}}, "^TestFlushAndShutdownAndCloseDoNotWaitForABatchToFill$"},
	{"shutdown-waits-for-a-full-batch", []edit{{"ending.go", "\t\tq.work.Broadcast() // what has come is a batch now\n", ""}}, "^TestFlushAndShutdownAndCloseDoNotWaitForABatchToFill$"},
	{"full-queue-waits-for-a-full-batch", []edit{{"batch_queue.go", "min(q.batching.most, q.limit)", "q.batching.most"}, {"batch_queue.go", ", len(q.room) > 0, q.held() >= q.limit:", ":"}}, "^TestAFullQueueIsABatch$"},
	{"nobody-called-for-the-last-of-a-batch", []edit{{"batch_queue.go", "max(0, q.atMost()-1-q.batching.have-coming)", "max(0, q.atMost()-q.batching.have-coming)"}}, "^TestABatchBeginsWhenItIsFull$"},
	{"breaker-sees-each-of-a-batch", []edit{{"batch_deliver.go", "b.counted = b.counted || e.most > 0", "b.counted = b.counted && e.most > 0"}}, "^TestABreakerSeesABatchOnce$"},
	{"inbox-keeps-marks-beside-a-failure", []edit{{"batch_inbox.go", "\t\t\treturn errUndone\n", "\t\t\treturn nil\n"}}, "^TestAnInboxMarksABatchOrNothing$"},
	{"second-death-of-a-batch-parks", []edit{{"parking.go", " && q.parking.byKey[parkKeyOf(e)] == nil:", ":"}}, "^TestTwoDeathsOfAKeyInABatchHaveOneParking$"},
	{"each-of-a-slow-batch-is-named", []edit{{"watchdog.go", "\t\tif e.led {\n\t\t\tcontinue\n\t\t}\n", ""}}, "^TestTheWatchdogNamesABatchOnce$"},
	{"batch-caused-by-its-first", []edit{{"batch.go", "return a.env.Hops - b.env.Hops })}", "return 0 })}"}}, "^TestABatchKnowsItsDeliveries$"},
}
