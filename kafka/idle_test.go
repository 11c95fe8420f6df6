package kafka

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What waits takes little memory: a connection whose Fetch waits for records has one
// goroutine, and no buffer. The clients' ends of the connections are counted too.
func TestIdleConnections(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic := fc.addTopic(t, "t", 4, 1)
	node := fc.nodes[0]
	usage := func() (bytes int64, goroutines int) {
		var m runtime.MemStats
		for range 3 { // stacks shrink by half in a cycle, and pools are emptied in two
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse), runtime.NumGoroutine()
	}
	before, goroutines := usage()
	const n = 1000
	clients := make([]*testClient, n)
	for i := range clients {
		c := node.dial(t)
		clients[i] = c
		ask[*kmsg.FetchResponse](c, fetchRequest(12, topic, 0, 1, 2, 3))
		wait := fetchRequest(12, topic, 0, 1, 2, 3)
		wait.MaxWaitMillis = 60_000
		c.send(wait)
	}
	r := topic.parts[3].replicas[1]
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.watchers) == n
	}, 20*time.Second, time.Millisecond)
	after, goroutinesAfter := usage()
	require.LessOrEqual(t, goroutinesAfter-goroutines, n+10)
	require.Less(t, (after-before)/n, int64(24<<10), "bytes for each connection")
	t.Logf("%d bytes for each connection", (after-before)/n)

	// All of them learn of a record.
	node.dial(t).produce(topic, 2, 1)
	for _, c := range clients {
		req := fetchRequest(12, topic)
		require.NotNil(t, c.receive(req))
	}
}
