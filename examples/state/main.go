// State keeps a program's state in a compacted topic and rebuilds it from there.
//
//	go run ./examples/state
//
// A store of users' settings lives in a map. Each change goes to a topic first,
// keyed by the user, and into the map once it is durable; a user who leaves is a
// record without a value, a tombstone. When the program starts it reads the topic
// and has the map again. Compaction keeps the last record of each key, so that
// starting takes as long as the state is large, and not as long as its history is.
//
// The program makes many changes, compacts, starts anew, and compares. It exits
// with status 1 if the state is not the same, or if compaction kept too much.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"

	"github.com/leatlog/leat"
)

const (
	topic   = "settings"
	users   = 500
	changes = 30_000
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "state:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "leat-state")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	before, err := change(ctx, dir)
	if err != nil {
		return fmt.Errorf("changing settings: %w", err)
	}
	after, read, err := restart(ctx, dir)
	if err != nil {
		return fmt.Errorf("starting anew: %w", err)
	}
	fmt.Printf("state: %d changes, %d users; read %d records to have them again\n", changes, len(after), read)
	if !maps.Equal(before, after) {
		return errors.New("the state after the restart is not the one before")
	}
	if read > users { // one for each, also for who left, for a day
		return fmt.Errorf("%d records are left after compaction, want at most %d", read, users)
	}
	return nil
}

// change opens the store, makes changes, compacts the topic, and returns the
// state.
func change(ctx context.Context, dir string) (map[string]string, error) {
	log, err := leat.Open(ctx, leat.Config{Dir: dir})
	if err != nil {
		return nil, err
	}
	defer log.Close()
	t, err := log.CreateTopic(ctx, topic, leat.TopicConfig{
		Partitions:    4,
		CleanupPolicy: leat.Compact,
	})
	if err != nil {
		return nil, err
	}
	s, err := openSettings(ctx, log)
	if err != nil {
		return nil, err
	}
	for range changes {
		user := fmt.Sprint("user-", rand.IntN(users))
		if rand.IntN(10) == 0 {
			s.remove(ctx, user)
		} else {
			s.set(ctx, user, fmt.Sprint("theme-", rand.IntN(1000)))
		}
	}
	if err := s.close(); err != nil {
		return nil, err
	}
	// A Log compacts by itself when enough has changed. Here it shall be now.
	if _, err := t.Compact(ctx); err != nil {
		return nil, err
	}
	return s.byUser, log.Close()
}

// restart opens the store again and returns the state, and how many records it
// was read from.
func restart(ctx context.Context, dir string) (map[string]string, int, error) {
	log, err := leat.Open(ctx, leat.Config{Dir: dir})
	if err != nil {
		return nil, 0, err
	}
	defer log.Close()
	s, err := openSettings(ctx, log)
	if err != nil {
		return nil, 0, err
	}
	return s.byUser, s.read, errors.Join(s.close(), log.Close())
}
