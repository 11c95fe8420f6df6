package main

import (
	"context"
	"sync"

	"github.com/leatlog/leat"
)

// settings is a map whose changes go through a topic. Changes of one user come
// into effect in the order in which they were made.
type settings struct {
	producer *leat.Producer
	read     int // records that openSettings read

	mu     sync.Mutex
	byUser map[string]string
	err    error // the first failure
}

// openSettings reads the topic up to its end.
func openSettings(ctx context.Context, log *leat.Log) (*settings, error) {
	s := &settings{byUser: make(map[string]string)}
	c, err := log.NewConsumer(leat.Assign(topic), leat.StartAt(leat.Earliest))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for r, err := range c.RecordsToEnd(ctx) {
		if err != nil {
			return nil, err
		}
		s.apply(string(r.Key), r.Value)
		s.read++
	}
	s.producer, err = log.NewProducer()
	return s, err
}

func (s *settings) apply(user string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value == nil {
		delete(s.byUser, user)
		return
	}
	s.byUser[user] = string(value)
}

func (s *settings) set(ctx context.Context, user, value string) {
	s.produce(ctx, user, []byte(value))
}

func (s *settings) remove(ctx context.Context, user string) {
	s.produce(ctx, user, nil)
}

// produce stores a change and applies it when it is durable. The callbacks of a
// partition come in the order of its offsets, and a key is in one partition.
func (s *settings) produce(ctx context.Context, user string, value []byte) {
	s.producer.Produce(ctx, leat.Record{Topic: topic, Key: []byte(user), Value: value},
		func(_ leat.RecordMetadata, err error) {
			if err != nil {
				s.fail(err)
				return
			}
			s.apply(user, value)
		})
}

func (s *settings) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// close waits until every change is in effect and returns the first failure.
func (s *settings) close() error {
	if err := s.producer.Close(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
