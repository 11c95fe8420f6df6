package replication

import (
	"errors"
	"fmt"

	"github.com/leatlog/leat/internal/base"
)

// Errors to branch on.
var (
	// ErrClosed is returned by every call on a closed Node or Transport.
	ErrClosed = errors.New("replication is closed")
	// ErrNotLeader is matched by a *NotLeaderError.
	ErrNotLeader = errors.New("not the leader")
	// ErrBusy is returned when a bound on what may wait has been reached:
	// nothing was proposed or sent, try again later.
	ErrBusy = errors.New("too much is waiting already")
	// ErrTimeout is returned when an answer did not come in time. The outcome
	// is unknown: a proposal may still be applied.
	ErrTimeout = errors.New("no answer in time; the outcome is unknown")
	// ErrDropped is returned for a proposal that Raft gave up before it was
	// replicated, as when the leader changes: it will not be applied.
	ErrDropped = errors.New("the proposal was dropped and will not be applied")
	// ErrShardStopped is returned for a shard that does not run on this node,
	// or stopped while a call waited. The outcome of the call is unknown.
	ErrShardStopped = errors.New("the shard is not running here")
	// ErrTooLarge is matched by a *TooLargeError.
	ErrTooLarge = errors.New("too large")
	// ErrInsecure is returned for an address that is not of this machine, when
	// there is no TLS and Insecure was not set.
	ErrInsecure = errors.New("plain text is for loopback addresses only: set TLS, or Insecure to do without")
	// ErrRefused is matched by a *RefusedError.
	ErrRefused = errors.New("the peer refused the connection")
	// ErrBadFrame is returned for bytes of a peer that are not of the protocol.
	ErrBadFrame = errors.New("malformed frame")
	// ErrRemote is matched by a *RemoteError.
	ErrRemote = errors.New("the peer answered with an error")
	// ErrRejected is returned for a change of a shard's members that was made
	// on a view of them that is not current any more, or makes no sense: read
	// the membership again.
	ErrRejected = errors.New("the change of members was rejected")
	// ErrUnknownCommand is returned by the application of a command that a
	// later version has made; a replica that meets one stops.
	ErrUnknownCommand = errors.New("unknown command: it was made by a later version")
)

// NotLeaderError is returned by what only a shard's leader does. It matches
// ErrNotLeader. Nothing was proposed.
type NotLeaderError struct {
	Shard base.ShardID
	// Leader is the leader as known here, 0 when there is none.
	Leader base.ReplicaID
}

func (e *NotLeaderError) Error() string {
	if e.Leader == 0 {
		return fmt.Sprintf("shard %d: not the leader, and no leader is known", e.Shard)
	}
	return fmt.Sprintf("shard %d: not the leader, replica %d is", e.Shard, e.Leader)
}

// Unwrap returns ErrNotLeader.
func (e *NotLeaderError) Unwrap() error { return ErrNotLeader }

// TooLargeError says what exceeds which limit. It matches ErrTooLarge.
type TooLargeError struct {
	What  string
	Size  int
	Limit int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("a %s of %d bytes is over the limit of %d", e.What, e.Size, e.Limit)
}

// Unwrap returns ErrTooLarge.
func (e *TooLargeError) Unwrap() error { return ErrTooLarge }

// RefusedError is what a peer said when it refused a connection. It matches
// ErrRefused.
type RefusedError struct {
	Addr   string
	Reason RefusalReason
	// Detail is the peer's own words.
	Detail string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s refused the connection: %s: %s", e.Addr, e.Reason, e.Detail)
}

// Unwrap returns ErrRefused.
func (e *RefusedError) Unwrap() error { return ErrRefused }

// RemoteError is the error of a peer's CallHandler. It matches ErrRemote.
type RemoteError struct {
	Addr string
	// Code is the peer's *CallError's, 0 for any other error.
	Code    uint16
	Message string
}

func (e *RemoteError) Error() string { return fmt.Sprintf("%s: %s", e.Addr, e.Message) }

// Unwrap returns ErrRemote.
func (e *RemoteError) Unwrap() error { return ErrRemote }

// Retriable tells whether the same call may succeed later without a change of
// what was asked. Of ErrTimeout and ErrShardStopped the outcome is unknown: a
// repeated append needs a producer id, or it may be stored twice.
func Retriable(err error) bool {
	for _, e := range []error{ErrNotLeader, ErrBusy, ErrTimeout, ErrDropped, ErrShardStopped} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
