package coordinator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// subscription is what a consumer says of itself.
func subscription(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics = 3, topics
	return m.AppendTo(nil)
}

// assignment is what a leader of consumers gives a member.
func assignment(list []TopicPartitions) []byte {
	a := kmsg.NewConsumerMemberAssignment()
	for _, tp := range list {
		t := kmsg.NewConsumerMemberAssignmentTopic()
		t.Topic, t.Partitions = tp.Topic, tp.Partitions
		a.Topics = append(a.Topics, t)
	}
	return a.AppendTo(nil)
}

// classicScript is what a script knows of the members of classic groups.
type classicScript struct {
	ids         map[string]string // group/name -> member id
	generations map[string]int32
	last        int // of the ids given out

	wg  sync.WaitGroup
	mu  sync.Mutex
	out []string // what came since the last command
}

func (s *classicScript) newID() string {
	s.last++
	return fmt.Sprint(s.last)
}

// answered returns what came since the last command, ordered by member.
func (s *classicScript) answered() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.out)
	out := strings.Join(s.out, "\n")
	s.out = nil
	return out
}

// async runs a request that may wait, and notes its answer.
func (s *classicScript) async(name string, request func() string) string {
	s.wg.Go(func() {
		line := request()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.out = append(s.out, name+": "+line)
	})
	return ""
}

func (s *script) runClassic(plain []string, args map[string]string) string {
	c := &s.classic
	if c.ids == nil {
		c.ids, c.generations = map[string]string{}, map[string]int32{}
	}
	group, name := plain[1], plain[2]
	key := group + "/" + name
	c.mu.Lock()
	id, generation := c.ids[key], c.generations[key]
	c.mu.Unlock()
	if v, ok := args["id"]; ok {
		id = strings.TrimPrefix(v, "-")
	}
	if v, ok := args["gen"]; ok {
		generation = int32(s.number(v))
	}
	ctx, coordinator := context.Background(), s.c
	typ := func(or string) string {
		if v, ok := args["type"]; ok {
			return v
		}
		return or
	}
	switch plain[0] {
	case "cjoin":
		req := JoinRequest{Group: group, Member: id, InstanceID: args["instance"], ClientID: name, ClientHost: "/127.0.0.1",
			SessionTimeout: s.durationOr(args["session"], 10*time.Second), RebalanceTimeout: s.durationOr(args["rebalance"], 30*time.Second),
			ProtocolType: typ("consumer"), RequireMemberID: slices.Contains(plain, "v4") || slices.Contains(plain, "v9"),
			CanSkipAssignment: slices.Contains(plain, "v9")}
		names := "range"
		if v, ok := args["protocols"]; ok {
			names = v
		}
		for p := range strings.SplitSeq(names, ",") {
			req.Protocols = append(req.Protocols, JoinProtocol{p, subscription(strings.Split(args["topics"], ",")...)})
		}
		return c.async(name, func() string {
			resp, err := coordinator.JoinGroup(ctx, req)
			c.mu.Lock()
			defer c.mu.Unlock()
			var refused *MemberError
			switch {
			case errors.Is(err, ErrMemberIDRequired) && errors.As(err, &refused):
				c.ids[key] = refused.Member
				return code(err) + " " + refused.Member
			case err != nil:
				return code(err)
			}
			c.ids[key], c.generations[key] = resp.Member, resp.Generation
			out := fmt.Sprintf("joined as %s gen=%d %s leader=%s", resp.Member, resp.Generation, resp.Protocol, resp.Leader)
			if resp.SkipAssignment {
				out += " skip"
			}
			for _, m := range resp.Members {
				topics, _ := subscribedTopics(m.Metadata)
				out += fmt.Sprintf(" %s%v", m.Member, topics)
				if m.InstanceID != "" {
					out += "@" + m.InstanceID
				}
			}
			return out
		})
	case "csync":
		req := SyncRequest{Group: group, Member: id, InstanceID: args["instance"], Generation: generation,
			ProtocolType: args["type"], Protocol: args["protocol"]}
		for _, w := range slices.Sorted(maps.Keys(args)) {
			if c.ids[group+"/"+w] != "" {
				req.Assignments = append(req.Assignments, MemberAssignment{c.ids[group+"/"+w], assignment(s.partitions(args[w]))})
			}
		}
		return c.async(name, func() string {
			resp, err := coordinator.SyncGroup(ctx, req)
			if err != nil {
				return code(err)
			}
			return fmt.Sprintf("synced %s %s", resp.Protocol, show(assignedPartitions(resp.Assignment, func(string) (id TopicID) { return })))
		})
	case "cbeat":
		if err := s.c.ClassicHeartbeat(ctx, ClassicHeartbeatRequest{group, id, args["instance"], generation}); err != nil {
			return code(err)
		}
		return "ok"
	case "cleave":
		results, err := s.c.LeaveGroup(ctx, LeaveRequest{group, []LeavingMember{{id, args["instance"]}}})
		require.NoError(s.t, err)
		if results[0].Err != nil {
			return code(results[0].Err)
		}
		return "ok"
	case "ccommit":
		return s.results(s.c.CommitOffsets(ctx, CommitRequest{Group: group, Member: id, Epoch: generation, InstanceID: args["instance"],
			Offsets: s.offsets(plain[3:], "")}))
	}
	s.t.Fatalf("unknown command %v", plain)
	return ""
}
