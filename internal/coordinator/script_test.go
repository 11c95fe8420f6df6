package coordinator

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/stretchr/testify/require"
)

const minute = time.Minute

var update = flag.Bool("update", false, "write what the scripts and golden files give instead of checking it")

// TestScripts runs testdata/scripts: histories of the protocol. A command is a
// line, what it gives the lines after it, indented. The time is a bubble's.
//
//	topic t 3                  create the topic, or give it 3 partitions; 0 deletes it
//	options session=45s ...    for the whole script: session, size, retention, assignor, delay, bytes
//	join g a topics=t,u        heartbeat with epoch 0; instance=, assignor=, rebalance=, session=
//	beat g a                   the next heartbeat, acknowledging what it was told; owned=, epoch=, topics=, assignor=
//	                           owned=same: as before; owned=none; full: everything set
//	leave g a / away g a       epoch -1 / -2
//	commit g a t:0=5           epoch=, metadata=; member "-": none
//	fetch g [t:0,1] / reset g t:0=5 / forget g t:0 / delete g / groups / describe g
//	advance 46s                let time pass
//	news g a                   whether a watcher was told something since the last news or beat
//
// The classic protocol; answers that come later are shown below the command after
// which they came, with the member's name:
//
//	cjoin g a topics=t         JoinGroup; id= (default: as last told, "-": none), instance=, protocols=range,sticky,
//	                           type=, session=, rebalance=, v4: needs a member id, v9: can skip the assignment
//	csync g a a=t:0 b=t:1      SyncGroup; the pairs are the leader's assignments; gen=, id=, protocol=, type=
//	cbeat g a / cleave g a     Heartbeat; gen=, id= / LeaveGroup; id=, instance=
//	ccommit g a t:0=5          OffsetCommit with the generation; gen=, id=
//
// And of both:
//
//	take-over                  unload the partition and load it anew; unload: only that
//	compact [tombstones]       keep the last record of each key in the log
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/scripts/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			in, err := os.ReadFile(file)
			require.NoError(t, err)
			var out strings.Builder
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, clients: map[string]*client{}, news: map[string]<-chan struct{}{}}
				defer func() {
					if s.world != nil {
						s.close(t)
					}
					s.classic.wg.Wait()
					for _, stop := range s.stops {
						stop()
					}
				}()
				for line := range strings.Lines(string(in)) {
					line = strings.TrimRight(line, "\n")
					if strings.HasPrefix(line, "  ") {
						continue // what was given last time
					}
					fmt.Fprintln(&out, line)
					if line == "" || line[0] == '#' {
						continue
					}
					given := s.run(strings.Fields(line))
					synctest.Wait()
					given = strings.TrimRight(given, "\n") + "\n" + s.classic.answered()
					for _, l := range strings.Split(given, "\n") {
						if l != "" {
							fmt.Fprintln(&out, "  "+l)
						}
					}
				}
			})
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
				return
			}
			require.Equal(t, string(in), out.String())
		})
	}
}

type script struct {
	*world
	t       *testing.T
	clients map[string]*client
	news    map[string]<-chan struct{}
	stops   []func()
	classic classicScript
}

// client returns the member's client, made and watched at first.
func (s *script) client(group, id string) *client {
	name := group + "/" + id
	if s.clients[name] == nil {
		s.clients[name] = &client{group: group, id: id}
		news, stop := s.c.Watch(group, id)
		s.news[name] = news
		s.stops = append(s.stops, stop)
	}
	s.clients[name].c = s.c
	return s.clients[name]
}

// run runs one command and returns what it gave.
func (s *script) run(words []string) string {
	ctx := context.Background()
	args := map[string]string{}
	var plain []string
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok && !strings.Contains(k, ":") {
			args[k] = v
		} else {
			plain = append(plain, w)
		}
	}
	arg := func(i int) string {
		require.Greater(s.t, len(plain), i, "%v", words)
		return plain[i]
	}
	if plain[0] == "options" {
		require.Nil(s.t, s.world)
		s.world = newWorld(s.t, func(o *Options) {
			o.SessionTimeout = s.duration(args["session"])
			o.OffsetsRetention = s.duration(args["retention"])
			o.GroupMaxSize = int(s.number(args["size"]))
			o.Assignor = args["assignor"]
			o.Classic.InitialRebalanceDelay = s.duration(args["delay"])
			o.Classic.GroupMaxBytes = int(s.number(args["bytes"]))
			o.NewMemberID = s.classic.newID
		})
		return ""
	}
	if s.world == nil {
		s.world = newWorld(s.t, func(o *Options) { o.NewMemberID = s.classic.newID })
	}
	if strings.HasPrefix(plain[0], "c") && plain[0] != "commit" && plain[0] != "compact" {
		return s.runClassic(plain, args)
	}
	defer synctest.Wait()
	switch plain[0] {
	case "topic":
		s.topics.set(arg(1), int32(s.number(arg(2))))
		return ""
	case "advance":
		time.Sleep(s.duration(arg(1)))
		return ""
	case "take-over":
		s.c.Unload(0)
		require.NoError(s.t, s.c.Load(ctx, 0))
		return ""
	case "unload":
		s.c.Unload(0)
		return ""
	case "compact":
		s.log.compact(len(plain) > 1) // with "tombstones" they stay
		return ""
	case "news":
		s.client(arg(1), arg(2))
		select {
		case <-s.news[arg(1)+"/"+arg(2)]:
			return "yes"
		default:
			return "no"
		}
	case "join":
		m := s.client(arg(1), arg(2))
		m.instance, m.owned, m.epoch = args["instance"], nil, 0
		return s.heartbeat(m, HeartbeatRequest{Topics: strings.Split(args["topics"], ","), RebalanceTimeout: s.durationOr(args["rebalance"], minute),
			SessionTimeout: s.duration(args["session"]), Assignor: args["assignor"]})
	case "beat":
		m := s.client(arg(1), arg(2))
		req := HeartbeatRequest{Epoch: m.epoch, Assignor: args["assignor"]}
		if v, ok := args["epoch"]; ok {
			req.Epoch = int32(s.number(v))
		}
		if v, ok := args["topics"]; ok {
			req.Topics = strings.Split(v, ",")
		}
		if len(plain) > 3 && plain[3] == "full" {
			req.Topics, req.RebalanceTimeout, req.Owned = []string{"t"}, minute, append([]TopicPartitions{}, m.owned...)
		}
		switch v, ok := args["owned"]; {
		case v == "same":
			req.Owned = append([]TopicPartitions{}, m.owned...)
		case v == "none":
			req.Owned = []TopicPartitions{}
		case ok:
			req.Owned = s.partitions(v)
		case m.needsAck:
			m.owned, m.needsAck = m.assigned, false
			req.Owned = append([]TopicPartitions{}, m.owned...)
		}
		select {
		case <-s.news[arg(1)+"/"+arg(2)]:
		default:
		}
		return s.heartbeat(m, req)
	case "leave", "away":
		m := s.client(arg(1), arg(2))
		epoch := map[string]int32{"leave": LeaveEpoch, "away": StaticLeaveEpoch}[plain[0]]
		return s.heartbeat(m, HeartbeatRequest{Epoch: epoch})
	case "commit":
		req := CommitRequest{Group: arg(1), Offsets: s.offsets(plain[3:], args["metadata"])}
		if arg(2) != "-" {
			m := s.client(arg(1), arg(2))
			req.Member, req.Epoch, req.InstanceID = m.id, m.epoch, m.instance
		}
		if v, ok := args["epoch"]; ok {
			req.Epoch = int32(s.number(v))
		}
		return s.results(s.c.CommitOffsets(ctx, req))
	case "reset":
		return s.results(s.c.ResetOffsets(ctx, ResetRequest{Group: arg(1), Offsets: s.offsets(plain[2:], "")}))
	case "forget":
		return s.results(s.c.DeleteOffsets(ctx, DeleteRequest{Group: arg(1), Partitions: s.partitions(arg(2))}))
	case "fetch":
		req := FetchRequest{Group: arg(1)}
		if len(plain) > 2 {
			req.Partitions = s.partitions(arg(2))
		}
		offsets, err := s.c.FetchOffsets(ctx, req)
		if err != nil {
			return code(err)
		}
		var out strings.Builder
		for _, o := range offsets {
			fmt.Fprintf(&out, "%s:%d=%d", o.Topic, o.Partition, o.Offset)
			if o.Metadata != "" {
				fmt.Fprintf(&out, " %q", o.Metadata)
			}
			fmt.Fprintln(&out)
		}
		return out.String()
	case "delete":
		if err := s.c.DeleteGroup(ctx, arg(1)); err != nil {
			return code(err)
		}
		return "ok"
	case "groups":
		groups, err := s.c.ListGroups(ctx, ListFilter{})
		require.NoError(s.t, err)
		var out strings.Builder
		for _, g := range groups {
			fmt.Fprintf(&out, "%s %s %s\n", g.Group, g.State, g.Protocol)
		}
		return out.String()
	case "describe":
		d, err := s.c.DescribeGroup(ctx, arg(1))
		if err != nil {
			return code(err)
		}
		var out strings.Builder
		fmt.Fprintf(&out, "%s epoch=%d assignment=%d %s\n", d.State, d.Epoch, d.AssignmentEpoch, d.Assignor)
		for _, m := range d.Members {
			if d.Protocol == ProtocolClassic {
				fmt.Fprintf(&out, "%s instance=%q topics=%v assigned=%s\n", m.Member, m.InstanceID, m.Topics, show(m.Assigned))
				continue
			}
			fmt.Fprintf(&out, "%s epoch=%d %s assigned=%s", m.Member, m.Epoch, m.State, show(m.Assigned))
			if len(m.Revoking) > 0 {
				fmt.Fprintf(&out, " revoking=%s", show(m.Revoking))
			}
			if show(m.Target) != show(m.Assigned) {
				fmt.Fprintf(&out, " target=%s", show(m.Target))
			}
			fmt.Fprintln(&out)
		}
		return out.String()
	}
	s.t.Fatalf("unknown command %v", words)
	return ""
}

func (s *script) heartbeat(m *client, req HeartbeatRequest) string {
	resp, err := m.send(context.Background(), req)
	if err != nil {
		return code(err)
	}
	if resp.Assignment == nil {
		return fmt.Sprintf("epoch=%d", resp.Epoch)
	}
	return fmt.Sprintf("epoch=%d assigned=%s", resp.Epoch, show(resp.Assignment.Topics))
}

func (s *script) results(results []PartitionResult, err error) string {
	if err != nil {
		return code(err)
	}
	var out strings.Builder
	for _, r := range results {
		what := "ok"
		if r.Err != nil {
			what = code(r.Err)
		}
		fmt.Fprintf(&out, "%s:%d %s\n", r.Topic, r.Partition, what)
	}
	return out.String()
}

func (s *script) number(v string) int64 {
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	require.NoError(s.t, err)
	return n
}

func (s *script) duration(v string) time.Duration { return s.durationOr(v, 0) }

func (s *script) durationOr(v string, or time.Duration) time.Duration {
	if v == "" {
		return or
	}
	d, err := time.ParseDuration(v)
	require.NoError(s.t, err)
	return d
}

// partitions parses t:0,1;u:2.
func (s *script) partitions(v string) []TopicPartitions {
	var out []TopicPartitions
	for part := range strings.SplitSeq(v, ";") {
		topic, list, _ := strings.Cut(part, ":")
		tp := TopicPartitions{Topic: topic}
		for p := range strings.SplitSeq(list, ",") {
			tp.Partitions = append(tp.Partitions, int32(s.number(p)))
		}
		out = append(out, tp)
	}
	return out
}

// offsets parses t:0=5.
func (s *script) offsets(words []string, metadata string) []OffsetCommit {
	var out []OffsetCommit
	for _, w := range words {
		tp, offset, ok := strings.Cut(w, "=")
		require.True(s.t, ok, w)
		topic, p, _ := strings.Cut(tp, ":")
		if n, err := strconv.Atoi(strings.TrimPrefix(metadata, "x")); err == nil && strings.HasPrefix(metadata, "x") {
			metadata = strings.Repeat("x", n)
		}
		out = append(out, OffsetCommit{Topic: topic, Partition: int32(s.number(p)), Offset: base.Offset(s.number(offset)),
			LeaderEpoch: -1, Metadata: metadata})
	}
	return slices.Clip(out)
}
