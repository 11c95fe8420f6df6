package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// validClassic checks what holds between the fields of a classic group.
func (g *group) validClassic(t require.TestingT, s *state) (sessions int) {
	c := g.classic
	if c == nil {
		return 0
	}
	require.Empty(t, g.members, "members of both protocols")
	require.Equal(t, c.state == StateEmpty || c.state == StatePreparingRebalance && len(c.members) == 0, len(c.members) == 0)
	static := map[string]string{}
	size := 0
	for id, m := range c.members {
		require.Equal(t, id, m.id)
		require.Nil(t, c.pending[id])
		require.Positive(t, m.seq)
		size += m.bytes()
		if m.instanceID != "" {
			require.NotContains(t, static, m.instanceID, "two of one instance")
			static[m.instanceID] = id
		}
		if m.session.pos != 0 {
			sessions++
			require.Same(t, &m.session, s.alarms.heap[m.session.pos-1])
		} else {
			require.True(t, m.joining != nil || m.syncing != nil, "%s is never given up", id)
		}
		if m.joining != nil {
			require.Equal(t, StatePreparingRebalance, c.state, "%s waits for nothing", id)
		}
		if m.syncing != nil {
			require.Equal(t, StateCompletingRebalance, c.state, "%s waits for nothing", id)
		}
		require.False(t, m.isNew && c.state != StatePreparingRebalance)
		if c.state != StatePreparingRebalance {
			require.True(t, slices.ContainsFunc(m.protocols, func(p JoinProtocol) bool { return p.Name == c.protocol }))
		}
	}
	require.Equal(t, static, c.static)
	require.Equal(t, size, c.bytes)
	sessions += len(c.pending)
	if c.timer.pos != 0 {
		sessions++
	}
	if c.state == StateEmpty {
		require.Empty(t, c.protocol+c.leader)
	}
	switch c.state {
	case StatePreparingRebalance:
		require.NotZero(t, c.timer.pos)
	case StateCompletingRebalance:
		require.NotZero(t, c.timer.pos)
		require.Contains(t, c.members, c.leader)
		require.False(t, c.members[c.leader].synced && c.members[c.leader].syncing != nil)
	case StateStable, StateEmpty:
		// What everybody goes by is what is durable.
		if c.state == StateStable || c.value != nil {
			require.Equal(t, c.value, c.asValue(c.value.stateMs))
		}
	default:
		require.Fail(t, "state", "%v", c.state)
	}
	return sessions
}

// classicActor is a member as a client sees it.
type classicActor struct {
	name, instance string
	id             string
	generation     int32
	leader         bool
	members        []JoinedMember
	assignment     string // of generation, once it has synced
	synced         bool
	topics         []string

	busy bool // a request waits for an answer
	gone bool // it stopped; its answers are of no interest
}

// classicModel drives a classic group and knows what must be true of it.
type classicModel struct {
	*world
	mu     sync.Mutex // guards what follows; requests answer in goroutines of their own
	wg     sync.WaitGroup
	actors []*classicActor
	next   int
	ids    int
	// assigned is what each generation gave each member, by its instance or id: one
	// assignment per generation.
	assigned map[int32]map[string]string
	highest  int32 // generation that anybody synced
	pauses   int
	offsets  map[offsetKey]int64
}

// TestClassicModel runs random histories of a classic group against what must hold:
// one generation at a time and one assignment for it, nothing committed by a stale
// member, the state is what a replay gives, every request is answered, and all comes
// to rest when it is quiet.
func TestClassicModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { rapid.Check(bubble{t}, runClassicModel) })
}

// bubble hides that it is a *testing.T, whose Deadline a bubble must not ask for.
type bubble struct{ *testing.T }

func runClassicModel(t *rapid.T) {
	m := &classicModel{assigned: map[int32]map[string]string{}, offsets: map[offsetKey]int64{}}
	delay := rapid.SampledFrom([]time.Duration{-1, 3 * time.Second}).Draw(t, "delay")
	m.world = newWorld(t, func(o *Options) {
		o.OffsetsRetention, o.GroupMaxSize = -1, 6
		o.Classic.InitialRebalanceDelay = delay
		o.NewMemberID = func() string { m.ids++; return fmt.Sprint(m.ids) }
	})
	defer func() {
		require.NoError(t, m.c.Close())
		m.wg.Wait()
	}()
	m.topics.set("t", 4)
	t.Repeat(map[string]func(*rapid.T){
		"new":      m.newcomer,
		"static":   m.restart,
		"step":     func(t *rapid.T) { m.step(t, m.pick(t)) },
		"steps":    func(t *rapid.T) { m.step(t, m.pick(t)) },
		"all":      m.all,
		"rejoin":   func(t *rapid.T) { m.join(t, m.pick(t)) },
		"change":   m.change,
		"commit":   m.commit,
		"leave":    m.leave,
		"crash":    func(t *rapid.T) { m.remove(m.pick(t)) },
		"advance":  func(t *rapid.T) { m.pause(time.Duration(rapid.IntRange(1, 15).Draw(t, "s")) * time.Second) },
		"failure":  m.failure,
		"takeover": func(*rapid.T) { m.c.Unload(0) },
		"":         m.check,
	})
	m.settle(t)
}

func (m *classicModel) pick(t *rapid.T) *classicActor {
	if len(m.actors) == 0 {
		t.Skip("nobody there")
	}
	return rapid.SampledFrom(m.actors).Draw(t, "actor")
}

// pause lets time pass. The lock orders what was read before it and what answers
// that come meanwhile write; time alone does not.
func (m *classicModel) pause(d time.Duration) {
	m.mu.Lock()
	m.pauses++
	m.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
}

func (m *classicModel) remove(a *classicActor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.gone = true
	m.actors = slices.DeleteFunc(m.actors, func(o *classicActor) bool { return o == a })
}

func (m *classicModel) newcomer(t *rapid.T) {
	if len(m.actors) >= 8 {
		t.Skip("enough")
	}
	m.next++
	a := &classicActor{name: fmt.Sprintf("m%d", m.next), topics: []string{"t"}}
	m.actors = append(m.actors, a)
	m.join(t, a)
}

// restart is a static member that starts, perhaps in the place of another.
func (m *classicModel) restart(t *rapid.T) {
	m.next++
	a := &classicActor{name: fmt.Sprintf("m%d", m.next), instance: rapid.SampledFrom([]string{"i1", "i2"}).Draw(t, "instance"),
		topics: []string{"t"}}
	m.actors = append(m.actors, a)
	m.join(t, a)
}

func (m *classicModel) change(t *rapid.T) {
	a := m.pick(t)
	a.topics = append([]string{"u"}, a.topics...)
	if len(a.topics) > 3 {
		a.topics = []string{"t"}
	}
	m.join(t, a)
}

// outcome handles a refusal as a client does; m.mu is held.
func (m *classicModel) outcome(t require.TestingT, a *classicActor, err error) {
	var refused *MemberError
	switch {
	case errors.Is(err, ErrMemberIDRequired):
		require.ErrorAs(t, err, &refused)
		a.id = refused.Member
	case errors.Is(err, ErrRebalanceInProgress), errors.Is(err, ErrIllegalGeneration), errors.Is(err, ErrNotAvailable),
		errors.Is(err, ErrNotCoordinator), errors.Is(err, ErrClosed):
		a.generation = 0
	case errors.Is(err, ErrUnknownMember), errors.Is(err, ErrGroupMaxSize):
		a.id, a.generation = "", 0
	case errors.Is(err, ErrFencedInstance):
		a.gone = true
		m.actors = slices.DeleteFunc(m.actors, func(o *classicActor) bool { return o == a })
	default:
		t.Errorf("unexpected: %v", err)
		t.FailNow()
	}
	a.synced, a.members = false, nil
}

// async runs a request that may wait for others, and then what it told.
func (m *classicModel) async(t *rapid.T, a *classicActor, request func() error) {
	a.busy = true
	m.wg.Go(func() {
		err := request()
		m.mu.Lock()
		defer m.mu.Unlock()
		a.busy = false
		if err != nil && !a.gone {
			m.outcome(t, a, err)
		}
	})
	synctest.Wait()
}

func (m *classicModel) join(t *rapid.T, a *classicActor) {
	req := JoinRequest{Group: "g", Member: a.id, InstanceID: a.instance, ClientID: a.name, SessionTimeout: 10 * time.Second,
		RebalanceTimeout: 20 * time.Second, ProtocolType: "consumer", RequireMemberID: rapid.Bool().Draw(t, "v4"),
		CanSkipAssignment: true, Protocols: []JoinProtocol{{"range", subscription(a.topics...)}}}
	if a.busy {
		t.Skip("waits")
	}
	a.synced, a.members, a.leader = false, nil, false
	m.async(t, a, func() error {
		resp, err := m.c.JoinGroup(context.Background(), req)
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		a.id, a.generation, a.leader, a.members = resp.Member, resp.Generation, resp.Leader == resp.Member, resp.Members
		if resp.SkipAssignment {
			a.leader = false
		}
		return nil
	})
}

func (m *classicModel) sync(t *rapid.T, a *classicActor) {
	req := SyncRequest{Group: "g", Member: a.id, InstanceID: a.instance, Generation: a.generation, ProtocolType: "consumer", Protocol: "range"}
	if a.leader {
		m.next++
		for i, other := range a.members {
			req.Assignments = append(req.Assignments, MemberAssignment{other.Member, fmt.Appendf(nil, "%d: %d of %d", m.next, i, len(a.members))})
		}
	}
	m.async(t, a, func() error {
		resp, err := m.c.SyncGroup(context.Background(), req)
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		a.assignment, a.synced = string(resp.Assignment), true
		if m.assigned[req.Generation] == nil {
			m.assigned[req.Generation] = map[string]string{}
		}
		who := a.instance // a static member's successors have what it had
		if who == "" {
			who = a.id
		}
		if before, ok := m.assigned[req.Generation][who]; ok && before != a.assignment {
			t.Fatalf("generation %d gave %s %q and %q", req.Generation, who, before, a.assignment)
		}
		m.assigned[req.Generation][who] = a.assignment
		m.highest = max(m.highest, req.Generation)
		return nil
	})
}

// step is the next thing that a client does.
func (m *classicModel) step(t *rapid.T, a *classicActor) {
	switch {
	case a.busy:
	case a.generation == 0:
		m.join(t, a)
	case !a.synced:
		m.sync(t, a)
	default:
		m.async(t, a, func() error {
			return m.c.ClassicHeartbeat(context.Background(), ClassicHeartbeatRequest{"g", a.id, a.instance, a.generation})
		})
	}
}

func (m *classicModel) all(t *rapid.T) {
	for _, a := range slices.Clone(m.actors) {
		m.step(t, a)
	}
}

func (m *classicModel) leave(t *rapid.T) {
	a := m.pick(t)
	results, err := m.c.LeaveGroup(context.Background(), LeaveRequest{"g", []LeavingMember{{a.id, a.instance}}})
	if err != nil {
		require.ErrorIs(t, err, ErrNotAvailable)
	} else if err := results[0].Err; err != nil {
		require.True(t, errors.Is(err, ErrUnknownMember) || errors.Is(err, ErrFencedInstance))
	}
	m.remove(a)
	synctest.Wait()
}

func (m *classicModel) failure(t *rapid.T) {
	landed := rapid.Bool().Draw(t, "landed")
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	m.log.fail = func() (error, bool) {
		m.log.fail = nil
		return errDisk, landed
	}
}

// commit commits with a generation that may be old, and checks who may.
func (m *classicModel) commit(t *rapid.T) {
	a := m.pick(t)
	m.next++
	k := offsetKey{"t", rapid.Int32Range(0, 3).Draw(t, "partition")}
	generation := a.generation - rapid.Int32Range(0, 1).Draw(t, "behind")
	var in State
	var current int32
	var member bool
	if !m.tryInside(t, func(t require.TestingT, s *state) {
		if g := s.groups["g"]; g != nil && g.classic != nil {
			c := g.classic
			in, current = c.state, c.generation
			mm := c.members[a.id]
			member = mm != nil && !mm.isNew && (a.instance == "" || c.static[a.instance] == a.id)
		}
	}) {
		return
	}
	may := member && current == generation && in != StateCompletingRebalance
	if a.id == "" && generation <= 0 && (in == StateEmpty || in == "") {
		may = true // not by a member
	}
	_, err := m.c.CommitOffsets(context.Background(), CommitRequest{Group: "g", Member: a.id, Epoch: generation, InstanceID: a.instance,
		Offsets: []OffsetCommit{{Topic: k.topic, Partition: k.partition, Offset: base.Offset(m.next), LeaderEpoch: -1}}})
	switch {
	case err == nil:
		require.True(t, may, "%s committed with generation %d of %d, %v", a.id, generation, current, in)
		m.offsets[k] = int64(m.next)
	case errors.Is(err, ErrNotAvailable):
		got, err := m.c.FetchOffsets(context.Background(), FetchRequest{Group: "g", Partitions: []TopicPartitions{{Topic: k.topic, Partitions: []int32{k.partition}}}})
		require.NoError(t, err)
		if got[0].Offset == base.Offset(m.next) {
			require.True(t, may)
			m.offsets[k] = int64(m.next)
		}
	default:
		require.False(t, may, "refused although current: %v", err)
	}
	synctest.Wait()
}

// tryInside is inside, but for a failure of the log that was pending.
func (m *classicModel) tryInside(t *rapid.T, fn func(t require.TestingT, s *state)) bool {
	if _, err := m.c.ListGroups(context.Background(), ListFilter{}); err != nil {
		require.ErrorIs(t, err, ErrNotAvailable)
		return false
	}
	m.inside(t, fn)
	return true
}

// check holds after every action.
func (m *classicModel) check(t *rapid.T) {
	synctest.Wait()
	if !m.tryInside(t, func(t require.TestingT, s *state) { s.valid(t) }) {
		require.True(t, m.tryInside(t, func(t require.TestingT, s *state) { s.valid(t) }), "a second failure")
	}
	var live string
	m.inside(t, func(t require.TestingT, s *state) { live = s.dump() })
	require.Equal(t, m.replayed(t), live)

	// Members that have an assignment and the coordinator's generation have what the
	// log says: nobody else has it.
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inside(t, func(t require.TestingT, s *state) {
		g := s.groups["g"]
		if g == nil || g.classic == nil || g.classic.state != StateStable {
			return
		}
		c := g.classic
		require.GreaterOrEqual(t, c.generation, m.highest, "a generation that somebody synced was forgotten")
		have := map[string]string{}
		for _, a := range m.actors {
			if mm := c.members[a.id]; mm != nil && a.synced && a.generation == c.generation {
				require.Equal(t, string(mm.assignment), a.assignment)
				if a.assignment != "" {
					require.NotContains(t, have, a.assignment, "two have the same")
					have[a.assignment] = a.name
				}
			}
		}
	})
	got, err := m.c.FetchOffsets(context.Background(), FetchRequest{Group: "g"})
	require.NoError(t, err)
	offsets := map[offsetKey]int64{}
	for _, o := range got {
		offsets[offsetKey{o.Topic, o.Partition}] = int64(o.Offset)
	}
	require.Equal(t, m.offsets, offsets)
}

// settle lets everybody who lives act until nothing changes.
func (m *classicModel) settle(t *rapid.T) {
	m.log.mu.Lock()
	m.log.fail = nil
	m.log.mu.Unlock()
	// Two processes of one instance fence each other for ever: the last one stays.
	last := map[string]*classicActor{}
	for _, a := range slices.Clone(m.actors) {
		if a.instance != "" {
			if old := last[a.instance]; old != nil {
				m.remove(old)
			}
			last[a.instance] = a
		}
	}
	for len(m.actors) > 6 {
		m.remove(m.actors[0])
	}
	for range 40 {
		m.pause(3 * time.Second)
		m.all(t)
		m.check(t)
	}
	d, err := m.c.DescribeGroup(context.Background(), "g")
	if len(m.actors) == 0 {
		require.True(t, errors.Is(err, ErrGroupNotFound) || d.State == StateEmpty)
		return
	}
	require.NoError(t, err)
	require.Equal(t, StateStable, d.State)
	require.Len(t, d.Members, len(m.actors))
	var given [][]byte
	for _, a := range m.actors {
		i := slices.IndexFunc(d.Members, func(o MemberDescription) bool { return o.Member == a.id })
		require.GreaterOrEqual(t, i, 0)
		require.True(t, a.synced && !a.busy)
		require.Equal(t, d.Epoch, a.generation)
		require.Equal(t, a.assignment, string(d.Members[i].Assignment))
		require.NotEmpty(t, d.Members[i].Assignment)
		given = append(given, d.Members[i].Assignment)
	}
	slices.SortFunc(given, bytes.Compare)
	require.Len(t, slices.CompactFunc(given, bytes.Equal), len(m.actors), "each has its own")
	before := m.replayed(t)
	m.log.compact(true)
	require.Equal(t, before, m.replayed(t))
	m.log.compact(false)
	require.Equal(t, before, m.replayed(t))
}
