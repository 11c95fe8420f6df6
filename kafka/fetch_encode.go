package kafka

import (
	"encoding/binary"
	"net"
)

// encodeFetch writes the answer without copying the batches, but for small ones.
func encodeFetch(c *conn, r *request, code Code, session int32, parts []fetched) net.Buffers {
	e := fetchEncoder{flexible: r.version >= r.api.shape.flexible}
	e.buf = r.appendHeader(nil)
	e.int32(0) // throttle time
	if r.version >= fetchVersionSession {
		e.int16(int16(code))
		e.int32(session)
	}
	told := parts[:0]
	for i := range parts {
		if !parts[i].silent {
			told = append(told, parts[i])
		}
	}
	topics := 0
	for i := range told {
		if i == 0 || told[i].key != told[i-1].key {
			topics++
		}
	}
	e.arrayLen(topics)
	for len(told) > 0 {
		n := 1
		for n < len(told) && told[n].key == told[0].key {
			n++
		}
		if r.version >= fetchVersionIDs {
			e.buf = append(e.buf, told[0].key.id[:]...)
		} else {
			e.string(told[0].key.name)
		}
		e.arrayLen(n)
		for i := range n {
			e.partition(r.version, &told[i])
		}
		e.tags()
		told = told[n:]
	}
	e.endpoints(c.endpoints(e.leaders))
	return e.finish()
}

// fetchEncoder collects an answer as pieces: what it wrote itself, and batches.
type fetchEncoder struct {
	flexible bool
	out      net.Buffers
	buf      []byte             // the piece that is written
	size     int                // of the pieces in out
	leaders  map[int32]struct{} // that were named to clients that ask where they are
}

func (e *fetchEncoder) int16(v int16) { e.buf = binary.BigEndian.AppendUint16(e.buf, uint16(v)) }
func (e *fetchEncoder) int32(v int32) { e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(v)) }
func (e *fetchEncoder) int64(v int64) { e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(v)) }

func (e *fetchEncoder) tags() {
	if e.flexible {
		e.buf = append(e.buf, 0)
	}
}

// arrayLen writes the length of an array or of bytes.
func (e *fetchEncoder) arrayLen(n int) {
	if e.flexible {
		e.buf = binary.AppendUvarint(e.buf, uint64(n+1))
	} else {
		e.int32(int32(n))
	}
}

func (e *fetchEncoder) string(s string) {
	if e.flexible {
		e.buf = binary.AppendUvarint(e.buf, uint64(len(s)+1))
	} else {
		e.int16(int16(len(s)))
	}
	e.buf = append(e.buf, s...)
}

func (e *fetchEncoder) partition(version int16, f *fetched) {
	hw, start := int64(f.fetch.HighWatermark), int64(f.fetch.LogStart)
	if f.replica == nil {
		hw, start = -1, -1
	}
	e.int32(f.number)
	e.int16(int16(f.code))
	e.int64(hw)
	e.int64(hw) // the last stable offset: there are no transactions
	if version >= 5 {
		e.int64(start)
	}
	e.arrayLen(0) // aborted transactions
	if version >= 11 {
		e.int32(f.preferred)
	}
	e.arrayLen(f.fetch.Bytes)
	for _, b := range f.fetch.Batches {
		if len(b) <= copiedBytes {
			e.buf = append(e.buf, b...)
			continue
		}
		e.cut()
		e.out = append(e.out, b)
		e.size += len(b)
	}
	if !f.code.aboutLeader() {
		e.tags()
		return
	}
	e.currentLeader(version, &f.moved)
}

// aboutLeader reports whether the answer tells who leads instead.
func (code Code) aboutLeader() bool {
	return code == NotLeaderOrFollower || code == FencedLeaderEpoch
}

// currentLeader writes the tagged field that names the leader.
func (e *fetchEncoder) currentLeader(version int16, at *Location) {
	if !e.flexible {
		return
	}
	const tag, size = 1, 4 + 4 + 1
	e.buf = append(e.buf, 1, tag, size)
	e.int32(at.Leader)
	e.int32(int32(at.Epoch))
	e.tags()
	if version >= fetchVersionEndpoints && at.Leader != NoNode {
		if e.leaders == nil {
			e.leaders = make(map[int32]struct{})
		}
		e.leaders[at.Leader] = struct{}{}
	}
}

// endpoints ends the answer, with the tagged field that tells where leaders are.
func (e *fetchEncoder) endpoints(nodes []Node) {
	if len(nodes) == 0 {
		e.tags()
		return
	}
	in := fetchEncoder{flexible: true}
	in.arrayLen(len(nodes))
	for i := range nodes {
		n := &nodes[i]
		in.int32(n.ID)
		in.string(n.Host)
		in.int32(n.Port)
		if n.Rack == "" {
			in.buf = append(in.buf, 0) // null
		} else {
			in.string(n.Rack)
		}
		in.tags()
	}
	e.buf = append(e.buf, 1, 0)
	e.buf = binary.AppendUvarint(e.buf, uint64(len(in.buf)))
	e.buf = append(e.buf, in.buf...)
}

// cut ends the piece that is written.
func (e *fetchEncoder) cut() {
	if len(e.buf) > 0 {
		e.out = append(e.out, e.buf)
		e.size += len(e.buf)
		e.buf = nil
	}
}

func (e *fetchEncoder) finish() net.Buffers {
	e.cut()
	binary.BigEndian.PutUint32(e.out[0], uint32(e.size-4)) // the first piece begins with it
	return e.out
}
