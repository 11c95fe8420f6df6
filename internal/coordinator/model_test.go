package coordinator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// dump prints what is durable of a state, and what is derived from it.
func (s *state) dump() string {
	var out strings.Builder
	for _, id := range sortedKeys(s.groups) {
		g := s.groups[id]
		if c := g.classic; c != nil && c.value == nil && g.meta == nil && len(g.offsets) == 0 {
			continue // its first members are still joining: nothing is durable
		}
		fmt.Fprintf(&out, "group %s assignment=%d", id, g.assignmentEpoch)
		if g.meta != nil {
			fmt.Fprintf(&out, " meta=%+v", *g.meta)
		}
		if g.classic != nil && g.classic.value != nil {
			fmt.Fprintf(&out, " classic=%+v", *g.classic.value)
		}
		fmt.Fprintln(&out)
		for _, k := range g.sortedOffsets() {
			fmt.Fprintf(&out, "  offset %v %+v\n", k, *g.offsets[k])
		}
		set := func(p partitionSet) {
			for _, id := range p.ids() {
				fmt.Fprintf(&out, " %v%v", id, p[id])
			}
		}
		for _, id := range sortedKeys(g.target) {
			fmt.Fprintf(&out, "  target %s:", id)
			set(g.target[id])
			fmt.Fprintln(&out)
		}
		for _, id := range g.sortedMembers() {
			m := g.members[id]
			fmt.Fprintf(&out, "  member %s %+v epoch=%d previous=%d %v assigned", id, *m.meta, m.current.epoch, m.current.previous, m.current.state)
			set(m.current.assigned)
			fmt.Fprint(&out, " revoking")
			set(m.current.revoking)
			fmt.Fprintln(&out)
		}
		for _, name := range sortedKeys(g.static) {
			fmt.Fprintf(&out, "  static %s %s\n", name, g.static[name])
		}
		var owners []string
		for tp, m := range g.owners {
			owners = append(owners, fmt.Sprintf("  owner %v/%d %s", tp.topic, tp.partition, m))
		}
		slices.Sort(owners)
		fmt.Fprintln(&out, strings.Join(owners, "\n"))
	}
	return out.String()
}

// valid checks what holds between the fields of a state.
func (s *state) valid(t require.TestingT) {
	for id, g := range s.groups {
		require.Equal(t, id, g.id)
		require.LessOrEqual(t, g.assignmentEpoch, g.epoch())
		owners := map[topicPartition]string{}
		for id, m := range g.members {
			require.Equal(t, id, m.id)
			require.GreaterOrEqual(t, m.index, 0)
			require.Same(t, m, s.timers[m.index])
			require.LessOrEqual(t, m.current.epoch, g.assignmentEpoch)
			require.Equal(t, m.current.state == MemberUnrevoked, len(m.current.revoking) > 0)
			require.Equal(t, m.current.state == MemberUnrevoked, !m.revokeEnds.IsZero())
			claim := func(tp topicPartition) {
				require.NotContains(t, owners, tp, "two owners")
				owners[tp] = id
			}
			m.current.assigned.each(claim)
			m.current.revoking.each(claim)
			if m.meta.instanceID != "" {
				require.Equal(t, id, g.static[m.meta.instanceID])
			}
		}
		require.Equal(t, owners, g.owners)
		for id := range g.target {
			require.Contains(t, g.members, id)
		}
		for _, id := range g.static {
			require.Contains(t, g.members, id)
		}
	}
	n, alarms := 0, 0
	for _, g := range s.groups {
		n += len(g.members)
		alarms += g.validClassic(t, s)
	}
	require.Len(t, s.timers, n)
	require.Len(t, s.alarms.heap, alarms)
}

// inside runs fn on the state, between rounds. fn runs in the partition's goroutine,
// so it fails through the t that it is given, which ends it with a panic that is
// caught there.
func (w *world) inside(t require.TestingT, fn func(t require.TestingT, s *state)) {
	_, err := submit(context.Background(), w.c, 0, func(tx *tx) (_ struct{}, err error) {
		f := &failure{}
		defer func() {
			if r := recover(); r != nil {
				if r != any(f) {
					panic(r)
				}
				err = errors.New(f.text)
			}
		}()
		fn(f, tx.state)
		return struct{}{}, nil
	})
	require.NoError(t, err)
}

// failure is a require.TestingT that keeps what failed.
type failure struct{ text string }

func (f *failure) Errorf(format string, args ...any) { f.text += fmt.Sprintf(format, args...) }
func (f *failure) FailNow()                          { panic(f) }

// replayed is the dump of a fresh replay of the log.
func (w *world) replayed(t require.TestingT) string {
	s := newState()
	require.NoError(t, w.log.Replay(context.Background(), func(key, value []byte) error {
		r, err := decodeRecord(key, value)
		if err == nil && r != nil {
			r.apply(s)
		}
		return err
	}))
	s.loaded(time.Now(), time.Second)
	return s.dump()
}

var errDisk = errors.New("the disk is gone")

// model drives one group and knows what must be true of it.
type model struct {
	*world
	clock   fakeClock
	clients []*client           // those that still act, and zombies
	dead    map[*client]bool    // crashed: they commit and heartbeat, but nobody relies on them
	unsure  map[*client]bool    // the last answer did not come
	offsets map[offsetKey]int64 // what has been committed
	next    int                 // of ids and offsets
	counts  map[string]int32
}

// TestModel runs random histories against a plain model of what must hold: one
// owner at most per partition and moment, nothing committed by a stale member,
// the state is what a replay gives, and all comes to rest when it is quiet.
func TestModel(t *testing.T) {
	rapid.Check(t, runModel)
}

func runModel(t *rapid.T) {
	m := &model{dead: map[*client]bool{}, unsure: map[*client]bool{}, offsets: map[offsetKey]int64{},
		counts: map[string]int32{"t": 4, "u": 3}}
	m.world = newWorld(t, func(o *Options) { o.OffsetsRetention, o.GroupMaxSize, o.Clock = -1, 6, &m.clock })
	defer m.close(t)
	m.topics.set("t", 4)
	m.topics.set("u", 3)
	t.Repeat(map[string]func(*rapid.T){
		"join":     m.join,
		"beat":     m.beat,
		"beats":    m.beat,
		"cling":    m.cling,
		"commit":   m.commit,
		"leave":    m.leave,
		"crash":    m.crash,
		"return":   m.comeBack,
		"topic":    m.topic,
		"advance":  func(t *rapid.T) { m.clock.advance(time.Duration(rapid.IntRange(1, 25).Draw(t, "s")) * time.Second) },
		"failure":  m.failure,
		"takeover": func(*rapid.T) { m.c.Unload(0) },
		"":         m.check,
	})
	m.settle(t)
}

func (m *model) pick(t *rapid.T) *client {
	if len(m.clients) == 0 {
		t.Skip("nobody there")
	}
	return rapid.SampledFrom(m.clients).Draw(t, "client")
}

func (m *model) forget(c *client) {
	m.clients = slices.DeleteFunc(m.clients, func(o *client) bool { return o == c })
}

// outcome handles the error of a heartbeat as a member does.
func (m *model) outcome(t *rapid.T, c *client, err error) {
	switch {
	case err == nil:
		delete(m.unsure, c)
	case errors.Is(err, ErrUnknownMember), errors.Is(err, ErrFencedMemberEpoch), errors.Is(err, ErrFencedInstance),
		errors.Is(err, ErrUnreleasedInstance), errors.Is(err, ErrGroupMaxSize):
		var typed *MemberError
		if errors.As(err, &typed) {
			require.Equal(t, c.id, typed.Member)
		}
		m.forget(c) // it gives up all it has
	case errors.Is(err, ErrNotAvailable):
		m.unsure[c] = true
	default:
		t.Fatalf("unexpected: %v", err)
	}
}

func (m *model) join(t *rapid.T) {
	m.next++
	c := &client{c: m.c, group: "g", id: fmt.Sprintf("m%d", m.next)}
	if rapid.IntRange(0, 2).Draw(t, "static") == 0 {
		c.instance = rapid.SampledFrom([]string{"i1", "i2"}).Draw(t, "instance")
	}
	m.clients = append(m.clients, c)
	topics := rapid.SampledFrom([][]string{{"t"}, {"u"}, {"t", "u"}}).Draw(t, "topics")
	_, err := c.join(context.Background(), topics...)
	m.outcome(t, c, err)
}

// heartbeat is the next one of c, a full one if the last went astray.
func (m *model) heartbeat(t *rapid.T, c *client) {
	ctx := context.Background()
	var err error
	switch {
	case m.unsure[c] && c.epoch == 0:
		_, err = c.join(ctx, c.topics...)
	case m.unsure[c]:
		c.owned, c.needsAck = c.assigned, false
		_, err = c.send(ctx, HeartbeatRequest{Epoch: c.epoch, Topics: c.topics, RebalanceTimeout: minute,
			Owned: append([]TopicPartitions{}, c.owned...)})
	default:
		_, err = c.beat(ctx)
	}
	m.outcome(t, c, err)
}

func (m *model) beat(t *rapid.T) { m.heartbeat(t, m.pick(t)) }

// cling is a heartbeat of a member that has not let go of anything yet, and says
// so.
func (m *model) cling(t *rapid.T) {
	c := m.pick(t)
	if c.epoch == 0 || m.unsure[c] {
		t.Skip("has nothing")
	}
	_, err := c.send(context.Background(), HeartbeatRequest{Epoch: c.epoch, Owned: append(nonNil(c.owned), c.assigned...)})
	m.outcome(t, c, err)
}

func (m *model) leave(t *rapid.T) {
	c := m.pick(t)
	epoch := LeaveEpoch
	if c.instance != "" && rapid.Bool().Draw(t, "for a while") {
		epoch = StaticLeaveEpoch
	}
	// Whatever the answer, it has stopped.
	if err := c.leave(context.Background(), epoch); err != nil {
		m.outcome(t, c, err)
	}
	m.forget(c)
}

func (m *model) crash(t *rapid.T) { m.dead[m.pick(t)] = true }

// comeBack is a static member that starts again, under a new id.
func (m *model) comeBack(t *rapid.T) {
	m.next++
	c := &client{c: m.c, group: "g", id: fmt.Sprintf("m%d", m.next), instance: rapid.SampledFrom([]string{"i1", "i2"}).Draw(t, "instance")}
	m.clients = append(m.clients, c)
	_, err := c.join(context.Background(), "t", "u")
	m.outcome(t, c, err)
}

func (m *model) topic(t *rapid.T) {
	name := rapid.SampledFrom([]string{"t", "u"}).Draw(t, "topic")
	switch {
	case m.counts[name] == 0:
		m.counts[name] = 2
	case rapid.IntRange(0, 3).Draw(t, "delete") == 0:
		m.counts[name] = 0
		maps.DeleteFunc(m.offsets, func(k offsetKey, _ int64) bool { return k.topic == name })
	case m.counts[name] < 8:
		m.counts[name]++
	}
	m.topics.set(name, m.counts[name])
}

// failure makes the next append fail; its records may have landed.
func (m *model) failure(t *rapid.T) {
	landed := rapid.Bool().Draw(t, "landed")
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	m.log.fail = func() (error, bool) {
		m.log.fail = nil
		return errDisk, landed
	}
}

// commit commits as anybody, zombies too, with an epoch that may be old.
func (m *model) commit(t *rapid.T) {
	c := m.pick(t)
	ctx := context.Background()
	m.next++
	topic := rapid.SampledFrom([]string{"t", "u"}).Draw(t, "topic")
	if m.counts[topic] == 0 {
		t.Skip("no such topic")
	}
	k := offsetKey{topic, rapid.Int32Range(0, m.counts[topic]-1).Draw(t, "partition")}
	epoch := c.epoch - rapid.Int32Range(0, 1).Draw(t, "behind")
	// Who is current, by the coordinator's own word? A pending failure may hit here.
	current := map[string]int32{}
	d, err := m.c.DescribeGroup(ctx, "g")
	if err == nil {
		for _, member := range d.Members {
			current[member.Member] = member.Epoch
		}
	} else if !errors.Is(err, ErrGroupNotFound) {
		require.ErrorIs(t, err, ErrNotAvailable)
		return
	}
	results, err := m.c.CommitOffsets(ctx, CommitRequest{Group: "g", Member: c.id, Epoch: epoch, InstanceID: c.instance,
		Offsets: []OffsetCommit{{Topic: k.topic, Partition: k.partition, Offset: base.Offset(m.next), LeaderEpoch: -1}}})
	e, member := current[c.id]
	switch {
	case err == nil:
		require.True(t, member && e == epoch && e >= 0, "%s committed with epoch %d, the coordinator has %v", c.id, epoch, current)
		require.NoError(t, results[0].Err)
		m.offsets[k] = int64(m.next)
	case errors.Is(err, ErrNotAvailable):
		// Open: either value is right, but only one of them from now on.
		got, err := m.c.FetchOffsets(ctx, FetchRequest{Group: "g", Partitions: []TopicPartitions{{Topic: k.topic, Partitions: []int32{k.partition}}}})
		require.NoError(t, err)
		if got[0].Offset == base.Offset(m.next) {
			require.True(t, member && e == epoch)
			m.offsets[k] = int64(m.next)
		}
	default:
		require.False(t, member && e == epoch && e > 0, "refused although current: %v", err)
		require.True(t, errors.Is(err, ErrUnknownMember) || errors.Is(err, ErrStaleMemberEpoch) || errors.Is(err, ErrFencedInstance), "%v", err)
	}
}

// check holds after every action.
func (m *model) check(t *rapid.T) {
	ctx := context.Background()
	d, err := m.c.DescribeGroup(ctx, "g")
	if errors.Is(err, ErrNotAvailable) { // a failure that was pending
		d, err = m.c.DescribeGroup(ctx, "g")
	}
	if errors.Is(err, ErrGroupNotFound) {
		return
	}
	require.NoError(t, err)
	var live string
	m.inside(t, func(t require.TestingT, s *state) {
		s.valid(t)
		live = s.dump()
	})
	require.Equal(t, live, m.replayed(t))

	// What members read, as they see it themselves: what they have been told, and
	// what they have not yet let go of.
	reads := map[topicPartition]string{}
	for _, c := range m.clients {
		in := slices.ContainsFunc(d.Members, func(o MemberDescription) bool { return o.Member == c.id && o.Epoch > 0 })
		if !in || m.dead[c] {
			continue
		}
		set := partitionSet{}
		for _, list := range [][]TopicPartitions{c.owned, c.assigned} {
			for _, tp := range list {
				set.add(tp.ID, tp.Partitions...)
			}
		}
		set.each(func(tp topicPartition) {
			require.NotContains(t, reads, tp, "read by two")
			reads[tp] = c.id
		})
	}

	got, err := m.c.FetchOffsets(ctx, FetchRequest{Group: "g"})
	require.NoError(t, err)
	have := map[offsetKey]int64{}
	for _, o := range got {
		have[offsetKey{o.Topic, o.Partition}] = int64(o.Offset)
	}
	require.Equal(t, m.offsets, have)
}

// settle lets everybody who lives act until nothing changes.
func (m *model) settle(t *rapid.T) {
	m.log.fail = nil
	for c := range m.dead {
		m.forget(c)
	}
	for range 12 {
		m.clock.advance(10 * time.Second)
		for _, c := range slices.Clone(m.clients) {
			m.heartbeat(t, c)
			m.heartbeat(t, c)
		}
		m.check(t)
	}
	d, err := m.c.DescribeGroup(context.Background(), "g")
	if errors.Is(err, ErrGroupNotFound) {
		require.Empty(t, m.clients)
		return
	}
	require.NoError(t, err)
	require.Len(t, d.Members, len(m.clients), "those that are silent are gone")
	if len(m.clients) == 0 {
		require.Equal(t, StateEmpty, d.State)
		return
	}
	require.Equal(t, StateStable, d.State)
	assigned := map[string]int{}
	for _, member := range d.Members {
		i := slices.IndexFunc(m.clients, func(c *client) bool { return c.id == member.Member })
		require.Equal(t, member.Assigned, nonNil(m.clients[i].owned), "the member knows what it has")
		require.Equal(t, member.Target, member.Assigned)
		for _, tp := range member.Assigned {
			assigned[tp.Topic] += len(tp.Partitions)
		}
	}
	for _, c := range m.clients {
		for _, topic := range c.topics {
			require.Equal(t, int(m.counts[topic]), assigned[topic], "all of %s is read", topic)
		}
	}
	before := m.replayed(t)
	m.log.compact(true)
	require.Equal(t, before, m.replayed(t))
	m.log.compact(false)
	require.Equal(t, before, m.replayed(t))
}

func nonNil(list []TopicPartitions) []TopicPartitions { return append([]TopicPartitions{}, list...) }
