package kafka

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Requests are counted by API, with those whose answers tell of errors, and connections
// by why they ended.
func TestMeter(t *testing.T) {
	fc := newFakeCluster(t, Limits{RequestTimeout: 300 * time.Millisecond, ConnectionsPerAddr: 2, RequestBytes: 1 << 16, IdleTimeout: 500 * time.Millisecond})
	topic := fc.addTopic(t, "t", 2, 1)
	node := fc.nodes[0]
	c := node.dial(t)
	for range 3 {
		c.produce(topic, 0, 1)
	}
	ask[*kmsg.ProduceResponse](c, produceRequest(12, topic, 9, testBatch(t, 1, 1)))
	ask[*kmsg.FetchResponse](c, fetchRequest(12, topic, 0))
	ask[*kmsg.FetchResponse](c, fetchRequest(12, topic, 0, 9))
	ask[*kmsg.FetchResponse](c, nothing(12, 77, 5))
	heartbeat := kmsg.NewPtrHeartbeatRequest()
	ask[*kmsg.HeartbeatResponse](c, heartbeat) // the second node coordinates
	meta := kmsg.NewPtrMetadataRequest()
	meta.Version = 9
	ask[*kmsg.MetadataResponse](c, meta)
	list := kmsg.NewPtrListOffsetsRequest()
	list.Version = 5
	list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "gone", Partitions: make([]kmsg.ListOffsetsRequestTopicPartition, 1)}}
	ask[*kmsg.ListOffsetsResponse](c, list)
	require.Equal(t, 1, node.server.Usage().Connections)

	closed := func(reason Reason, n int64) {
		t.Helper()
		require.Eventually(t, func() bool { return node.server.meter.Read().Closed[reason.String()] == n }, 10*time.Second, time.Millisecond, reason.String())
	}
	closed(ClosedIdle, 1) // c, now
	bad := node.dial(t)
	_, err := bad.conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	require.NoError(t, err)
	closed(ClosedMalformed, 1)
	slow := node.dial(t)
	_, err = slow.conn.Write([]byte{0, 0})
	require.NoError(t, err)
	closed(ClosedSlow, 1)
	acks0 := produceRequest(12, topic, 9, testBatch(t, 1, 1))
	acks0.Acks = 0
	node.dial(t).send(acks0)
	closed(ClosedUnsaid, 1)
	gone := node.dial(t)
	require.NoError(t, gone.conn.Close())
	closed(ClosedByClient, 1)
	require.Eventually(t, func() bool { return node.server.Usage().Connections == 0 }, 10*time.Second, time.Millisecond)
	one, two, three := node.dial(t), node.dial(t), node.dial(t)
	closed(ClosedLimit, 1)
	_, err = io.Copy(io.Discard, three.conn)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout())
	node.server.Close()
	closed(ClosedListener, 2)
	_, _ = one, two

	m := node.server.meter.Read()
	got := make(map[string][2]int64)
	for _, a := range m.APIs {
		got[a.Name] = [2]int64{a.Requests, a.Errors}
		n := int64(0)
		for _, b := range a.Latency {
			n += b
		}
		require.Equal(t, a.Requests, n)
		require.Positive(t, a.LatencySum)
	}
	require.Equal(t, map[string][2]int64{"Produce": {5, 2}, "Fetch": {3, 2}, "Heartbeat": {1, 1}, "Metadata": {1, 0}, "ListOffsets": {1, 1}}, got)
	require.EqualValues(t, 8, m.Accepted)
	require.Greater(t, m.BytesIn, int64(500))
	require.Greater(t, m.BytesOut, int64(500))
	u := node.server.Usage()
	require.Zero(t, u.RequestBytes)
	require.Zero(t, u.AnswerBytes)
}

// The names of the keys have room in the meter.
func TestMeterKeys(t *testing.T) {
	for i := range apis {
		require.Less(t, int(apis[i].key), apiKeys)
		resp := apis[i].key.Response()
		require.False(t, failed(apis[i].key, resp), "%s", apis[i].key.Name())
	}
}

// One address has its share of the memory, and others find some when it is used up.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := newBudget(10)
		mine, other := share{newBudget(6), all}, share{newBudget(6), all}
		n, err := mine.acquire(context.Background(), 100) // as much as the address has
		require.NoError(t, err)
		require.EqualValues(t, 6, n)
		require.False(t, mine.try(1))
		require.True(t, other.try(4))
		require.False(t, other.try(1), "all of it is used")
		require.EqualValues(t, 4, other.addr.used())
		got := make(chan int64, 2)
		wait := func(s share, n int64) {
			go func() {
				n, err := s.acquire(context.Background(), n)
				if err != nil {
					t.Error(err)
				}
				got <- n
			}()
			synctest.Wait()
		}
		wait(mine, 3) // stands in the line of its own address
		other.release(4)
		require.True(t, other.try(4), "and not in front of others")
		wait(other, 2) // stands in the line of all
		require.Empty(t, got)
		mine.release(6)
		require.EqualValues(t, 5, <-got+<-got)
		mine.release(3)
		other.release(2)
		other.release(4)
		require.Zero(t, all.used())

		ctx, cancel := context.WithCancel(context.Background())
		require.True(t, mine.try(6))
		require.True(t, other.try(4))
		cancel()
		_, err = other.acquire(ctx, 2)
		require.ErrorIs(t, err, context.Canceled)
		_, err = mine.acquire(ctx, 1)
		require.ErrorIs(t, err, context.Canceled)
		mine.release(6)
		other.release(4)
		require.Zero(t, all.used())
		require.Zero(t, other.addr.used())
	})
}
