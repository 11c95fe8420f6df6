package peer

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/wire"
)

var (
	// ErrClosed is returned by a Pool that is closed.
	ErrClosed = errors.New("peer: the pool is closed")
	// ErrNoAddress is why a request to a node whose address is not known fails.
	ErrNoAddress = errors.New("no address of the node is known")
	// ErrAddressChanged is why the requests under way to a node's former address
	// fail.
	ErrAddressChanged = errors.New("the node's address changed")
	// ErrTimeout is why a request fails that was not answered in time.
	ErrTimeout = errors.New("no answer within Config.Timeout")
	// ErrConnectTimeout is why a request fails for which no connection was made in
	// time.
	ErrConnectTimeout = errors.New("no connection within Config.ConnectTimeout")
	// ErrDisconnected is why the requests under way to a node fail when Disconnect is
	// called.
	ErrDisconnected = errors.New("disconnected, as the node is known to be gone")
	// ErrMalformed is why a request fails whose answer is not Kafka's protocol.
	ErrMalformed = wire.ErrMalformed
	// ErrResponseTooLarge is why a request fails whose answer is longer than
	// Config.MaxResponseBytes.
	ErrResponseTooLarge = errors.New("the answer is too large")
	// ErrUnknownAPI is returned for a request that peers are not asked.
	ErrUnknownAPI = errors.New("peer: not an API that peers are asked")
	// ErrInvalidRequest is returned for a call whose arguments cannot be asked.
	ErrInvalidRequest = errors.New("peer: invalid request")

	// errAbandoned is why a connection is closed whose request nobody waits for
	// any more, as another needs its place.
	errAbandoned = errors.New("nobody waits for the answer any more")
)

// UnreachableError says that a request has no answer because of the connection. It is
// returned by the call and means nothing for later ones.
type UnreachableError struct {
	Node base.NodeID
	Addr string // as of when it failed; empty if none is known
	API  kmsg.Key
	// Sent says that the peer may have received the request: what it did is not
	// known. Without it the peer did nothing.
	Sent bool
	Err  error
}

// Error tells which node, and what is known of the outcome.
func (e *UnreachableError) Error() string {
	outcome := "the request was not sent"
	if e.Sent {
		outcome = "the outcome is not known"
	}
	return fmt.Sprintf("peer: %s to node %d at %q: %v (%s)", e.API.Name(), e.Node, e.Addr, e.Err, outcome)
}

// Unwrap returns the reason.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Retriable reports whether the same request may fare better later, or at another
// node. With Sent it may be done twice then, unless the peer knows retries.
func (e *UnreachableError) Retriable() bool {
	return !errors.Is(e.Err, ErrClosed) && !errors.Is(e.Err, ErrResponseTooLarge)
}

// InterruptedError says that the caller's context ended before the answer was there.
type InterruptedError struct {
	Node base.NodeID
	API  kmsg.Key
	// Sent says that the peer may have received the request. Without it the peer did
	// nothing and never will.
	Sent bool
	Err  error // the context's cause
}

// Error tells which request, and what is known of the outcome.
func (e *InterruptedError) Error() string {
	outcome := "the request was not sent"
	if e.Sent {
		outcome = "the outcome is not known"
	}
	return fmt.Sprintf("peer: waiting for the answer to %s from node %d: %v (%s)", e.API.Name(), e.Node, e.Err, outcome)
}

// Unwrap returns the context's cause.
func (e *InterruptedError) Unwrap() error { return e.Err }

// VersionError says that a peer and this node have no version of an API in common
// that says what the request means. Nothing was sent.
type VersionError struct {
	Node base.NodeID
	API  kmsg.Key
	// Min and Max are what this node could send.
	Min, Max int16
	// PeerMin and PeerMax are what the peer serves; -1 if it does not serve the API.
	PeerMin, PeerMax int16
}

// Error tells both ranges and which side to upgrade.
func (e *VersionError) Error() string {
	side := "upgrade that node"
	if e.PeerMin > e.Max {
		side = "upgrade this node"
	}
	served := fmt.Sprintf("it serves %d to %d", e.PeerMin, e.PeerMax)
	if e.PeerMax < 0 {
		served = "it does not serve it"
	}
	return fmt.Sprintf("peer: node %d: %s is needed in version %d to %d, %s: %s", e.Node, e.API.Name(), e.Min, e.Max, served, side)
}

// Error is an error code that a peer answered.
type Error struct {
	Code int16 // Kafka's
	API  kmsg.Key
	Node base.NodeID // who answered
	// Topic and Partition are what it is about; Topic is empty and Partition -1
	// where it is about the whole request. A topic that was named by its id alone is
	// here as the id's hexadecimal digits.
	Topic     string
	Partition int32
	// Group is the group it is about, if any.
	Group   string
	Message string // the peer's words, if it sent any
	// Leader and LeaderEpoch are the leader that the peer knows of, with
	// NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH (KIP-951); 0 and -1 if it told
	// none.
	Leader      base.NodeID
	LeaderEpoch base.LeaderEpoch
}

// Error tells what it is about, the code's name and the peer's words.
func (e *Error) Error() string {
	about := ""
	switch {
	case e.Topic != "" && e.Partition >= 0:
		about = fmt.Sprintf(" topic %q partition %d", e.Topic, e.Partition)
	case e.Topic != "":
		about = fmt.Sprintf(" topic %q", e.Topic)
	case e.Group != "":
		about = fmt.Sprintf(" group %q", e.Group)
	}
	s := fmt.Sprintf("peer: %s at node %d:%s %v (%d)", e.API.Name(), e.Node, about, e.Unwrap(), e.Code)
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Leader != 0 {
		s += fmt.Sprintf(" (the leader is node %d in epoch %d)", e.Leader, e.LeaderEpoch)
	}
	return s
}

// Unwrap returns kerr's error for the code; for a code that it does not know,
// UNKNOWN_SERVER_ERROR.
func (e *Error) Unwrap() error { return kerr.ErrorForCode(e.Code) }

// Retriable reports what Kafka says about the code.
func (e *Error) Retriable() bool { return kerr.IsRetriable(e.Unwrap()) }

// Sent reports whether the request of a failed call may have been carried out
// nevertheless: its connection broke or its caller went away after it was sent. An
// answer with an error code is not that.
func Sent(err error) bool {
	if u, ok := errors.AsType[*UnreachableError](err); ok {
		return u.Sent
	}
	if i, ok := errors.AsType[*InterruptedError](err); ok {
		return i.Sent
	}
	return false
}
