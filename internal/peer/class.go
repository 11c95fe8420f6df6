package peer

import (
	"hash/maphash"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// class says which connections a request may take. A listener answers the requests
// of a connection in their order, and but for Produce it handles one at a time.
type class uint8

const (
	// classOrdered is for Produce: what has the same key takes the same connection.
	classOrdered class = iota
	// classShort is for what is answered as soon as it is done.
	classShort
	// classLong is for what may wait for others before it is answered: it has a
	// connection to itself meanwhile.
	classLong
)

// seed makes the hash of order keys; within a process all links agree.
var seed = maphash.MakeSeed()

// orderKey returns the key of a Produce: its first topic, by the id if it has one, and
// partition.
func orderKey(req kmsg.Request) uint64 {
	p, ok := req.(*kmsg.ProduceRequest)
	if !ok || len(p.Topics) == 0 {
		return 0
	}
	t := &p.Topics[0]
	var h maphash.Hash
	h.SetSeed(seed)
	if t.TopicID != [16]byte{} {
		_, _ = h.Write(t.TopicID[:])
	} else {
		_, _ = h.WriteString(t.Topic)
	}
	if len(t.Partitions) > 0 {
		n := uint32(t.Partitions[0].Partition)
		_, _ = h.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	return h.Sum64()
}

// patience is how long an answer may take: timeout, and on top of it what the peer may
// wait by the request's own word, where it waits for others or for longer than
// timeout.
func patience(a *api, req kmsg.Request, timeout time.Duration) time.Duration {
	millis := int32(0)
	switch req := req.(type) {
	case *kmsg.FetchRequest:
		millis = req.MaxWaitMillis
	case *kmsg.JoinGroupRequest:
		millis = max(req.RebalanceTimeoutMillis, req.SessionTimeoutMillis)
	case *kmsg.SyncGroupRequest:
		millis = syncMillisMax
	case kmsg.TimeoutRequest:
		millis = req.Timeout()
	}
	own := min(max(time.Duration(millis)*time.Millisecond, 0), patienceMax)
	if a.class != classLong && own <= timeout {
		own = 0
	}
	return timeout + own
}

const (
	// patienceMax bounds how long a request may ask for.
	patienceMax = 30 * time.Minute
	// syncMillisMax is for a SyncGroup, which waits for the group's leader and does
	// not say for how long.
	syncMillisMax = 5 * 60 * 1000
)
