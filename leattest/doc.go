// Package leattest helps to test programs that use leat.
//
// New opens a Log in memory that is closed, and checked for goroutines that it
// or the test left, when the test ends:
//
//	log := leattest.New(t)
//
// Clock is a clock that only moves when the test says so. Give it to a Log as
// its Config.Clock, and hours of retention, lingering and timeouts pass in no
// time:
//
//	clock := leattest.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
//	... // start what waits for a timer
//	err := clock.BlockUntil(ctx, 1) // it waits now
//	clock.Advance(time.Hour)        // and now it does not
//
// A goroutine that a timer wakes runs beside the test: the test waits for what
// that goroutine does, or with BlockUntil for its next timer, before it
// advances the clock again.
package leattest
