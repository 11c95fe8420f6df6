package kafka

import (
	"fmt"
	"time"
)

// Limits bound what the clients of a listener can make it use. Zero values are the
// defaults; nothing can be unlimited.
type Limits struct {
	// Connections bounds those that are open at a time (max.connections), and
	// ConnectionsPerAddr those from one address (max.connections.per.ip). More are
	// closed as they come. Defaults 10,000 and 5,000.
	Connections        int
	ConnectionsPerAddr int
	// RequestBytes bounds a request (socket.request.max.bytes). Default 100 MiB.
	RequestBytes int
	// FetchBytes bounds the records of a Fetch, whatever the client allows
	// (fetch.max.bytes), but for a first batch that is larger. Default 16 MiB.
	FetchBytes int
	// InFlight bounds the requests of a connection that are not answered yet.
	// Default 16.
	InFlight int
	// MemoryBytes bounds the requests of all connections together
	// (queued.max.request.bytes), and as much again the answers. It is at least
	// RequestBytes and FetchBytes. Default 256 MiB.
	MemoryBytes int64
	// MemoryBytesPerAddr is how much of it the connections from one address may use
	// together. At least RequestBytes and FetchBytes, at most MemoryBytes. Default half of
	// MemoryBytes, or as much as a request needs.
	MemoryBytesPerAddr int64
	// FetchSessions bounds the fetch sessions of all clients
	// (max.incremental.fetch.session.cache.slots), and FetchSessionPartitions the
	// partitions in all of them. A client that finds no room names all of its
	// partitions each time. Defaults 1,000 and 200,000.
	FetchSessions          int
	FetchSessionPartitions int
	// IdleTimeout is after how long without a request a connection is closed
	// (connections.max.idle.ms). Default 10 minutes.
	IdleTimeout time.Duration
	// RequestTimeout is how long a client may take for its first request and for
	// the TLS handshake, for each further piece of a request that it has begun,
	// and for reading each piece of an answer. A piece is 256 KiB, and a request
	// must not come slower than one each second either, in all. Default 30 s.
	RequestTimeout time.Duration
}

func (l Limits) withDefaults() Limits {
	set := func(n *int, to int) {
		if *n == 0 {
			*n = to
		}
	}
	set(&l.Connections, 10_000)
	set(&l.ConnectionsPerAddr, 5_000)
	set(&l.RequestBytes, 100<<20)
	set(&l.FetchBytes, 16<<20)
	set(&l.InFlight, 16)
	set(&l.FetchSessions, 1_000)
	set(&l.FetchSessionPartitions, 200_000)
	if l.MemoryBytes == 0 {
		l.MemoryBytes = max(256<<20, int64(l.RequestBytes), int64(l.FetchBytes))
	}
	if l.MemoryBytesPerAddr == 0 {
		l.MemoryBytesPerAddr = max(l.MemoryBytes/2, int64(l.RequestBytes), int64(l.FetchBytes))
	}
	if l.IdleTimeout == 0 {
		l.IdleTimeout = 10 * time.Minute
	}
	if l.RequestTimeout == 0 {
		l.RequestTimeout = 30 * time.Second
	}
	return l
}

// LimitError names a field of Limits that breaks its rule.
type LimitError struct{ Field, Rule string }

// Error tells the field and the rule.
func (e *LimitError) Error() string { return fmt.Sprintf("kafka: Limits.%s %s", e.Field, e.Rule) }

// validate is for limits with their defaults.
func (l Limits) validate() error {
	switch {
	case l.Connections < 1:
		return &LimitError{"Connections", "must be at least 1"}
	case l.ConnectionsPerAddr < 1:
		return &LimitError{"ConnectionsPerAddr", "must be at least 1"}
	case l.RequestBytes < 1<<10 || l.RequestBytes > 1<<30:
		return &LimitError{"RequestBytes", "must be from 1 KiB to 1 GiB"}
	case l.FetchBytes < 1 || l.FetchBytes > 1<<30:
		return &LimitError{"FetchBytes", "must be from 1 to 1 GiB"}
	case l.InFlight < 1 || l.InFlight > 10_000:
		return &LimitError{"InFlight", "must be from 1 to 10,000"}
	case l.MemoryBytes < int64(max(l.RequestBytes, l.FetchBytes)):
		return &LimitError{"MemoryBytes", "must be at least RequestBytes and FetchBytes"}
	case l.MemoryBytesPerAddr < int64(max(l.RequestBytes, l.FetchBytes)) || l.MemoryBytesPerAddr > l.MemoryBytes:
		return &LimitError{"MemoryBytesPerAddr", "must be at least RequestBytes and FetchBytes, and at most MemoryBytes"}
	case l.FetchSessions < 1 || l.FetchSessions > 1_000_000:
		return &LimitError{"FetchSessions", "must be from 1 to 1,000,000"}
	case l.FetchSessionPartitions < 1:
		return &LimitError{"FetchSessionPartitions", "must be at least 1"}
	case l.IdleTimeout < 0:
		return &LimitError{"IdleTimeout", "must be positive"}
	case l.RequestTimeout < 0:
		return &LimitError{"RequestTimeout", "must be positive"}
	}
	return nil
}
