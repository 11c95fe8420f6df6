package coordinator

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// samples are records of every kind, with and without each optional part.
func samples() []record {
	a, b := TopicID{0: 0xaa, 15: 1}, TopicID{0: 0xbb, 15: 2}
	set := partitionSet{b: {7}, a: {0, 1, 300}}
	return []record{
		&offsetRecord{"g", "t", 3, &offsetValue{offset: 42, leaderEpoch: 5, metadata: "m", commitMs: 1700000000000}},
		&offsetRecord{"g", "t", 3, &offsetValue{offset: 42, leaderEpoch: -1, commitMs: 1700000000000, topicID: a}},
		&offsetRecord{"g", "t", 3, nil},
		&classicRecord{"g", &classicValue{protocolType: "consumer", generation: 7, protocol: "range", leader: "m",
			stateMs: 1700000000000, members: []classicMemberValue{
				{id: "m", instanceID: "i", clientID: "c", clientHost: "/127.0.0.1", rebalanceTimeoutMs: 300000,
					sessionTimeoutMs: 45000, subscription: []byte{1, 2}, assignment: []byte{3}},
				{id: "n", rebalanceTimeoutMs: 1, sessionTimeoutMs: 2},
			}}},
		&classicRecord{"g", &classicValue{protocolType: "consumer", generation: 8, stateMs: -1}},
		&classicRecord{"g", nil},
		&groupRecord{"g", &groupValue{epoch: 9}},
		&groupRecord{"g", &groupValue{epoch: 10, hash: -2, emptyMs: 1700000000000}},
		&groupRecord{"g", nil},
		&memberRecord{"g", "m", &memberValue{instanceID: "i", rack: "r", clientID: "c", clientHost: "/127.0.0.1",
			topics: []string{"t", "u"}, regex: "x.*", rebalanceTimeoutMs: 300000, assignor: "uniform"}},
		&memberRecord{"g", "m", &memberValue{rebalanceTimeoutMs: -1}},
		&memberRecord{"g", "m", nil},
		&targetRecord{"g", &targetValue{epoch: 10}},
		&targetRecord{"g", nil},
		&targetMemberRecord{"g", "m", set},
		&targetMemberRecord{"g", "m", partitionSet{}},
		&targetMemberRecord{"g", "m", nil},
		&currentRecord{"g", "m", &currentValue{epoch: 10, previous: 9, state: MemberUnrevoked,
			assigned: partitionSet{a: {0}}, revoking: partitionSet{b: {7}}}},
		&currentRecord{"g", "m", nil},
	}
}

// TestGoldenRecords holds the bytes of the format: a change of them is a change of
// what is on disk.
func TestGoldenRecords(t *testing.T) {
	const file = "testdata/records/v0.txt"
	var got strings.Builder
	for _, r := range samples() {
		kv := r.kv()
		value := hex.EncodeToString(kv.Value)
		if kv.Value == nil {
			value = "tombstone"
		}
		fmt.Fprintf(&got, "%T\n  key   %x\n  value %s\n", r, kv.Key, value)
		back, err := decodeRecord(kv.Key, kv.Value)
		require.NoError(t, err)
		require.Equal(t, r, back)
	}
	if *update {
		require.NoError(t, os.MkdirAll("testdata/records", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

// TestOffsetsAreKafkas compares with the bytes that another implementation of
// Kafka's formats writes, in every version.
func TestOffsetsAreKafkas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 20, 60)
		rec := &offsetRecord{group: text.Draw(t, "group"), topic: text.Draw(t, "topic"), partition: rapid.Int32().Draw(t, "partition")}
		v := offsetValue{offset: rapid.Int64().Draw(t, "offset"), leaderEpoch: rapid.Int32().Draw(t, "epoch"),
			metadata: text.Draw(t, "metadata"), commitMs: rapid.Int64().Draw(t, "ms")}
		if rapid.Bool().Draw(t, "with id") {
			v.topicID = TopicID{rapid.Byte().Draw(t, "id"), 1}
		}
		rec.value = &v
		version := rapid.Int16Range(0, 4).Draw(t, "version")
		k := kmsg.OffsetCommitKey{Version: rapid.Int16Range(0, 1).Draw(t, "key version"), Group: rec.group, Topic: rec.topic, Partition: rec.partition}
		kv := kmsg.OffsetCommitValue{Version: version, Offset: v.offset, LeaderEpoch: v.leaderEpoch, Metadata: v.metadata,
			CommitTimestamp: v.commitMs, ExpireTimestamp: 7, TopicID: v.topicID}
		want := *rec.value
		if version < 3 {
			want.leaderEpoch = -1
		}
		if version < 4 {
			want.topicID = TopicID{}
		}
		back, err := decodeRecord(k.AppendTo(nil), kv.AppendTo(nil))
		require.NoError(t, err)
		require.Equal(t, &offsetRecord{rec.group, rec.topic, rec.partition, &want}, back)

		k.Version, kv.Version = 1, 3
		if v.topicID != (TopicID{}) {
			kv.Version = 4
		}
		ours := rec.kv()
		require.Equal(t, k.AppendTo(nil), ours.Key)
		require.Equal(t, kv.AppendTo(nil), ours.Value)
	})
}

// TestClassicIsKafkas does the same for groups of the classic protocol.
func TestClassicIsKafkas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 20, 60)
		null := func(s string) *string {
			if s == "" {
				return nil
			}
			return &s
		}
		bytes := func(name string) []byte { return append([]byte(nil), rapid.SliceOf(rapid.Byte()).Draw(t, name)...) }
		v := classicValue{protocolType: text.Draw(t, "type"), generation: rapid.Int32().Draw(t, "generation"),
			protocol: text.Draw(t, "protocol"), leader: text.Draw(t, "leader"), stateMs: rapid.Int64().Draw(t, "ms")}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			v.members = append(v.members, classicMemberValue{id: text.Draw(t, "id"), instanceID: text.Draw(t, "instance"),
				clientID: text.Draw(t, "client"), clientHost: text.Draw(t, "host"),
				rebalanceTimeoutMs: rapid.Int32().Draw(t, "rebalance"), sessionTimeoutMs: rapid.Int32().Draw(t, "session"),
				subscription: bytes("subscription"), assignment: bytes("assignment")})
		}
		rec := &classicRecord{group: text.Draw(t, "group"), value: &v}
		version := rapid.Int16Range(0, 4).Draw(t, "version")
		k := kmsg.GroupMetadataKey{Version: 2, Group: rec.group}
		theirs := kmsg.GroupMetadataValue{Version: version, ProtocolType: v.protocolType, Generation: v.generation,
			Protocol: null(v.protocol), Leader: null(v.leader), CurrentStateTimestamp: v.stateMs}
		want := v
		want.members = nil
		if version < 2 {
			want.stateMs = -1
		}
		for _, m := range v.members {
			theirs.Members = append(theirs.Members, kmsg.GroupMetadataValueMember{MemberID: m.id, InstanceID: null(m.instanceID),
				ClientID: m.clientID, ClientHost: m.clientHost, RebalanceTimeoutMillis: m.rebalanceTimeoutMs,
				SessionTimeoutMillis: m.sessionTimeoutMs, Subscription: m.subscription, Assignment: m.assignment})
			if version < 3 {
				m.instanceID = ""
			}
			if version < 1 {
				m.rebalanceTimeoutMs = m.sessionTimeoutMs
			}
			want.members = append(want.members, m)
		}
		back, err := decodeRecord(k.AppendTo(nil), theirs.AppendTo(nil))
		require.NoError(t, err)
		require.Equal(t, &classicRecord{rec.group, &want}, back)

		theirs.Version = 3
		ours := rec.kv()
		require.Equal(t, k.AppendTo(nil), ours.Key)
		require.Equal(t, theirs.AppendTo(nil), ours.Value)
	})
}

func TestSkippedAndCorruptRecords(t *testing.T) {
	for _, version := range []byte{4, 9, 15, 16, 255} {
		r, err := decodeRecord([]byte{0, version, 1, 2, 3}, []byte("whatever"))
		require.NoError(t, err)
		require.Nil(t, r)
	}
	for _, r := range samples() {
		kv := r.kv()
		check := func(key, value []byte) {
			_, err := decodeRecord(key, value)
			require.ErrorIs(t, err, ErrCorrupt)
			var corrupt *CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.True(t, bytes.Equal(key, corrupt.Key))
		}
		for n := range kv.Key {
			check(kv.Key[:n], kv.Value)
		}
		check(append(bytes.Clone(kv.Key), 0), kv.Value)
		if kv.Value == nil {
			continue
		}
		for n := range kv.Value {
			check(kv.Key, kv.Value[:n])
		}
		check(kv.Key, append(bytes.Clone(kv.Value), 0))
		check(kv.Key, append([]byte{0, 9}, kv.Value[2:]...))
		check(kv.Key, append([]byte{0xff, 0xff}, kv.Value[2:]...))
	}
	// Counts that promise more than there is, and tags without end.
	key := memberKey(keyTargetMember, "g", "m")
	for _, value := range []string{"0000ffffffff0f", "0000ffffffffff01", "0000" + "02" + strings.Repeat("00", 16) + "ffffffff0f",
		"0000" + "01" + "ffffffff0f", "0000" + "01" + "0205000500"} {
		b, err := hex.DecodeString(value)
		require.NoError(t, err)
		_, err = decodeRecord(key, b)
		require.ErrorIs(t, err, ErrCorrupt, value)
	}
}

// TestUnknownTags are skipped: a newer writer may add some.
func TestUnknownTags(t *testing.T) {
	r, err := decodeRecord(groupKey(keyTarget, "g"), []byte{0, 0, 0, 0, 0, 7, 2, 3, 1, 0xff, 9, 0})
	require.NoError(t, err)
	require.Equal(t, &targetRecord{"g", &targetValue{epoch: 7}}, r)
}

// FuzzDecodeRecord: no input panics or costs more memory than it is long, and what
// is decoded is encoded and decoded again to the same, and can be applied.
func FuzzDecodeRecord(f *testing.F) {
	for _, r := range samples() {
		kv := r.kv()
		f.Add(kv.Key, kv.Value)
	}
	for version := range int16(5) {
		v := kmsg.GroupMetadataValue{Version: version, ProtocolType: "consumer", Generation: 1,
			Members: []kmsg.GroupMetadataValueMember{{MemberID: "m", Subscription: subscription("t")}, {MemberID: "m"}}}
		f.Add(groupKey(keyGroupMetadata, "g"), v.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, err := decodeRecord(key, value)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		if r == nil {
			return
		}
		kv := r.kv()
		back, err := decodeRecord(kv.Key, kv.Value)
		require.NoError(t, err)
		require.Equal(t, r, back)
		s := newState()
		r.apply(s)
		s.loaded(time.Unix(0, 0), time.Second)
		for _, g := range s.groups {
			if c := g.classic; c != nil {
				require.Len(t, s.alarms.heap, len(c.members))
				require.Equal(t, len(c.members) > 0, g.occupied())
			}
		}
	})
}
