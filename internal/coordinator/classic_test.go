package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func joinRequest(group, client string) JoinRequest {
	return JoinRequest{Group: group, ClientID: client, SessionTimeout: 10 * time.Second, RebalanceTimeout: 30 * time.Second,
		ProtocolType: "consumer", Protocols: []JoinProtocol{{"range", subscription("t")}}}
}

func TestClassicBadRequests(t *testing.T) {
	w := newWorld(t, nil)
	defer w.close(t)
	ctx := t.Context()
	long := strings.Repeat("x", 40_000)
	for name, c := range map[string]struct {
		change func(*JoinRequest)
		want   error
	}{
		"no group":          {func(r *JoinRequest) { r.Group = "" }, ErrInvalidGroupID},
		"long group":        {func(r *JoinRequest) { r.Group = long }, ErrInvalidGroupID},
		"long member":       {func(r *JoinRequest) { r.Member = long }, ErrInvalidRequest},
		"long instance":     {func(r *JoinRequest) { r.InstanceID = long }, ErrInvalidRequest},
		"long client":       {func(r *JoinRequest) { r.ClientID = long }, ErrInvalidRequest},
		"long type":         {func(r *JoinRequest) { r.ProtocolType = long }, ErrInvalidRequest},
		"no type":           {func(r *JoinRequest) { r.ProtocolType = "" }, ErrInconsistentProtocol},
		"no protocols":      {func(r *JoinRequest) { r.Protocols = nil }, ErrInconsistentProtocol},
		"empty protocol":    {func(r *JoinRequest) { r.Protocols = []JoinProtocol{{}} }, ErrInvalidRequest},
		"long protocol":     {func(r *JoinRequest) { r.Protocols[0].Name = long }, ErrInvalidRequest},
		"many protocols":    {func(r *JoinRequest) { r.Protocols = make([]JoinProtocol, 101) }, ErrInvalidRequest},
		"large protocols":   {func(r *JoinRequest) { r.Protocols[0].Metadata = make([]byte, 256<<10) }, ErrInvalidRequest},
		"no session":        {func(r *JoinRequest) { r.SessionTimeout = 0 }, ErrInvalidSessionTimeout},
		"negative session":  {func(r *JoinRequest) { r.SessionTimeout = -1 }, ErrInvalidSessionTimeout},
		"very long session": {func(r *JoinRequest) { r.SessionTimeout = 1 << 62 }, ErrInvalidSessionTimeout},
	} {
		req := joinRequest("g", "a")
		c.change(&req)
		_, err := w.c.JoinGroup(ctx, req)
		require.ErrorIs(t, err, c.want, name)
		require.Less(t, len(err.Error()), 1000, name)
	}
	_, err := w.c.SyncGroup(ctx, SyncRequest{})
	require.ErrorIs(t, err, ErrInvalidGroupID)
	require.ErrorIs(t, w.c.ClassicHeartbeat(ctx, ClassicHeartbeatRequest{}), ErrInvalidGroupID)
	_, err = w.c.LeaveGroup(ctx, LeaveRequest{})
	require.ErrorIs(t, err, ErrInvalidGroupID)
	groups, err := w.c.ListGroups(ctx, ListFilter{})
	require.NoError(t, err)
	require.Empty(t, groups)
	require.Zero(t, w.log.appendCount())
}

// TestClassicWaitsEnd: a request that waits for others ends with its ctx, with the
// coordinator, and if the log fails.
func TestClassicWaitsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.topics.set("t", 1)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error)
		join := func(ctx context.Context, client string) {
			_, err := w.c.JoinGroup(ctx, joinRequest("g", client))
			errs <- err
		}
		go join(ctx, "a")
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-errs, context.Canceled)
		d, err := w.c.DescribeGroup(t.Context(), "g")
		require.NoError(t, err)
		require.Len(t, d.Members, 1, "it is in the group")

		go join(t.Context(), "b")
		synctest.Wait()
		w.log.fail = func() (error, bool) { w.log.fail = nil; return errDisk, false }
		_, err = w.c.CommitOffsets(t.Context(), CommitRequest{Group: "other", Offsets: []OffsetCommit{{Topic: "t", Offset: 1}}})
		require.ErrorIs(t, err, ErrNotAvailable)
		require.ErrorIs(t, <-errs, ErrNotAvailable)

		go join(t.Context(), "c")
		synctest.Wait()
		w.c.Unload(0)
		require.ErrorIs(t, <-errs, ErrNotCoordinator)

		go join(t.Context(), "d")
		synctest.Wait()
		w.close(t)
		require.ErrorIs(t, <-errs, ErrClosed)
		_, err = w.c.JoinGroup(t.Context(), joinRequest("g", "e"))
		require.ErrorIs(t, err, ErrClosed)
	})
}

// TestClassicAnswersAreDurable: nobody hears of an assignment whose append fails, and
// then the last one is what holds.
func TestClassicAnswersAreDurable(t *testing.T) {
	for _, landed := range []bool{false, true} {
		t.Run(fmt.Sprint(landed), func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Classic.InitialRebalanceDelay = -1 })
			defer w.close(t)
			ctx := t.Context()
			a, err := w.c.JoinGroup(ctx, joinRequest("g", "a"))
			require.NoError(t, err)
			sync := func() (SyncResponse, error) {
				return w.c.SyncGroup(ctx, SyncRequest{Group: "g", Member: a.Member, Generation: a.Generation,
					Assignments: []MemberAssignment{{a.Member, []byte("all")}}})
			}
			w.log.fail = func() (error, bool) { w.log.fail = nil; return errDisk, landed }
			_, err = sync()
			require.ErrorIs(t, err, ErrNotAvailable)
			got, err := sync()
			if landed {
				require.NoError(t, err)
				require.Equal(t, "all", string(got.Assignment))
			} else {
				require.ErrorIs(t, err, ErrUnknownMember, "nothing of the group was durable")
			}
		})
	}
}

// TestClassicPendingIsBounded: ids that nobody joins with do not pile up.
func TestClassicPendingIsBounded(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.GroupMaxSize = 3; o.MaxGroups = 1 })
	defer w.close(t)
	req := joinRequest("g", strings.Repeat("\u00e9", 200)+"\xff")
	req.RequireMemberID = true
	var ids []string
	for range 10 {
		_, err := w.c.JoinGroup(t.Context(), req)
		var refused *MemberError
		require.ErrorIs(t, err, ErrMemberIDRequired)
		require.True(t, errors.As(err, &refused))
		require.True(t, utf8.ValidString(refused.Member))
		require.Less(t, len(refused.Member), 300)
		ids = append(ids, refused.Member)
	}
	w.inside(t, func(t require.TestingT, s *state) {
		s.valid(t)
		require.Len(t, s.groups["g"].classic.pending, 3)
	})
	req.Member = ids[6]
	_, err := w.c.JoinGroup(t.Context(), req)
	require.ErrorIs(t, err, ErrUnknownMember, "taken back")
	_, err = w.c.JoinGroup(t.Context(), joinRequest("h", "a"))
	require.ErrorIs(t, err, ErrGroupMaxSize)
}

// TestClassicManyMembers: a thousand members join at once, and rebalance once.
func TestClassicManyMembers(t *testing.T) {
	const n = 1000
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.close(t)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				resp, err := w.c.JoinGroup(t.Context(), joinRequest("g", fmt.Sprint(i)))
				if err != nil || resp.Generation != 1 {
					t.Errorf("%d: %+v %v", i, resp, err)
					return
				}
				req := SyncRequest{Group: "g", Member: resp.Member, Generation: 1}
				for _, m := range resp.Members {
					req.Assignments = append(req.Assignments, MemberAssignment{m.Member, []byte(m.Member)})
				}
				got, err := w.c.SyncGroup(t.Context(), req)
				if err != nil || string(got.Assignment) != resp.Member {
					t.Errorf("%d: %+v %v", i, got, err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 1, w.log.appendCount())
		_, err := w.c.JoinGroup(t.Context(), joinRequest("g", "x"))
		require.ErrorIs(t, err, ErrGroupMaxSize)
		w.inside(t, func(t require.TestingT, s *state) { s.valid(t) })
	})
}

// FuzzReplayClassic: whatever value of a classic group a log holds, it is refused as
// corrupt or gives a group that can be described, joined and left, and that ends when
// nobody is heard of.
func FuzzReplayClassic(f *testing.F) {
	for _, r := range samples() {
		if r, ok := r.(*classicRecord); ok && r.value != nil {
			f.Add(r.kv().Value)
		}
	}
	for version := range int16(5) {
		m := kmsg.GroupMetadataValueMember{MemberID: "m", InstanceID: kmsg.StringPtr("i"), Subscription: subscription("t"), SessionTimeoutMillis: -1}
		n := kmsg.GroupMetadataValueMember{MemberID: "n", InstanceID: kmsg.StringPtr("i"), Assignment: assignment(nil)}
		v := kmsg.GroupMetadataValue{Version: version, ProtocolType: "consumer", Generation: -1,
			Members: []kmsg.GroupMetadataValueMember{m, n, m}}
		f.Add(v.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var clock fakeClock
		w := newWorld(t, func(o *Options) { o.Clock, o.Classic.InitialRebalanceDelay = &clock, -1 })
		defer w.close(t)
		w.topics.set("t", 2)
		w.log.records = []KV{{Key: groupKey(keyGroupMetadata, "g"), Value: value}}
		ctx := t.Context()
		d, err := w.c.DescribeGroup(ctx, "g")
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		require.Equal(t, ProtocolClassic, d.Protocol)
		for i, m := range d.Members {
			err := w.c.ClassicHeartbeat(ctx, ClassicHeartbeatRequest{Group: "g", Member: m.Member, Generation: d.Epoch})
			require.NoError(t, err)
			if i > 8 {
				break
			}
		}
		// Answers are not waited for here: most wait for others.
		_, err = submit(ctx, w.c, 0, func(t *tx) (*answer[JoinResponse], error) {
			req := joinRequest("g", "a")
			req.InstanceID = "i"
			return t.join(&req)
		})
		require.True(t, err == nil || errors.Is(err, ErrInconsistentProtocol) || errors.Is(err, ErrGroupMaxSize), "%v", err)
		if len(d.Members) > 0 {
			_, err := w.c.LeaveGroup(ctx, LeaveRequest{"g", []LeavingMember{{Member: d.Members[0].Member}}})
			require.NoError(t, err)
		}
		for range 6 {
			clock.advance(25 * 24 * time.Hour)
			if d, err = w.c.DescribeGroup(ctx, "g"); err != nil {
				require.ErrorIs(t, err, ErrGroupNotFound)
				return
			}
		}
		require.Equal(t, StateEmpty, d.State)
	})
}
