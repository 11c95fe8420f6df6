// Timetravel reads a topic from a moment on: what did the sensors say at half
// past two, and what came in the half hour after?
//
//	go run ./examples/timetravel
//
// It stores a day of readings, one a minute from each of three sensors, and
// looks at pieces of that day: by asking a partition for the offset that belongs
// to a time, by starting a consumer there, and by taking a consumer back. It
// checks what it finds and exits with status 1 if that is not what was stored.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/leatlog/leat"
)

const (
	topic   = "readings"
	sensors = 3
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "timetravel:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "leat-timetravel")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, err := leat.Open(ctx, leat.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer log.Close()

	midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(-48 * time.Hour)
	if err := store(ctx, log, midnight); err != nil {
		return fmt.Errorf("storing a day: %w", err)
	}
	if err := lookUp(ctx, log, midnight); err != nil {
		return fmt.Errorf("looking one reading up: %w", err)
	}
	if err := replay(ctx, log, midnight); err != nil {
		return fmt.Errorf("reading a part of the day: %w", err)
	}
	return log.Close()
}

// store stores the readings of a day. The value is the minute of the day, so
// that it can be checked later. One reading comes an hour late.
func store(ctx context.Context, log *leat.Log, midnight time.Time) error {
	if _, err := log.CreateTopic(ctx, topic, leat.TopicConfig{Partitions: sensors, Retention: leat.Forever}); err != nil {
		return err
	}
	p, err := log.NewProducer(leat.WithPartitioner(leat.ManualPartitioner))
	if err != nil {
		return err
	}
	produce := func(sensor, minute int) {
		p.Produce(ctx, leat.Record{
			Topic:     topic,
			Partition: int32(sensor),
			Timestamp: midnight.Add(time.Duration(minute) * time.Minute),
			Value:     strconv.AppendInt(nil, int64(minute), 10),
		}, nil)
	}
	const late = 14*60 + 10 // of the first sensor
	for minute := range 24 * 60 {
		for sensor := range sensors {
			if sensor != 0 || minute != late {
				produce(sensor, minute)
			}
		}
		if minute == late+60 {
			produce(0, late)
		}
	}
	return p.Close() // stores what is left, and returns the first failure
}

// lookUp finds a single reading.
func lookUp(ctx context.Context, log *leat.Log, midnight time.Time) error {
	t, err := log.Topic(ctx, topic)
	if err != nil {
		return err
	}
	part, err := t.Partition(1)
	if err != nil {
		return err
	}
	halfPastTwo := midnight.Add(14*time.Hour + 30*time.Minute)
	offset, at, err := part.OffsetForTime(ctx, halfPastTwo)
	if err != nil {
		return err
	}
	fmt.Printf("sensor 1 at %s: offset %d\n", at.UTC().Format(time.TimeOnly), offset)
	if offset != 14*60+30 || !at.Equal(halfPastTwo) {
		return fmt.Errorf("offset %d of %v, want %d of %v", offset, at, 14*60+30, halfPastTwo)
	}
	return nil
}

// replay reads half an hour of all sensors, then goes back to the morning.
func replay(ctx context.Context, log *leat.Log, midnight time.Time) error {
	from := midnight.Add(14*time.Hour + 30*time.Minute)
	c, err := log.NewConsumer(leat.Assign(topic), leat.StartAt(leat.AtTime(from)))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := readHalfHour(ctx, c, from); err != nil {
		return err
	}
	from = midnight.Add(6 * time.Hour)
	if err := c.SeekToTime(ctx, from); err != nil {
		return err
	}
	return readHalfHour(ctx, c, from)
}

// readHalfHour reads from the consumer's position until every sensor is past the
// half hour that begins at from.
func readHalfHour(ctx context.Context, c *leat.Consumer, from time.Time) error {
	to := from.Add(30 * time.Minute)
	past := make(map[int32]bool)
	readings, late := 0, 0
	for r, err := range c.Records(ctx) {
		if err != nil {
			return err
		}
		switch {
		case r.Timestamp.Before(from):
			late++ // a time is where to begin, not a filter: it was stored later
		case r.Timestamp.Before(to):
			if want := strconv.Itoa(r.Timestamp.UTC().Hour()*60 + r.Timestamp.UTC().Minute()); string(r.Value) != want {
				return fmt.Errorf("%s/%d@%d of %v is %q, want %q", r.Topic, r.Partition, r.Offset, r.Timestamp, r.Value, want)
			}
			readings++
		default:
			past[r.Partition] = true
		}
		if len(past) == sensors {
			break
		}
	}
	fmt.Printf("%s to %s: %d readings\n", from.Format(time.TimeOnly), to.Format(time.TimeOnly), readings)
	if readings != 30*sensors {
		return fmt.Errorf("%d readings (and %d late), want %d", readings, late, 30*sensors)
	}
	return nil
}
