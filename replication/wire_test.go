package replication

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"reflect"
	"testing"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

func randomMessages(rng *rand.Rand, n int) []pb.Message {
	types := []pb.MessageType{pb.Replicate, pb.ReplicateResp, pb.Heartbeat, pb.RequestVote, pb.ReadIndexResp, pb.Quiesce}
	number := func() uint64 {
		if rng.IntN(8) == 0 {
			return math.MaxUint64
		}
		return rng.Uint64() >> rng.IntN(64)
	}
	messages := make([]pb.Message, n)
	for i := range messages {
		m := pb.Message{
			Type: types[rng.IntN(len(types))], To: 1 + rng.Uint64N(5), From: number(), ShardID: number(), Term: number(),
			LogTerm: number(), LogIndex: rng.Uint64N(1 << 40), Commit: number(), Reject: rng.IntN(2) == 0,
			Hint: number(), HintHigh: number(),
		}
		if m.Type == pb.Replicate {
			for j := range rng.IntN(6) {
				e := pb.Entry{
					Term: number(), Index: m.LogIndex + 1 + uint64(j), Type: pb.EntryType(rng.IntN(4)),
					Key: number(), ClientID: number(), SeriesID: number(), RespondedTo: number(),
				}
				if size := rng.IntN(3) * rng.IntN(3000); size > 0 {
					e.Cmd = make([]byte, size)
					e.Cmd[size-1] = byte(j)
				}
				m.Entries = append(m.Entries, e)
			}
		}
		messages[i] = m
	}
	return messages
}

// frames encodes messages as SendMessageBatch does and gives the bodies.
func frames(t *testing.T, limit int, messages []pb.Message) [][]byte {
	t.Helper()
	f := messageFrames{limit: limit}
	var bodies [][]byte
	err := f.each(messages, func(parts [][]byte) error {
		var buf bytes.Buffer
		var bufs net.Buffers
		if err := writeFrame(&buf, frameMessages, &bufs, parts...); err != nil {
			return err
		}
		body, err := readFrame(&buf, frameMessages, limit)
		bodies = append(bodies, body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bodies
}

func TestMessagesComeBack(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		want := randomMessages(rng, rng.IntN(40))
		var got []pb.Message
		for _, body := range frames(t, 1<<20, want) {
			m, err := decodeMessages(body)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m...)
		}
		if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	}
}

// A Replicate message that does not fit into a frame arrives as several that
// follow each other.
func TestMessagesAreCut(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	var m pb.Message
	m.Type, m.To, m.From, m.ShardID, m.LogIndex, m.LogTerm, m.Commit = pb.Replicate, 2, 1, 7, 100, 3, 90
	for i := range 50 {
		m.Entries = append(m.Entries, pb.Entry{Index: 101 + uint64(i), Term: 4, Cmd: bytes.Repeat([]byte{byte(i)}, 5000)})
	}
	heartbeat := pb.Message{Type: pb.Heartbeat, To: 2, From: 1, ShardID: 7}
	index, term := uint64(100), uint64(3)
	var entries []pb.Entry
	bodies := frames(t, limit, []pb.Message{heartbeat, m, heartbeat})
	if len(bodies) < 4 {
		t.Fatalf("%d frames for 250 kB, with a limit of 64 KiB", len(bodies))
	}
	for _, body := range bodies {
		if len(body) > limit {
			t.Fatalf("a body of %d bytes", len(body))
		}
		messages, err := decodeMessages(body)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if m.Type != pb.Replicate {
				continue
			}
			if m.LogIndex != index || m.LogTerm != term || m.Commit != 90 {
				t.Fatalf("a piece follows (%d, %d), want (%d, %d)", m.LogIndex, m.LogTerm, index, term)
			}
			last := m.Entries[len(m.Entries)-1]
			index, term = last.Index, last.Term
			entries = append(entries, m.Entries...)
		}
	}
	if !reflect.DeepEqual(entries, m.Entries) {
		t.Fatal("the entries are not those that were sent")
	}

	f := messageFrames{limit: limit}
	m.Entries = []pb.Entry{{Index: 101, Cmd: make([]byte, limit)}}
	if err := f.each([]pb.Message{m}, func([][]byte) error { return nil }); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("an entry over the limit: %v", err)
	}
}

func TestMessagesOfANodeDoNotTravel(t *testing.T) {
	t.Parallel()
	for typ := range pb.LogQuery + 3 {
		m := pb.Message{Type: typ, To: 1}
		f := messageFrames{limit: 1 << 20}
		if err := f.each([]pb.Message{m}, func([][]byte) error { return nil }); (err == nil) != travels(typ) {
			t.Errorf("%v: sent: %v", typ, err)
		}
		body := appendMessageHead([]byte{1}, &m, 0)
		if _, err := decodeMessages(body); (err == nil) != travels(typ) {
			t.Errorf("%v: received: %v", typ, err)
		}
	}
}

func FuzzMessages(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	fr := messageFrames{limit: 1 << 20}
	for range 10 {
		err := fr.each(randomMessages(rng, 5), func(parts [][]byte) error {
			f.Add(bytes.Join(parts, nil))
			return nil
		})
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		messages, err := decodeMessages(body)
		if err != nil {
			if !errors.Is(err, ErrBadFrame) {
				t.Fatal(err)
			}
			return
		}
		var again []pb.Message
		for _, body := range frames(t, max(len(body)*8, 1<<20), messages) {
			m, err := decodeMessages(body)
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, m...)
		}
		if len(again) != len(messages) || len(messages) > 0 && !reflect.DeepEqual(again, messages) {
			t.Fatalf("%+v became %+v", messages, again)
		}
	})
}

func FuzzFrame(f *testing.F) {
	var buf bytes.Buffer
	var bufs net.Buffers
	if err := writeFrame(&buf, frameCall, &bufs, []byte("hello"), nil, []byte("world")); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, byte(frameCall)})
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := readFrame(bytes.NewReader(b), frameCall, 1<<26)
		if err != nil {
			return
		}
		var buf bytes.Buffer
		if err := writeFrame(&buf, frameCall, &bufs, body); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(b, buf.Bytes()) {
			t.Fatalf("%x became %x", b, buf.Bytes())
		}
	})
}

func FuzzHandshake(f *testing.F) {
	f.Add((&hello{purpose: purposeSnapshot, peer: Peer{Node: 3, ClusterID: "c", Addr: "h:1"}}).append(nil))
	f.Add(appendWelcome(nil, &RefusedError{Reason: RefusedBadTest, Detail: "x"}, Peer{Node: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, refused, err := decodeHello(b); err == nil && refused == nil {
			if !bytes.Equal(h.append(nil), b) {
				t.Fatalf("%x became %+v", b, h)
			}
		}
		if p, err := decodeWelcome(b, "h:1"); err == nil {
			if d, err := decodeWelcome(appendWelcome(nil, nil, p), "h:1"); err != nil || d != p {
				t.Fatalf("%x became %+v", b, p)
			}
		}
	})
}

// RefusedBadTest is a reason that this version does not know.
const RefusedBadTest RefusalReason = 200

func FuzzChunk(f *testing.F) {
	c := pb.Chunk{ShardID: 1, ReplicaID: 2, From: 1, ChunkCount: 1, Filepath: "/a/snapshot.gbsnap",
		Membership: pb.Membership{Addresses: map[uint64]string{1: "h:1"}}}
	head, err := c.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(append([]byte{byte(len(head))}, head...), "data"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeChunk(b); err == nil && (c.Filepath == "" || c.Filepath == "..") {
			t.Fatalf("a file named %q", c.Filepath)
		}
	})
}
