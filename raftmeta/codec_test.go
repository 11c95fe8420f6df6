package raftmeta

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// samples is a command of each kind with every field set.
func samples() []Command {
	return []Command{
		&Bootstrap{ClusterID: "4L6g3nShT-eMCtK--X86sw", Founders: []NodeID{1, 2, 300}, ShardsPerFactor: 16, DefaultReplicationFactor: 2, MinInsyncReplicas: 1},
		&RegisterBroker{
			Node: 300, ClusterID: "4L6g3nShT-eMCtK--X86sw", Incarnation: Incarnation{1, 2}, Directory: Directory{3, 4}, RaftAddr: "10.0.0.3:7001",
			ClientAddr: "10.0.0.3:9092", Rack: "räck-b", Software: "1.2.3", MinVersion: 1, MaxVersion: 7,
		},
		&UnfenceBroker{BrokerEpoch{300, 5000}},
		&FenceBroker{BrokerEpoch{300, 5001}},
		&DrainBroker{Node: 300, Cancel: true},
		&RemoveBroker{Node: 300},
		&CreateTopic{
			Name: "orders", ID: TopicID{9, 8, 7}, Internal: true, Configs: map[string]string{"retention.ms": "1000", "cleanup.policy": "compact"},
			Factor: 3, CreatedMs: 1_700_000_000_000, FirstShard: 16,
			NewShards: []NewShard{{Dedicated: true, Nodes: []NodeID{1, 2, 300}}, {Nodes: []NodeID{300, 1, 2}}}, Shards: []ShardID{16, 17, 16},
		},
		&DeleteTopic{ID: TopicID{9, 8, 7}},
		&AddPartitions{Topic: TopicID{9, 8, 7}, Count: 3, FirstShard: 18, NewShards: []NewShard{{Nodes: []NodeID{2}}}, Shards: []ShardID{18}},
		&SetTopicConfigs{Topic: TopicID{9, 8, 7}, Version: 2, Set: map[string]string{"a": "", "b": "2"}, Delete: []string{"c"}},
		&MoveShard{Shard: 16, Version: 3, Voters: []NodeID{4, 1, 2}, Observers: []NodeID{5}},
		&AdvanceMove{Shard: 16, Version: 4, Replica: 4, State: ReplicaVoter},
		&CompleteMove{Shard: 16, Version: 6},
		&SetPreferredLeaders{Shard: 16, Version: 7, Preferred: []NodeID{2, 4, 1}},
		&AllocateProducerIDs{BrokerEpoch{1, 17}},
		&SetClusterSetting{Setting: SettingShardsPerFactor, Value: 24},
	}
}

// golden compares text with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the stored form changed; what is in %s must be readable for ever, so a new form needs a new version.\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestGoldenCommands(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, c := range samples() {
		encoded := EncodeCommand(c)
		fmt.Fprintf(&b, "%s %s\n", reflect.TypeOf(c).Elem().Name(), hex.EncodeToString(encoded))
		decoded, err := DecodeCommand(encoded)
		if err != nil || !reflect.DeepEqual(decoded, c) {
			t.Errorf("%T: got %+v, %v, want %+v", c, decoded, err, c)
		}
	}
	golden(t, "commands.txt", b.String())
}

func TestGoldenResult(t *testing.T) {
	t.Parallel()
	r := Result{Code: Stale, Message: "shard 7", Index: 300, Epoch: 299, FirstProducerID: 5000, FirstPartition: 1000, FirstShard: 20}
	golden(t, "result.txt", hex.EncodeToString(r.Encode())+"\n")
	if got, err := DecodeResult(r.Encode()); err != nil || got != r {
		t.Errorf("got %+v, %v, want %+v", got, err, r)
	}
}

// rich returns a cluster that has something of everything in its snapshot.
func rich(t testing.TB) *cluster {
	c := newCluster(t, 4, "a", "b", "c")
	c.create("orders", 3, 0, map[string]string{"retention.ms": "1000"})
	c.create("own", 2, 1, map[string]string{ConfigDedicatedShards: "2"})
	c.must(&AllocateProducerIDs{BrokerEpoch{1, c.img().Broker(1).Epoch}})
	c.join(5, "b")
	c.must(&FenceBroker{BrokerEpoch{5, c.img().Broker(5).Epoch}})
	c.must(&RemoveBroker{Node: 5})
	c.must(PlanMetadata(c.img()))
	c.must(&DrainBroker{Node: 4})
	s := c.img().Shard(FirstShard)
	c.must(&MoveShard{Shard: s.ID, Version: s.Version, Voters: []NodeID{s.Preferred[0]}, Observers: []NodeID{s.Preferred[1]}})
	return c
}

func TestGoldenSnapshot(t *testing.T) {
	t.Parallel()
	c := rich(t)
	golden(t, "snapshot.txt", hex.Dump(c.snapshot()))
	img, err := ReadImage(bytes.NewReader(c.snapshot()))
	if err != nil {
		t.Fatal(err)
	}
	if d := (Delta{c.img(), img}); !d.Empty() || img.Index() != c.img().Index() || img.nextShard != c.img().nextShard || img.nextPartition != c.img().nextPartition {
		t.Errorf("what was read is not what was written")
	}
	if problem := img.valid(); problem != "" {
		t.Error(problem)
	}
}

func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	c := rich(t)
	whole := c.snapshot()
	m := NewMachine()
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x41
		for what, b := range map[string][]byte{"cut": whole[:i], "flipped": damaged} {
			before := m.Image()
			if err := m.Restore(bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), ErrBadSnapshot.Error()) {
				t.Fatalf("%s at %d: got %v", what, i, err)
			}
			if m.Image() != before {
				t.Fatalf("%s at %d changed the image", what, i)
			}
		}
	}
	if err := m.Restore(bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
}

// allocated returns how many bytes f allocates, at least: others may be
// allocating meanwhile, so that the lowest of some tries counts.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// allocationMax bounds what decoding n bytes may allocate: a list element of a
// byte becomes 32 bytes of memory at most.
func allocationMax(n int) uint64 { return uint64(n)*64 + 4<<10 }

func FuzzDecodeCommand(f *testing.F) {
	for _, c := range samples() {
		f.Add(EncodeCommand(c))
	}
	f.Add([]byte{byte(KindCreateTopic), 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{byte(KindACL), 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Command
		var err error
		if got := allocated(func() { c, err = DecodeCommand(b) }); got > allocationMax(len(b)) {
			t.Errorf("%d bytes were allocated for %d", got, len(b))
		}
		if err == nil && !bytes.Equal(EncodeCommand(c), b) {
			t.Errorf("%x becomes %x", b, EncodeCommand(c))
		}
		// What is decoded is applied, and what is not is refused, on a cluster that
		// has what it may refer to.
		cluster := newCluster(t, 3)
		cluster.create("orders", 3, 0, nil)
		before := cluster.img()
		if r := cluster.applyBytes(b); (err != nil) != (r.Code == Malformed || r.Code == Unsupported || r.Code == Reserved) && err != nil {
			t.Errorf("decoding: %v, applying: %v", err, r.Err())
		} else if r.Code != OK && !(Delta{before, cluster.img()}).Empty() {
			t.Errorf("a refused command changed something: %v", r.Err())
		}
	})
}

func FuzzDecodeResult(f *testing.F) {
	f.Add(Result{Code: Stale, Message: "shard 7", Index: 300}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Result
		var err error
		if got := allocated(func() { r, err = DecodeResult(b) }); got > allocationMax(len(b)) {
			t.Errorf("%d bytes were allocated for %d", got, len(b))
		}
		if err == nil && !bytes.Equal(r.Encode(), b) {
			t.Errorf("%x becomes %x", b, r.Encode())
		}
	})
}

// FuzzReadImage reads what is a snapshot but for its checksum, which is made
// right.
func FuzzReadImage(f *testing.F) {
	whole := rich(f).snapshot()
	f.Add(whole[:len(whole)-4])
	f.Add(newCluster(f, 1).snapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		b = checksum(b)
		var img *Image
		var err error
		// A record of a few bytes becomes a broker, a shard or a topic, with its
		// place in the trees.
		if got := allocated(func() { img, err = ReadImage(bytes.NewReader(b)) }); got > uint64(len(b))*4096+64<<10 {
			t.Errorf("%d bytes were allocated for %d", got, len(b))
		}
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		if err := img.Snapshot(&first); err != nil {
			t.Fatal(err)
		}
		again, err := ReadImage(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Snapshot(&second); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Error("a snapshot of what was read is read as something else")
		}
	})
}

// checksum returns b with its checksum behind it.
func checksum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(b), crc32.Checksum(b, castagnoli))
}
