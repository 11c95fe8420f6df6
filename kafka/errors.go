package kafka

import (
	"context"
	"errors"
	"fmt"
)

// Errors of a Backend that have a code of their own.
var (
	// ErrNotLeader is a partition that another node leads; see [NotLeaderError].
	ErrNotLeader = errors.New("NOT_LEADER_OR_FOLLOWER: another node leads the partition")
	// ErrLeaderNotAvailable is a partition without a leader, as after its node died.
	ErrLeaderNotAvailable = errors.New("LEADER_NOT_AVAILABLE: the partition has no leader at the moment")
	// ErrFencedLeaderEpoch is a leader epoch of the past, ErrUnknownLeaderEpoch one that
	// this node has not heard of yet (KIP-320).
	ErrFencedLeaderEpoch  = errors.New("FENCED_LEADER_EPOCH: the partition has had another leader since that epoch")
	ErrUnknownLeaderEpoch = errors.New("UNKNOWN_LEADER_EPOCH: this node does not know the epoch yet")
	// ErrNotEnoughReplicas is fewer replicas in reach than min.insync.replicas or a
	// majority wants; nothing was stored.
	ErrNotEnoughReplicas = errors.New("NOT_ENOUGH_REPLICAS: too few replicas are in sync")
	// ErrNotCoordinator is a group that another node coordinates.
	ErrNotCoordinator = errors.New("NOT_COORDINATOR: another node coordinates the group")
	// ErrCoordinatorLoading is a group whose state this node still reads.
	ErrCoordinatorLoading = errors.New("COORDINATOR_LOAD_IN_PROGRESS: the coordinator is reading the group's state")
	// ErrCoordinatorNotAvailable is a group that has no coordinator at the moment.
	ErrCoordinatorNotAvailable = errors.New("COORDINATOR_NOT_AVAILABLE: the group has no coordinator at the moment")
)

// Error is an error with Kafka's code for it, for what has no error of its own.
type Error struct {
	Code Code
	Text string // what the client is told
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

// refuse returns an *Error.
func refuse(code Code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// NotLeaderError says who leads a partition, as far as this node knows. It is an
// ErrNotLeader.
type NotLeaderError struct {
	// Leader is a node, or NoNode; Epoch that in which it leads, or -1.
	Leader, Epoch int32
}

// Error tells the leader.
func (e *NotLeaderError) Error() string {
	if e.Leader == NoNode {
		return "NOT_LEADER_OR_FOLLOWER: the partition has no leader at the moment"
	}
	return fmt.Sprintf("NOT_LEADER_OR_FOLLOWER: node %d leads the partition, in epoch %d", e.Leader, e.Epoch)
}

// Is makes it an ErrNotLeader.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNotLeader }

// codes tells the code of each error to branch on.
var codes = []struct {
	err  error
	code Code
}{
	{ErrNotLeader, NotLeaderOrFollower},
	{ErrLeaderNotAvailable, LeaderNotAvailable},
	{ErrFencedLeaderEpoch, FencedLeaderEpoch},
	{ErrUnknownLeaderEpoch, UnknownLeaderEpoch},
	{ErrNotEnoughReplicas, NotEnoughReplicas},
	{ErrNotCoordinator, NotCoordinator},
	{ErrCoordinatorLoading, CoordinatorLoadInProgress},
	{ErrCoordinatorNotAvailable, CoordinatorNotAvailable},
	{context.DeadlineExceeded, RequestTimedOut},
	{context.Canceled, RequestTimedOut},
}

// CodeOf returns the code of an error that this package knows; nil has None.
func CodeOf(err error) (code Code, known bool) {
	if err == nil {
		return None, true
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code, true
	}
	for i := range codes {
		if errors.Is(err, codes[i].err) {
			return codes[i].code, true
		}
	}
	return UnknownServerError, false
}
