package leattest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leattest"
)

// testRetention is what a program's TestRetention may look like: it moves the
// clock past the retention of a topic.
func testRetention(t *testing.T) {
	clock := leattest.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	log := leattest.New(t, leattest.WithClock(clock)) // closed when the test ends
	topic, err := log.CreateTopic(t.Context(), "orders", leat.TopicConfig{Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	p, err := log.NewProducer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.ProduceSync(t.Context(), leat.Record{Topic: "orders", Value: []byte("old")}); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Hour)
	removed, err := topic.ApplyRetention(t.Context())
	if err != nil || removed.Records != 1 {
		t.Errorf("removed %d records, error %v; want the old one", removed.Records, err)
	}
}

func ExampleNew() {
	tests := map[string]func(*testing.T){"TestRetention": testRetention}
	fmt.Println(len(tests), "test")
	// Output: 1 test
}

// testFailover is what a program's TestFailover may look like: the leader of its
// partition loses power, and what was acknowledged is still there.
func testFailover(t *testing.T) {
	c := leattest.NewCluster(t, 3) // closed when the test ends
	if _, err := c.Node(1).CreateTopic(t.Context(), "orders", leat.TopicConfig{}); err != nil {
		t.Fatal(err)
	}
	leader := c.Leader("orders", 0)
	other := c.Node(1 + leader%3)
	p, err := other.NewProducer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.ProduceSync(t.Context(), leat.Record{Topic: "orders", Value: []byte("kept")}); err != nil {
		t.Fatal(err)
	}
	c.Kill(leader)
	consumer, err := other.NewConsumer(leat.Assign("orders"), leat.StartAt(leat.Earliest))
	if err != nil {
		t.Fatal(err)
	}
	records, err := consumer.Poll(t.Context(), 1)
	if err != nil || len(records) != 1 || string(records[0].Value) != "kept" {
		t.Errorf("got %d records, error %v; want the one that was kept", len(records), err)
	}
	c.Start(leader) // it catches up
}

func ExampleNewCluster() {
	tests := map[string]func(*testing.T){"TestFailover": testFailover}
	fmt.Println(len(tests), "test")
	// Output: 1 test
}
