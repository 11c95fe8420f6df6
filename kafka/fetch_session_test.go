package kafka

import (
	"math"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// toldParts is which partitions an answer tells of, in its order.
func toldParts(resp *kmsg.FetchResponse) (parts []int32) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			parts = append(parts, resp.Topics[i].Partitions[j].Partition)
		}
	}
	return parts
}

// inSession makes a request part of a session.
func inSession(req *kmsg.FetchRequest, id, epoch int32) *kmsg.FetchRequest {
	req.SessionID, req.SessionEpoch = id, epoch
	return req
}

// nothing is a request that changes nothing.
func nothing(version int16, id, epoch int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxBytes, req.MinBytes = version, 1<<20, 1
	return inSession(req, id, epoch)
}

func TestFetchSession(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic, other := fc.addTopic(t, "t", 4, 1), fc.addTopic(t, "other", 1, 1)
	p, c := fc.nodes[0].dial(t), fc.nodes[0].dial(t)
	for version := int16(7); version <= 18; version++ {
		begin := topic.parts[0].replicas[1].HighWatermark()
		at := func(req *kmsg.FetchRequest) *kmsg.FetchRequest {
			for i := range req.Topics[0].Partitions {
				p := &req.Topics[0].Partitions[i]
				p.FetchOffset = int64(topic.parts[p.Partition].replicas[1].HighWatermark())
			}
			return req
		}
		first := ask[*kmsg.FetchResponse](c, inSession(at(fetchRequest(version, topic, 0, 1, 2, 3)), 0, 0))
		require.Zero(t, first.ErrorCode)
		require.Positive(t, first.SessionID, "version %d", version)
		require.Equal(t, []int32{0, 1, 2, 3}, toldParts(first))
		id := first.SessionID

		resp := ask[*kmsg.FetchResponse](c, nothing(version, id, 1))
		require.Equal(t, id, resp.SessionID)
		require.Empty(t, toldParts(resp), "nothing is new")

		p.produce(topic, 0, 2)
		p.produce(topic, 2, 3)
		resp = ask[*kmsg.FetchResponse](c, nothing(version, id, 2))
		require.Equal(t, []int32{0, 2}, toldParts(resp))
		require.NotEmpty(t, resp.Topics[0].Partitions[0].RecordBatches)
		require.Equal(t, version < 13, resp.Topics[0].Topic == "t")
		resp = ask[*kmsg.FetchResponse](c, nothing(version, id, 3))
		require.Equal(t, []int32{0, 2}, toldParts(resp), "the offset did not move, so it comes again")

		// The client goes on behind what it got; one partition is told of by a new log end
		// only, as another one's records fill the answer.
		next := at(fetchRequest(version, topic, 0, 2))
		resp = ask[*kmsg.FetchResponse](c, inSession(next, id, 4))
		require.Empty(t, toldParts(resp))
		p.produce(topic, 0, 1)
		p.produce(topic, 1, 1)
		small := nothing(version, id, 5)
		small.MaxBytes = 1
		resp = ask[*kmsg.FetchResponse](c, small)
		told := map[int32]int{}
		for _, p := range resp.Topics[0].Partitions {
			told[p.Partition] = len(p.RecordBatches)
		}
		require.Len(t, told, 2)
		require.True(t, (told[0] > 0) != (told[1] > 0), "one batch at a time")
		resp = ask[*kmsg.FetchResponse](c, inSession(small, id, 6))
		require.Len(t, resp.Topics[0].Partitions, 1)
		require.Positive(t, len(resp.Topics[0].Partitions[0].RecordBatches))
		require.Zero(t, told[resp.Topics[0].Partitions[0].Partition], "the other one has its turn")

		// Another topic comes, partitions go.
		change := inSession(fetchRequest(version, other, 0), id, 7)
		gone := kmsg.NewFetchRequestForgottenTopic()
		gone.Topic, gone.TopicID, gone.Partitions = "t", topic.id, []int32{0, 1, 2, 77}
		unknown := kmsg.NewFetchRequestForgottenTopic()
		unknown.Topic, unknown.TopicID, unknown.Partitions = "unknown", [16]byte{1}, []int32{0}
		change.ForgottenTopics = append(change.ForgottenTopics, gone, unknown)
		resp = ask[*kmsg.FetchResponse](c, change)
		require.Equal(t, []int32{0}, toldParts(resp))
		require.Equal(t, version < 13, resp.Topics[0].Topic == "other")
		p.produce(topic, 0, 1) // is not asked for any more
		require.Empty(t, toldParts(ask[*kmsg.FetchResponse](c, nothing(version, id, 8))))

		// A partition that is unknown is told of each time, the others go on.
		resp = ask[*kmsg.FetchResponse](c, inSession(fetchRequest(version, topic, 99), id, 9))
		require.Equal(t, []int32{99}, toldParts(resp))
		require.EqualValues(t, UnknownTopicOrPartition, resp.Topics[0].Partitions[0].ErrorCode)
		require.Equal(t, []int32{99}, toldParts(ask[*kmsg.FetchResponse](c, nothing(version, id, 10))))

		// The epochs.
		for _, epoch := range []int32{10, 12, math.MaxInt32, math.MinInt32} {
			resp = ask[*kmsg.FetchResponse](c, nothing(version, id, epoch))
			require.EqualValues(t, InvalidFetchSessionEpoch, resp.ErrorCode)
			require.Zero(t, resp.SessionID)
		}
		for _, stranger := range []int32{0, -1, id ^ 1} {
			resp = ask[*kmsg.FetchResponse](c, nothing(version, stranger, 11))
			require.EqualValues(t, FetchSessionIDNotFound, resp.ErrorCode)
		}
		names := int16(12)
		if version < 13 {
			names = 13
		}
		resp = ask[*kmsg.FetchResponse](c, nothing(names, id, 11))
		require.EqualValues(t, FetchSessionTopicIDError, resp.ErrorCode)
		require.Zero(t, ask[*kmsg.FetchResponse](c, nothing(version, id, 11)).ErrorCode, "it lives on")

		// A full request ends it: with epoch 0 for a new one, with -1 for none.
		resp = ask[*kmsg.FetchResponse](c, inSession(fetchRequest(version, topic, 3), id, 0))
		require.Positive(t, resp.SessionID)
		require.NotEqual(t, id, resp.SessionID)
		require.EqualValues(t, FetchSessionIDNotFound, ask[*kmsg.FetchResponse](c, nothing(version, id, 12)).ErrorCode)
		id = resp.SessionID
		resp = ask[*kmsg.FetchResponse](c, inSession(fetchRequest(version, topic, 3), id, -1))
		require.Zero(t, resp.SessionID)
		require.Equal(t, []int32{3}, toldParts(resp))
		require.EqualValues(t, FetchSessionIDNotFound, ask[*kmsg.FetchResponse](c, nothing(version, id, 1)).ErrorCode)

		// One whose last partition goes, and one that never has any.
		resp = ask[*kmsg.FetchResponse](c, inSession(fetchRequest(version, topic, 3), 0, 0))
		empty := nothing(version, resp.SessionID, 1)
		gone.Partitions = []int32{3}
		empty.ForgottenTopics = append(empty.ForgottenTopics, gone)
		resp = ask[*kmsg.FetchResponse](c, empty)
		require.Zero(t, resp.ErrorCode)
		require.Zero(t, resp.SessionID)
		require.Zero(t, ask[*kmsg.FetchResponse](c, nothing(version, 0, 0)).SessionID)
		count, partitions := fc.nodes[0].server.sessions.count()
		require.Zero(t, count)
		require.Zero(t, partitions)
		require.Greater(t, topic.parts[0].replicas[1].HighWatermark(), begin)
	}
}

// A session waits like any Fetch, and what comes meanwhile ends the wait.
func TestFetchSessionWaits(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic := fc.addTopic(t, "t", 2, 1)
	p, c := fc.nodes[0].dial(t), fc.nodes[0].dial(t)
	id := ask[*kmsg.FetchResponse](c, inSession(fetchRequest(12, topic, 0, 1), 0, 0)).SessionID
	wait := nothing(12, id, 1)
	wait.MaxWaitMillis = 20_000
	c.send(wait)
	p.produce(topic, 1, 1)
	require.Equal(t, []int32{1}, toldParts(c.receive(wait).(*kmsg.FetchResponse)))

	// The wait of a session whose connection ends is over with it.
	wait.SessionEpoch, wait.MaxWaitMillis = 2, 300
	wait.Topics = fetchRequest(12, topic, 1).Topics
	wait.Topics[0].Partitions[0].FetchOffset = 1
	c.send(wait)
	require.NoError(t, c.conn.(*net.TCPConn).CloseWrite())
	require.NoError(t, c.conn.Close())
	require.Eventually(t, func() bool {
		n, _ := fc.nodes[0].server.sessions.count()
		return n == 0
	}, 25*time.Second, time.Millisecond)
}

func TestFetchSessionLimits(t *testing.T) {
	fc := newFakeCluster(t, Limits{FetchSessions: 10, FetchSessionPartitions: 20})
	topic := fc.addTopic(t, "t", 30, 1)
	node := fc.nodes[0]
	some := make([]int32, 30)
	for i := range some {
		some[i] = int32(i)
	}
	begin := func(c *testClient, n int) int32 {
		return ask[*kmsg.FetchResponse](c, inSession(fetchRequest(12, topic, some[:n]...), 0, 0)).SessionID
	}
	one := node.dial(t)
	require.Zero(t, begin(one, 21), "more partitions than all may have")
	id := begin(one, 15)
	require.Positive(t, id)
	two := node.dial(t)
	require.Zero(t, begin(two, 6))
	require.Positive(t, begin(two, 5))
	// A session that grows beyond what there is ends: the client begins anew.
	resp := ask[*kmsg.FetchResponse](one, inSession(fetchRequest(12, topic, some[15:17]...), id, 1))
	require.EqualValues(t, FetchSessionIDNotFound, resp.ErrorCode)
	count, partitions := node.server.sessions.count()
	require.Equal(t, 1, count)
	require.Equal(t, 5, partitions)
	require.NoError(t, two.conn.Close())
	require.Eventually(t, func() bool {
		count, partitions = node.server.sessions.count()
		return count == 0 && partitions == 0
	}, 10*time.Second, time.Millisecond)

	// One connection has a few, the oldest makes room.
	var ids []int32
	for range sessionsPerConn + 2 {
		ids = append(ids, begin(one, 1))
	}
	count, _ = node.server.sessions.count()
	require.Equal(t, sessionsPerConn, count)
	for i, id := range ids {
		want := None
		if i < 2 {
			want = FetchSessionIDNotFound
		}
		require.EqualValues(t, want, ask[*kmsg.FetchResponse](one, nothing(12, id, 1)).ErrorCode)
	}
	// All together have ten; of those that are in use none makes room.
	two = node.dial(t)
	require.Positive(t, begin(two, 1))
	last := begin(two, 1)
	require.Positive(t, last)
	require.Zero(t, begin(two, 1))
	// Another connection may go on with a session, which is then its own.
	three := node.dial(t)
	require.Zero(t, ask[*kmsg.FetchResponse](three, nothing(12, last, 1)).ErrorCode)
	require.NoError(t, two.conn.Close())
	require.Eventually(t, func() bool {
		count, _ = node.server.sessions.count()
		return count == 9
	}, 10*time.Second, time.Millisecond)
	require.Zero(t, ask[*kmsg.FetchResponse](three, nothing(12, last, 2)).ErrorCode)
}

// steppedClock is moved by the test.
type steppedClock struct {
	base.SystemClock
	now time.Time
}

func (c *steppedClock) Now() time.Time { return c.now }

// Who was idle for long enough makes room, the longest first.
func TestFetchSessionEviction(t *testing.T) {
	clock := &steppedClock{now: time.Unix(1e9, 0)}
	ss := newSessions(clock, &Limits{FetchSessions: 3, FetchSessionPartitions: 100})
	topic := &fakeTopic{name: "t"}
	conns := make([]*conn, 5)
	begin := func(i int) int32 {
		conns[i] = &conn{}
		s, incremental, code := ss.begin(conns[i], inSession(fetchRequest(12, topic, 0, 1), 0, 0))
		require.False(t, incremental)
		require.Equal(t, None, code)
		if s == nil {
			return 0
		}
		ss.end(s)
		return s.id
	}
	a := begin(0)
	clock.now = clock.now.Add(time.Second)
	b := begin(1)
	c := begin(2)
	require.Zero(t, begin(3))
	clock.now = clock.now.Add(sessionIdleMin - time.Second)
	s, incremental, code := ss.begin(conns[1], nothing(12, b, 1)) // b is used for long
	require.True(t, incremental)
	require.Equal(t, None, code)
	d := begin(3)
	require.Positive(t, d, "the oldest makes room")
	_, _, code = ss.begin(conns[0], nothing(12, a, 1))
	require.Equal(t, FetchSessionIDNotFound, code)
	require.Zero(t, begin(4), "the next is not idle for long enough")
	clock.now = clock.now.Add(time.Second)
	require.Positive(t, begin(4))
	_, _, code = ss.begin(conns[2], nothing(12, c, 1))
	require.Equal(t, FetchSessionIDNotFound, code)
	ss.end(s)
	for _, c := range conns {
		ss.drop(c)
	}
	n, partitions := ss.count()
	require.Zero(t, n)
	require.Zero(t, partitions)
	require.Empty(t, conns[1].sessions)
}
