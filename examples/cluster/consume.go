package main

import (
	"context"
	"time"

	"github.com/leatlog/leat"
)

// Consumed is what a consumer found.
type Consumed struct {
	Records, Lost, Duplicated, Misordered int
}

// idleMax is for how long a consumer waits for a record that should come.
const idleMax = 30 * time.Second

// consume reads the topic from its start until all lines have come, and all else that
// is there.
func (s *service) consume(ctx context.Context) (Consumed, error) {
	c, err := s.log.NewConsumer(leat.Assign(topicName), leat.StartAt(leat.Earliest))
	if err != nil {
		return Consumed{}, err
	}
	defer c.Close()
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := time.AfterFunc(idleMax, cancel)
	defer idle.Stop()

	l := newLedger(s.files)
	for r, err := range c.Records(waiting) {
		if waiting.Err() != nil && ctx.Err() == nil {
			break // what has not come is lost
		}
		if err != nil {
			return Consumed{}, err
		}
		idle.Reset(idleMax)
		l.enter(&r)
		if l.complete() && lag(c) == 0 {
			break
		}
	}
	return l.result(), c.Close()
}

// lag returns how many records the consumer has not come to yet.
func lag(c *leat.Consumer) (n int64) {
	for _, behind := range c.Lag() {
		n += behind
	}
	return n
}
