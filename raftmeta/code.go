package raftmeta

import (
	"fmt"
	"strings"
)

// Code says what became of a command. It is an error, so that
// errors.Is(err, TopicExists) works; OK is none.
type Code uint8

// The codes. The numbers are stored.
const (
	OK Code = 0
	// Malformed is a command that cannot be decoded.
	Malformed Code = 1
	// Unsupported is a command of a kind or version that this metadata version
	// does not have.
	Unsupported Code = 2
	// Reserved is a kind that is kept for later: users and ACLs.
	Reserved Code = 3
	// NotBootstrapped is any command but Bootstrap on a cluster without an id.
	NotBootstrapped Code = 4
	// AlreadyBootstrapped is a Bootstrap with another id than the cluster has.
	AlreadyBootstrapped Code = 5
	// ClusterMismatch is a broker of another cluster.
	ClusterMismatch Code = 6
	// InvalidRequest is a request that no state of the cluster would allow.
	InvalidRequest Code = 7
	// Stale is a command that was decided on metadata which has changed since:
	// decide anew.
	Stale Code = 8
	// StaleEpoch is a command in the name of a registration that is over.
	StaleEpoch Code = 9
	// UnknownNode is a node that never registered.
	UnknownNode Code = 10
	// NodeRemoved is a node that was removed from the cluster; its id never returns.
	NodeRemoved Code = 11
	// NodeIDInUse is a second live node with the same id.
	NodeIDInUse Code = 12
	// AddressInUse is an address that another broker has.
	AddressInUse Code = 13
	// HasReplicas is the removal of a node that still has replicas: drain it first.
	HasReplicas Code = 14
	// UnsupportedVersion is a broker, or a metadata version, that does not go with
	// the others.
	UnsupportedVersion Code = 15
	// TopicExists is a topic whose name or id is taken.
	TopicExists Code = 16
	// UnknownTopic is a topic that is not, or not any more.
	UnknownTopic Code = 17
	// UnknownShard is a shard that is not, or not any more.
	UnknownShard Code = 18
	// NotMoving is a step of a move of a shard that is not moving.
	NotMoving Code = 19
	// Exhausted is an id that cannot be given out because there are no more.
	Exhausted Code = 20
	// Halted is every command after one that this software is too old for.
	Halted Code = 21
	// NotEnoughBrokers is a replication factor above the number of active brokers.
	NotEnoughBrokers Code = 22
	// MoveInProgress is a request for a shard that is moving.
	MoveInProgress Code = 23
	// PartialShard is a reassignment that names some partitions of a shard and
	// not the others.
	PartialShard Code = 24
	// Unrecoverable is a shard that has lost so many voters that no majority is left.
	Unrecoverable Code = 25

	codes = 26
)

var codeNames = [codes]string{
	"ok", "malformed", "unsupported", "reserved", "not bootstrapped", "already bootstrapped",
	"cluster mismatch", "invalid request", "stale", "stale epoch", "unknown node", "node removed",
	"node id in use", "address in use", "has replicas", "unsupported version", "topic exists",
	"unknown topic", "unknown shard", "not moving", "exhausted", "halted", "not enough brokers",
	"move in progress", "partial shard", "unrecoverable",
}

// String returns the code in words.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("Code(%d)", uint8(c))
}

// Error returns the code in words.
func (c Code) Error() string { return "raftmeta: " + c.String() }

// Retriable reports whether the same request may succeed when it is decided anew
// on the newest Image.
func (c Code) Retriable() bool { return c == Stale || c == MoveInProgress }

// An Error is a refused request: a code to branch on, by errors.Is or in the
// field, and what exactly was wrong.
type Error struct {
	Code    Code
	Message string
}

// Error returns the message, or the code where there is none.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.Error()
	}
	return "raftmeta: " + e.Message
}

// Unwrap returns the code.
func (e *Error) Unwrap() error { return e.Code }

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// plural returns "1 shard", "2 shards".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// join10 joins what it is given with commas, and counts what is beyond the tenth.
func join10[T any](items []T) string {
	var b strings.Builder
	for i, item := range items {
		if i == 10 {
			fmt.Fprintf(&b, " and %d more", len(items)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, item)
	}
	return b.String()
}
