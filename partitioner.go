package leat

// A Partitioner chooses the partition of a record among n > 0: a number in
// [0, n), or -1 for any, which the producer then chooses so that batches fill
// (KIP-794). It must not keep or change the record. It is called by one
// goroutine at a time for each producer.
type Partitioner func(r *Record, n int32) int32

// KeyPartitioner puts a record with a key where Kafka's own clients put it:
// the positive murmur2 hash of the key modulo the number of partitions. A record
// without a key goes to any partition. It is the default.
func KeyPartitioner(r *Record, n int32) int32 {
	return keyPartition(r.Key, n)
}

func keyPartition(key []byte, n int32) int32 {
	if key == nil {
		return -1
	}
	return int32(murmur2(key)&0x7fffffff) % n
}

// ManualPartitioner uses Record.Partition.
func ManualPartitioner(r *Record, _ int32) int32 { return r.Partition }

// murmur2 is MurmurHash2 with the seed that Kafka's clients use.
func murmur2(b []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
	)
	h := uint32(seed) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= m
		k ^= k >> 24
		k *= m
		h *= m
		h ^= k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}
