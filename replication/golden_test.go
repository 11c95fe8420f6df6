package replication

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"

	pb "github.com/lni/dragonboat/v4/raftpb"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

// What is on disk, and what every replica must read alike, does not change.
func TestFormatsDoNotChange(t *testing.T) {
	t.Parallel()
	entry := pb.Entry{Term: 300, Index: 7, Type: pb.EncodedEntry, Key: 5, ClientID: 6, SeriesID: 7, RespondedTo: 8,
		Cmd: (&command{kind: kindAppend, partition: 0x0102030405060708, epoch: 9, nowMillis: 10, batch: []byte("batch")}).appendTo([]byte{0})}
	n := headOf(&entry)
	if string(entry.Cmd[n:]) != "batch" {
		t.Fatalf("the log keeps %q of the command", entry.Cmd[:n])
	}
	for _, tt := range []struct {
		what string
		got  []byte
		want string
	}{
		{"append", (&command{kind: kindAppend, partition: 3, epoch: 4, nowMillis: 5, batch: []byte{0xff}}).appendTo(nil),
			"0101" + "0000000000000003" + "00000004" + "0000000000000005" + "ff"},
		{"create partition", (&command{kind: kindCreatePartition, partition: 3}).appendTo(nil), "0201" + "0000000000000003"},
		{"drop partition", (&command{kind: kindDropPartition, partition: 3}).appendTo(nil), "0301" + "0000000000000003"},
		{"trim", (&command{kind: kindTrim, partition: 3, offset: 6}).appendTo(nil), "0401" + "0000000000000003" + "0000000000000006"},
		{"barrier", (&command{kind: kindBarrier}).appendTo(nil), "0501"},
		{"fence", (&command{kind: kindFence, epoch: 7}).appendTo(nil), "0601" + "00000007"},
		{"log entry", appendLogHead(nil, &entry, n), "01" + "ac02" + "02" + "05" + "06" + "07" + "08" +
			"00" + "0101" + "0102030405060708" + "00000009" + "000000000000000a"},
		{"Raft state", encodeRaftState(pb.State{Term: 300, Vote: 2, Commit: 3}), "01" + "ac02" + "02" + "03"},
	} {
		if got := hex.EncodeToString(tt.got); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
	back, err := decodeLogHead(store.LogEntry{Index: 7, Head: appendLogHead(nil, &entry, n), Payload: entry.Cmd[n:]})
	if err != nil || !reflect.DeepEqual(back, entry) {
		t.Errorf("%+v came back as %+v, %v", entry, back, err)
	}
}

// A command that a later version has made stops a replica; garbage is a result.
func TestCommandsOfLaterVersions(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{{7, 1}, {0, 1}, {1, 2, 0}, {99, 99}} {
		if _, err := decodeCommand(b); !errors.Is(err, ErrUnknownCommand) {
			t.Errorf("%x: %v", b, err)
		}
	}
	for _, b := range [][]byte{nil, {1}, {2, 1, 0}, {5, 1, 0}, {6, 1, 0}, {4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1}} {
		if _, err := decodeCommand(b); !errors.Is(err, ErrBadFrame) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

func FuzzCommand(f *testing.F) {
	for kind := kindAppend; kind <= kindFence; kind++ {
		f.Add((&command{kind: kind, partition: 1, epoch: 2, nowMillis: 3, offset: 4, batch: []byte("b")}).appendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCommand(b)
		if err == nil && !bytes.Equal(c.appendTo(nil), b) {
			t.Fatalf("%x became %+v", b, c)
		}
	})
}

func FuzzLogHead(f *testing.F) {
	f.Add(appendLogHead(nil, &pb.Entry{Term: 1, Type: pb.EncodedEntry, Cmd: []byte("c")}, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeLogHead(store.LogEntry{Index: base.RaftIndex(1), Head: b})
		if err != nil {
			return
		}
		again, err := decodeLogHead(store.LogEntry{Index: 1, Head: appendLogHead(nil, &e, len(e.Cmd))})
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
	})
}
