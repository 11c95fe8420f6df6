package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leatlog/leat"
)

func TestGroups(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, brokers string) {
		in := func(stdin string, args ...string) string {
			return mustLeat(t, stdin, append(args, "--brokers", brokers)...)
		}
		fail := func(status int, args ...string) string {
			return failLeat(t, status, append(args, "--brokers", brokers)...)
		}
		reset := func(args ...string) resetGroup {
			return parse[resetGroup](t, in("", append([]string{"group", "reset", "g", "--json"}, args...)...))
		}
		in("", "topic", "create", "t", "-p", "2")
		require.Equal(t, "[]\n", in("", "group", "list", "--json"))
		in("1\n2\n3\n4\n", "produce", "t", "-p", "1")
		require.Contains(t, fail(exitFailed, "group", "describe", "g"), `group "g": GROUP_ID_NOT_FOUND`)
		require.Contains(t, fail(exitFailed, "group", "describe", "g"), "hint: \"leat group list\"")

		// A group that is not there yet gets offsets, only when that is wanted.
		r := reset("--topic", "t", "--to-offset", "3")
		require.False(t, r.Executed)
		require.Equal(t, []resetPartition{{"t", 0, nil, 0}, {"t", 1, nil, 3}}, r.Partitions)
		require.Equal(t, "[]\n", in("", "group", "list", "--json"))
		require.True(t, reset("--topic", "t", "--to-offset", "3", "--execute").Executed)
		list := parse[[]listedGroup](t, in("", "group", "list", "--json"))
		require.Len(t, list, 1)
		require.Equal(t, "g", list[0].Group)
		require.Equal(t, "Empty", list[0].State)

		d := parse[[]describedGroup](t, in("", "group", "describe", "g", "--json"))
		require.Len(t, d, 1)
		require.EqualValues(t, 1, d[0].Lag)
		require.Empty(t, d[0].Members)
		n := func(n int64) *int64 { return &n }
		require.Equal(t, []groupPartition{{"t", 0, n(0), n(0), n(0), n(0), ""}, {"t", 1, n(3), n(0), n(4), n(1), ""}}, d[0].Partitions)
		text := in("", "group", "describe", "g")
		require.Contains(t, text, "g: Empty (classic), 0 members, lag 1")
		require.Contains(t, text, "t      1          3          4    1    -")

		one := func(after int64) []resetPartition { return []resetPartition{{"t", 1, n(3), after}} }
		require.Equal(t, one(2), reset("--topic", "t:1", "--shift-by", "-1").Partitions)
		require.Equal(t, one(0), reset("--topic", "t:1", "--shift-by", "-100").Partitions)
		require.Equal(t, one(4), reset("--topic", "t:1", "--shift-by", "100").Partitions)
		require.Equal(t, one(4), reset("--topic", "t:1", "--to-latest").Partitions)
		require.Equal(t, one(0), reset("--topic", "t:1", "--to-earliest").Partitions)
		require.Equal(t, one(0), reset("--topic", "t:1", "--to-time", "1h").Partitions)
		require.Equal(t, one(4), reset("--topic", "t:1", "--to-time", "2999-01-01").Partitions)
		require.Contains(t, in("", "group", "reset", "g", "--all-topics", "--to-latest"), "nothing was committed; --execute does it")
		reset("--all-topics", "--to-latest", "--execute")
		require.Zero(t, parse[[]describedGroup](t, in("", "group", "describe", "g", "--json"))[0].Lag)

		for args, want := range map[string][]string{
			"if any flags in the group":                     {"--topic", "t", "--to-latest", "--to-earliest"},
			"at least one of the flags in the group [to":    {"--topic", "t"},
			"at least one of the flags in the group [topic": {"--to-latest"},
			"topic:partition,partition":                     {"--topic", "t:x", "--to-latest"},
			"must not be negative":                          {"--topic", "t", "--to-offset", "-1"},
			"--to-time":                                     {"--topic", "t", "--to-time", "soon"},
		} {
			require.Contains(t, fail(exitUsage, append([]string{"group", "reset", "g"}, want...)...), args)
		}
		require.Contains(t, fail(exitFailed, "group", "reset", "g", "--topic", "t:9", "--to-latest"), `topic "t" has no partition 9`)
		require.Contains(t, mustLeat(t, "", "__complete", "group", "delete", "--brokers", brokers, ""), "g\n:4\n")
		require.Equal(t, "deleted g\n", in("", "group", "delete", "g"))
		require.Contains(t, fail(exitFailed, "group", "delete", "g"), `group "g": GROUP_ID_NOT_FOUND`)
	})
}

// TestGroupWithMembers shows the members of a group of the classic protocol.
func TestGroupWithMembers(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, brokers string) {
		mustLeat(t, "", "topic", "create", "t", "--brokers", brokers)
		mustLeat(t, "1\n2\n", "produce", "t", "--brokers", brokers)
		c, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ClientID("mine"), kgo.DisableAutoCommit())
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.PollFetches(testContext(t)).Err())
		d := parse[[]describedGroup](t, mustLeat(t, "", "group", "describe", "g", "--json", "--brokers", brokers))[0]
		require.Equal(t, "Stable", d.State)
		require.Equal(t, "classic", d.Type)
		require.EqualValues(t, 2, d.Lag)
		require.Len(t, d.Members, 1)
		require.Equal(t, "mine", d.Members[0].Client)
		require.Equal(t, []topicPartition{{"t", 0}}, d.Members[0].Partitions)
		require.Nil(t, d.Partitions[0].Committed)
		require.Equal(t, d.Members[0].Member, d.Partitions[0].Member)
		require.Contains(t, failLeat(t, exitFailed, "group", "reset", "g", "--topic", "t", "--to-latest", "--execute", "--brokers", brokers), "hint: stop the members first")
		require.Equal(t, exitFailed, leatIn(t, testContext(t), "", "group", "delete", "g", "--brokers", brokers).status)
	})
}

// TestGroupOfTheNewProtocol shows the members that a program has in its own process.
func TestGroupOfTheNewProtocol(t *testing.T) {
	t.Parallel()
	log := newLog(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{Partitions: 2})
	require.NoError(t, err)
	brokers := serveLog(t, log)
	mustLeat(t, "1\n2\n", "produce", "t", "-p", "1", "--brokers", brokers)
	g, err := log.JoinGroup(t.Context(), "g", []string{"t"})
	require.NoError(t, err)
	defer g.Close()
	records, err := g.Poll(testContext(t), 1)
	require.NoError(t, err)
	g.Mark(records...)
	require.NoError(t, g.Commit(testContext(t)))
	d := parse[[]describedGroup](t, mustLeat(t, "", "group", "describe", "g", "--json", "--brokers", brokers))[0]
	require.Equal(t, "consumer", d.Type)
	require.Len(t, d.Members, 1)
	require.Equal(t, []topicPartition{{"t", 0}, {"t", 1}}, d.Members[0].Partitions)
	require.EqualValues(t, 1, d.Lag)
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(6, "t"))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	brokers := c.ListenAddrs()[0]
	s := parse[clusterStatus](t, mustLeat(t, "", "cluster", "status", "--json", "--brokers", brokers))
	require.Len(t, s.Brokers, 3)
	require.Equal(t, 6, s.Partitions)
	leaders := 0
	for _, b := range s.Brokers {
		leaders += b.Leaders
		require.Equal(t, c.ListenAddrs()[b.ID], b.Address)
	}
	require.Equal(t, 6, leaders)
	require.NotNil(t, s.UnderReplicated)
	require.Contains(t, mustLeat(t, "", "cluster", "status", "--brokers", brokers), "0 partitions are under-replicated, 0 have no leader")
	require.Contains(t, failLeat(t, exitFailed, "cluster", "reassign", "t", "--to", "9,1,2", "--brokers", brokers), "there is no broker 9")
	require.Contains(t, failLeat(t, exitUsage, "cluster", "reassign", "t", "--brokers", brokers), "--to must name")
	plan := parse[[]reassignment](t, mustLeat(t, "", "cluster", "reassign", "t", "--to", "0,1,2", "--json", "--brokers", brokers))
	for _, m := range plan {
		require.False(t, m.Executed)
		require.Equal(t, m.Partition%3, m.After[0])
	}
	ctx := testContext(t)
	r := leatIn(t, ctx, "", "cluster", "reassign", "t", "--to", "2,1,0", "--execute", "--brokers", brokers)
	require.Zero(t, r.status, r.stderr)
}

// TestClusterOfOne is leat on its own.
func TestClusterOfOne(t *testing.T) {
	t.Parallel()
	log := newLog(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{Partitions: 3})
	require.NoError(t, err)
	brokers := serveLog(t, log)
	s := parse[clusterStatus](t, mustLeat(t, "", "cluster", "status", "--json", "--brokers", brokers))
	require.NotEmpty(t, s.Cluster)
	require.Len(t, s.Brokers, 1)
	require.Equal(t, brokers, s.Brokers[0].Address)
	require.Equal(t, 3, s.Brokers[0].Leaders)
	require.Equal(t, s.Brokers[0].ID, s.Controller)
}
