package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/stretchr/testify/require"
)

// TestPartitionFor has values of Java's String.hashCode; polygenelubricants has
// Integer.MIN_VALUE, which Kafka takes as 0.
func TestPartitionFor(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Partitions = 50 })
	defer w.close(t)
	for group, want := range map[string]int32{
		"":                   0,
		"a":                  97 % 50,
		"ab":                 (97*31 + 98) % 50,
		"\u00e9":             0xe9 % 50,
		"\U0001F600":         (0xd83d*31 + 0xde00) % 50,
		"polygenelubricants": 0,
		"hello world":        1794106052 % 50,
	} {
		require.Equal(t, want, w.c.PartitionFor(group), group)
		require.GreaterOrEqual(t, w.c.PartitionFor(group), int32(0))
	}
}

func TestOptions(t *testing.T) {
	_, err := New(Options{})
	require.ErrorIs(t, err, ErrInvalidRequest)
	require.ErrorContains(t, err, "Options.Logs")
	require.ErrorContains(t, err, "Options.Topics")
	for name, change := range map[string]func(*Options){
		"Partitions":                    func(o *Options) { o.Partitions = -1 },
		"HeartbeatInterval":             func(o *Options) { o.HeartbeatInterval = time.Minute },
		"SessionTimeout":                func(o *Options) { o.SessionTimeout = -1 },
		"MinSessionTimeout":             func(o *Options) { o.MinSessionTimeout = time.Hour },
		"GroupMaxSize":                  func(o *Options) { o.GroupMaxSize = -1 },
		"MaxGroups":                     func(o *Options) { o.MaxGroups = -1 },
		"OffsetMetadataMaxBytes":        func(o *Options) { o.OffsetMetadataMaxBytes = 1 << 20 },
		"OffsetsRetentionCheckInterval": func(o *Options) { o.OffsetsRetentionCheckInterval = -1 },
		"MaxBatchBytes":                 func(o *Options) { o.MaxBatchBytes = -1 },
		"Assignor":                      func(o *Options) { o.Assignor = "sticky" },
		"Classic.MinSessionTimeout":     func(o *Options) { o.Classic.MinSessionTimeout = time.Hour },
		"Classic.MaxSessionTimeout":     func(o *Options) { o.Classic.MaxSessionTimeout = 1 << 62 },
		"Classic.MemberMaxBytes":        func(o *Options) { o.Classic.MemberMaxBytes = -1 },
		"Classic.GroupMaxBytes":         func(o *Options) { o.Classic.GroupMaxBytes = -1 },
	} {
		o := Options{Topics: newTopics(), Logs: func(context.Context, int32) (Log, error) { return nil, nil }}
		change(&o)
		_, err := New(o)
		require.ErrorContains(t, err, "Options."+name+" must be")
	}
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxBatchBytes = 10_000 })
	defer w.close(t)
	ctx := context.Background()
	long := string(make([]byte, 40_000))
	join := HeartbeatRequest{Group: "g", Member: "m", Topics: []string{"t"}, RebalanceTimeout: minute}
	for name, change := range map[string]func(*HeartbeatRequest){
		"no group":            func(r *HeartbeatRequest) { r.Group = "" },
		"long group":          func(r *HeartbeatRequest) { r.Group = long },
		"long member":         func(r *HeartbeatRequest) { r.Member = long },
		"no member":           func(r *HeartbeatRequest) { r.Member, r.Epoch = "", 3 },
		"epoch":               func(r *HeartbeatRequest) { r.Epoch = -3 },
		"no instance":         func(r *HeartbeatRequest) { r.Epoch = -2 },
		"no topics":           func(r *HeartbeatRequest) { r.Topics = nil },
		"empty topic":         func(r *HeartbeatRequest) { r.Topics = []string{""} },
		"long topic":          func(r *HeartbeatRequest) { r.Topics = []string{long} },
		"too many topics":     func(r *HeartbeatRequest) { r.Topics = slices.Repeat([]string{long[:30_000]}, 9) },
		"no timeout":          func(r *HeartbeatRequest) { r.RebalanceTimeout = 0 },
		"negative timeout":    func(r *HeartbeatRequest) { r.RebalanceTimeout = -1 },
		"endless timeout":     func(r *HeartbeatRequest) { r.RebalanceTimeout = 1 << 62 },
		"a split millisecond": func(r *HeartbeatRequest) { r.RebalanceTimeout++ },
		"short session":       func(r *HeartbeatRequest) { r.SessionTimeout = 1 },
		"owned when joining":  func(r *HeartbeatRequest) { r.Owned = []TopicPartitions{{Topic: "t", Partitions: []int32{1}}} },
	} {
		req := join
		change(&req)
		_, err := w.c.Heartbeat(ctx, req)
		var typed *RequestError
		require.ErrorAs(t, err, &typed, name)
		require.ErrorIs(t, err, ErrInvalidRequest)
		require.NotEmpty(t, typed.Field)
	}
	_, err := w.c.FetchOffsets(ctx, FetchRequest{})
	require.ErrorIs(t, err, ErrInvalidRequest)
	require.ErrorIs(t, w.c.Load(ctx, 1), ErrInvalidRequest)
	require.ErrorIs(t, w.c.Load(ctx, -1), ErrInvalidRequest)

	// A commit that would not fit into a batch is refused whole.
	w.topics.set("t", 1000)
	var many []OffsetCommit
	for p := range int32(200) {
		many = append(many, OffsetCommit{Topic: "t", Partition: p, Offset: 1})
	}
	_, err = w.c.CommitOffsets(ctx, CommitRequest{Group: "g", Offsets: many})
	require.ErrorIs(t, err, ErrInvalidRequest)
	require.ErrorContains(t, err, "10000 bytes")
	require.Zero(t, w.log.appendCount())

	// The member is given an id, what was sent is not kept or changed.
	topics := []string{"u", "t", "t"}
	resp, err := w.c.Heartbeat(ctx, HeartbeatRequest{Group: "g", Topics: topics, RebalanceTimeout: minute})
	require.NoError(t, err)
	require.Len(t, resp.Member, 22)
	require.Equal(t, []string{"u", "t", "t"}, topics)
	require.Equal(t, 5*time.Second, resp.HeartbeatInterval)
}

// TestMaxGroups bounds the groups of a partition, offsets-only ones too.
func TestMaxGroups(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxGroups = 1 })
	defer w.close(t)
	w.topics.set("t", 1)
	ctx := context.Background()
	commit := func(group string) error {
		_, err := w.c.CommitOffsets(ctx, CommitRequest{Group: group, Offsets: []OffsetCommit{{Topic: "t", Offset: 1}}})
		return err
	}
	require.NoError(t, commit("a"))
	require.NoError(t, commit("a"))
	require.ErrorIs(t, commit("b"), ErrGroupMaxSize)
	_, err := (&client{c: w.c, group: "b", id: "m"}).join(ctx, "t")
	require.ErrorIs(t, err, ErrGroupMaxSize)
	var typed *GroupError
	require.ErrorAs(t, err, &typed)
	require.Equal(t, "b", typed.Group)
}

// TestCommitsShareAppends: 64 members commit while an append is under way; the
// next append has them all.
func TestCommitsShareAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close(t)
		w.topics.set("t", 65)
		require.NoError(t, w.c.Load(t.Context(), 0))
		w.log.gate, w.log.waiting = make(chan struct{}), make(chan struct{}, 100)
		done := make(chan error)
		commit := func(p int32) {
			_, err := w.c.CommitOffsets(context.Background(), CommitRequest{Group: fmt.Sprintf("g%d", p),
				Offsets: []OffsetCommit{{Topic: "t", Partition: p, Offset: base.Offset(p)}}})
			done <- err
		}
		go commit(64)
		<-w.log.waiting
		for p := range int32(64) {
			go commit(p)
		}
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("answered before the append was durable")
		default:
		}
		w.log.gate <- struct{}{}
		require.NoError(t, <-done)
		w.log.gate <- struct{}{}
		for range 64 {
			require.NoError(t, <-done)
		}
		require.Equal(t, 2, w.log.appendCount())
	})
}

// TestNothingIsSeenBeforeItIsDurable: a fetch that comes while a commit's append is
// under way waits, and if the append fails shows what was before.
func TestNothingIsSeenBeforeItIsDurable(t *testing.T) {
	for _, landed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			defer w.close(t)
			w.topics.set("t", 1)
			ctx := t.Context()
			commit := func(offset base.Offset) error {
				_, err := w.c.CommitOffsets(ctx, CommitRequest{Group: "g", Offsets: []OffsetCommit{{Topic: "t", Offset: offset}}})
				return err
			}
			fetch := func() (base.Offset, error) {
				o, err := w.c.FetchOffsets(ctx, FetchRequest{Group: "g"})
				if err != nil {
					return 0, err
				}
				return o[0].Offset, nil
			}
			require.NoError(t, commit(1))
			w.log.gate, w.log.waiting = make(chan struct{}), make(chan struct{}, 1)
			w.log.fail = func() (error, bool) { w.log.fail = nil; return errDisk, landed }

			committed, fetched := make(chan error), make(chan error)
			go func() { committed <- commit(2) }()
			<-w.log.waiting
			var seen base.Offset
			go func() {
				var err error
				seen, err = fetch()
				fetched <- err
			}()
			synctest.Wait()
			select {
			case <-fetched:
				t.Fatal("fetched beside an append under way")
			default:
			}
			w.log.gate <- struct{}{}
			err := <-committed
			require.ErrorIs(t, err, ErrNotAvailable)
			require.ErrorIs(t, err, errDisk)
			require.ErrorContains(t, err, "partition 0 of __consumer_offsets")

			// Read anew: what the log has is what is true.
			require.NoError(t, <-fetched)
			want := base.Offset(1)
			if landed {
				want = 2
			}
			require.Equal(t, want, seen)
		})
	}
}

// TestUnload: what waits is refused, a watcher wakes, and the log is not used
// afterwards.
func TestUnload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close(t)
		w.topics.set("t", 1)
		ctx := t.Context()
		m := &client{c: w.c, group: "g", id: "m"}
		news, stop := w.c.Watch("g", "m")
		defer stop()
		_, err := m.join(ctx, "t")
		require.NoError(t, err)
		w.log.gate, w.log.waiting = make(chan struct{}), make(chan struct{}, 1)
		errs := make(chan error)
		go func() { errs <- w.commitAs(m, 1) }()
		<-w.log.waiting
		go func() { errs <- w.commitAs(m, 2) }()
		synctest.Wait()
		leads := atomic.Bool{}
		logs := w.c.opts.Logs
		w.c.opts.Logs = func(ctx context.Context, p int32) (Log, error) {
			if leads.Load() {
				return logs(ctx, p)
			}
			return nil, fmt.Errorf("partition %d: %w", p, ErrNotCoordinator)
		}
		go w.c.Unload(0)
		require.ErrorIs(t, <-errs, ErrNotCoordinator)
		require.ErrorIs(t, <-errs, ErrNotCoordinator)
		<-news
		synctest.Wait()
		w.log.gate = nil
		require.Equal(t, 1, w.log.appendCount(), "only the join")
		_, err = m.beat(ctx)
		require.ErrorIs(t, err, ErrNotCoordinator)
		require.ErrorIs(t, w.c.Load(ctx, 0), ErrNotCoordinator)
		groups, err := w.c.ListGroups(ctx, ListFilter{})
		require.NoError(t, err)
		require.Empty(t, groups)

		leads.Store(true)
		require.NoError(t, w.commitAs(m, 3))
		groups, err = w.c.ListGroups(ctx, ListFilter{States: []State{StateStable}, Protocols: []Protocol{ProtocolConsumer}})
		require.NoError(t, err)
		require.Len(t, groups, 1)
	})
}

func (w *world) commitAs(m *client, offset base.Offset) error {
	_, err := w.c.CommitOffsets(context.Background(), CommitRequest{Group: m.group, Member: m.id, Epoch: m.epoch,
		Offsets: []OffsetCommit{{Topic: "t", Offset: offset}}})
	return err
}

// TestClose refuses what waits and what comes later, and wakes watchers.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.topics.set("t", 1)
		m := &client{c: w.c, group: "g", id: "m"}
		news, stop := w.c.Watch("g", "m")
		_, err := m.join(t.Context(), "t")
		require.NoError(t, err)
		w.log.gate, w.log.waiting = make(chan struct{}), make(chan struct{}, 1)
		errs := make(chan error)
		go func() { errs <- w.commitAs(m, 1) }()
		<-w.log.waiting
		require.NoError(t, err)
		go func() { errs <- w.c.Close() }()
		for range 2 {
			if err := <-errs; err != nil {
				require.ErrorIs(t, err, ErrClosed)
			}
		}
		<-news
		require.NoError(t, w.c.Close())
		require.ErrorIs(t, w.commitAs(m, 1), ErrClosed)
		require.ErrorIs(t, w.c.Load(t.Context(), 0), ErrClosed)
		w.c.Unload(0)
		stop()
		stop()
	})
}

// TestCancelledRequests: a request whose ctx ends while it waits is not carried
// out; one whose append is under way may be.
func TestCancelledRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close(t)
		w.topics.set("t", 1)
		require.NoError(t, w.c.Load(t.Context(), 0))
		w.log.gate, w.log.waiting = make(chan struct{}), make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error)
		commit := func(offset base.Offset) {
			_, err := w.c.CommitOffsets(ctx, CommitRequest{Group: "g", Offsets: []OffsetCommit{{Topic: "t", Offset: offset}}})
			errs <- err
		}
		go commit(1)
		<-w.log.waiting
		go commit(2)
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-errs, context.Canceled)
		require.ErrorIs(t, <-errs, context.Canceled)
		w.log.gate <- struct{}{}
		w.log.gate = nil
		got, err := w.c.FetchOffsets(t.Context(), FetchRequest{Group: "g"})
		require.NoError(t, err)
		require.Equal(t, base.Offset(1), got[0].Offset)
		_, err = w.c.FetchOffsets(ctx, FetchRequest{Group: "g"})
		require.ErrorIs(t, err, context.Canceled)
	})
}

// TestCorruptLog: the partition is not served, the error names the record, and
// nothing is written.
func TestCorruptLog(t *testing.T) {
	w := newWorld(t, nil)
	defer w.close(t)
	w.log.records = []KV{{Key: []byte{0, 4, 9, 9}, Value: []byte{1}}, {Key: groupKey(keyTarget, "g"), Value: []byte{0, 0, 1}}}
	_, err := w.c.FetchOffsets(t.Context(), FetchRequest{Group: "g"})
	require.ErrorIs(t, err, ErrNotAvailable)
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "offset 1")
	require.ErrorContains(t, err, "0006000167")
	require.Zero(t, w.log.appendCount())
}

// TestWatchersMakeRebalancesQuick: members that heartbeat only when they are told
// of news, or have something to acknowledge, come to rest without time passing.
func TestWatchersMakeRebalancesQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close(t)
		w.topics.set("t", 100)
		begin := time.Now()
		var members sync.WaitGroup
		member := func(id string) (leave context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			members.Go(func() {
				m := &client{c: w.c, group: "g", id: id}
				news, stop := w.c.Watch("g", id)
				defer stop()
				if _, err := m.join(ctx, "t"); err != nil {
					t.Error(err)
					return
				}
				for {
					for m.needsAck {
						if _, err := m.beat(context.Background()); err != nil {
							t.Error(err)
							return
						}
					}
					select {
					case <-news:
						m.needsAck = true // send owned: what it has not changed
					case <-ctx.Done():
						if err := m.leave(context.Background(), LeaveEpoch); err != nil {
							t.Error(err)
						}
						return
					}
				}
			})
			return cancel
		}
		var leave []context.CancelFunc
		stable := func(n int) {
			synctest.Wait()
			d, err := w.c.DescribeGroup(context.Background(), "g")
			require.NoError(t, err)
			require.Equal(t, StateStable, d.State, "%+v", d)
			require.Len(t, d.Members, n)
			for _, m := range d.Members {
				require.InDelta(t, 100/n, len(m.Assigned[0].Partitions), 1)
			}
		}
		for i := range 20 {
			leave = append(leave, member(fmt.Sprintf("m%02d", i)))
		}
		stable(20)
		w.topics.set("t", 140)
		w.topics.set("t", 100) // shrinking does not happen to topics, but must not hurt
		stable(20)
		for _, l := range leave[:15] {
			l()
		}
		stable(5)
		require.Equal(t, begin, time.Now())
		for _, l := range leave[15:] {
			l()
		}
		members.Wait()
	})
}

// TestDeletedTopic: its offsets leave the log too, not only what is shown.
func TestDeletedTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close(t)
		w.topics.set("t", 1)
		_, err := w.c.ResetOffsets(t.Context(), ResetRequest{Group: "g", Offsets: []OffsetCommit{{Topic: "t", Offset: 1}}})
		require.NoError(t, err)
		require.Contains(t, w.replayed(t), "offset")
		w.topics.set("t", 0)
		synctest.Wait()
		require.NotContains(t, w.replayed(t), "offset")
	})
}

// TestErrorsSayWhat: an error names what it concerns.
func TestErrorsSayWhat(t *testing.T) {
	w := newWorld(t, nil)
	defer w.close(t)
	w.topics.set("t", 1)
	m := &client{c: w.c, group: "billing", id: "m", instance: "i"}
	_, err := m.join(t.Context(), "t")
	require.NoError(t, err)
	_, err = m.send(t.Context(), HeartbeatRequest{Epoch: 7})
	require.EqualError(t, err, `group "billing", member "m" (instance "i"), epoch 7, expected 1: FENCED_MEMBER_EPOCH: the member has another epoch`)
	require.EqualError(t, w.c.DeleteGroup(t.Context(), "billing"), `group "billing" (Stable): NON_EMPTY_GROUP: the group has members: it has 1`)
	results, err := w.c.CommitOffsets(t.Context(), CommitRequest{Group: "billing", Member: "m", Epoch: 1, Offsets: []OffsetCommit{{Topic: "t", Partition: 1}}})
	require.NoError(t, err)
	require.EqualError(t, results[0].Err, `group "billing", topic "t", partition 1: UNKNOWN_TOPIC_OR_PARTITION: no such topic or partition: the topic has 1 partitions`)
}

// TestDeleteBigGroup takes several appends.
func TestDeleteBigGroup(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxBatchBytes = 4_000 })
	defer w.close(t)
	w.topics.set("t", 500)
	ctx := t.Context()
	for p := range int32(500) {
		_, err := w.c.CommitOffsets(ctx, CommitRequest{Group: "g", Offsets: []OffsetCommit{{Topic: "t", Partition: p, Offset: 1}}})
		require.NoError(t, err)
	}
	before := w.log.appendCount()
	require.NoError(t, w.c.DeleteGroup(ctx, "g"))
	require.Greater(t, w.log.appendCount(), before+3)
	require.NotContains(t, w.replayed(t), "group")
	w.log.compact(false)
	require.Empty(t, w.log.records)
}

// TestManyAtOnce is for the race detector: everything from many goroutines, with
// take-overs and failures, and afterwards the log is the state.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	defer w.close(t)
	w.topics.set("t", 16)
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	expected := func(err error) bool {
		for _, e := range []error{context.DeadlineExceeded, ErrNotAvailable, ErrNotCoordinator, ErrUnknownMember,
			ErrFencedMemberEpoch, ErrStaleMemberEpoch, ErrGroupNotFound} {
			if errors.Is(err, e) {
				return true
			}
		}
		return err == nil
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				m := &client{c: w.c, group: fmt.Sprintf("g%d", i%2), id: fmt.Sprintf("m%d-%d", i, n)}
				_, stop := w.c.Watch(m.group, m.id)
				_, err := m.join(ctx, "t")
				for range 20 {
					if err == nil {
						_, err = m.beat(ctx)
					}
					if err == nil {
						err = w.commitAs(m, base.Offset(n))
					}
				}
				if err == nil {
					err = m.leave(ctx, LeaveEpoch)
				}
				stop()
				if !expected(err) {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for count := int32(1); ctx.Err() == nil; count++ {
			w.topics.set("u", count)
			_, err := w.c.ListGroups(ctx, ListFilter{})
			if err == nil {
				_, err = w.c.DescribeGroup(ctx, "g0")
			}
			if !expected(err) {
				t.Error(err)
			}
			w.log.mu.Lock()
			w.log.fail = func() (error, bool) { w.log.fail = nil; return errDisk, count%2 == 0 }
			w.log.mu.Unlock()
			w.c.Unload(0)
		}
	})
	wg.Wait()
	w.log.mu.Lock()
	w.log.fail = nil
	w.log.mu.Unlock()
	var live string
	w.inside(t, func(t require.TestingT, s *state) {
		s.valid(t)
		live = s.dump()
	})
	require.Equal(t, live, w.replayed(t))
}
