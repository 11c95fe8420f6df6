package store

import (
	"encoding/binary"

	"github.com/leatlog/leat/internal/base"
)

// The kinds of the keys of replicated partitions and of their Raft logs; doc.go
// has the picture.
const (
	kindRaftMeta     byte = 0x04
	kindRaftEntry    byte = 0x05
	kindShard        byte = 0x06
	kindMember       byte = 0x08
	kindShardSetting byte = 0x0a
	kindDeferred     byte = 0x0b
)

// What a key of kindRaftMeta is about.
const (
	raftBootstrap byte = 1
	raftState     byte = 2
	raftSnapshot  byte = 3
	raftStart     byte = 4
)

const (
	replicaKeyLen   = 1 + 8 + 8         // kind, shard, replica
	raftMetaKeyLen  = replicaKeyLen + 1 // and what
	raftEntryKeyLen = replicaKeyLen + 8 // and index
	shardKeyLen     = 1 + 8             // kind, shard
	memberKeyLen    = 1 + 8 + 8         // kind, shard, partition
	deferredKeyLen  = 1 + 8 + 8 + 8 + 1 // kind, shard, position, partition, what
)

func replicaKey(kind byte, shard base.ShardID, replica base.ReplicaID) []byte {
	k := make([]byte, replicaKeyLen, raftEntryKeyLen)
	k[0] = kind
	binary.BigEndian.PutUint64(k[1:], uint64(shard))
	binary.BigEndian.PutUint64(k[9:], uint64(replica))
	return k
}

func raftMetaKey(shard base.ShardID, replica base.ReplicaID, what byte) []byte {
	return append(replicaKey(kindRaftMeta, shard, replica), what)
}

func putRaftEntryKey(k []byte, shard base.ShardID, replica base.ReplicaID, index base.RaftIndex) {
	_ = k[raftEntryKeyLen-1]
	k[0] = kindRaftEntry
	binary.BigEndian.PutUint64(k[1:], uint64(shard))
	binary.BigEndian.PutUint64(k[9:], uint64(replica))
	binary.BigEndian.PutUint64(k[17:], uint64(index))
}

func raftEntryKey(shard base.ShardID, replica base.ReplicaID, index base.RaftIndex) []byte {
	k := make([]byte, raftEntryKeyLen)
	putRaftEntryKey(k, shard, replica, index)
	return k
}

// raftEntryIndex returns the index of a key of kindRaftEntry.
func raftEntryIndex(k []byte) base.RaftIndex {
	return base.RaftIndex(binary.BigEndian.Uint64(k[raftEntryKeyLen-8:]))
}

// raftEntryEnd is behind all entries of a replica.
func raftEntryEnd(shard base.ShardID, replica base.ReplicaID) []byte {
	return append(replicaKey(kindRaftEntry, shard, replica), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
}

func shardKey(kind byte, shard base.ShardID) []byte {
	k := make([]byte, shardKeyLen)
	k[0] = kind
	binary.BigEndian.PutUint64(k[1:], uint64(shard))
	return k
}

// shardEnd is behind all keys of a kind that begin with the shard.
func shardEnd(kind byte, shard base.ShardID) []byte {
	if shard+1 == 0 {
		return []byte{kind + 1}
	}
	return shardKey(kind, shard+1)
}

func memberKey(shard base.ShardID, p base.PartitionID) []byte {
	return binary.BigEndian.AppendUint64(shardKey(kindMember, shard), uint64(p))
}

func shardSettingKey(shard base.ShardID, name string) []byte {
	return append(shardKey(kindShardSetting, shard), name...)
}

// positionKey is the data key of a batch of a replicated partition: its position
// is the Raft index of the entry that brought it.
func positionKey(p base.PartitionID, position base.RaftIndex) []byte {
	return entryKey(kindData, p, base.Offset(position))
}
