package coordinator

import (
	"errors"
	"fmt"
)

// What a call can fail with, to branch on with errors.Is. The name of Kafka's
// error code is the text's first word, so that a listener finds its number. The
// struct errors of this package carry the facts and unwrap to one of these.
var (
	// ErrClosed says that the Coordinator was closed.
	ErrClosed = errors.New("coordinator is closed")
	// ErrNotCoordinator says that this node does not coordinate the group, or no
	// longer: find the coordinator and ask there. A log provider returns it
	// (wrapped) for a partition that this node does not lead.
	ErrNotCoordinator = errors.New("NOT_COORDINATOR: this node does not coordinate the group")
	// ErrNotAvailable says that the group's partition could not be read or
	// written. Whether a write took effect is unknown; the coordinator reads its
	// partition anew before it answers again. Retry.
	ErrNotAvailable = errors.New("COORDINATOR_NOT_AVAILABLE: the group's partition cannot be read or written")
	// ErrUnknownMember says that the group has no such member: it left, or its
	// session ran out. Give up what is owned and join with epoch 0.
	ErrUnknownMember = errors.New("UNKNOWN_MEMBER_ID: the group has no such member")
	// ErrFencedMemberEpoch says that a heartbeat came with an epoch that is not
	// the member's. Give up what is owned and join with epoch 0.
	ErrFencedMemberEpoch = errors.New("FENCED_MEMBER_EPOCH: the member has another epoch")
	// ErrStaleMemberEpoch says that a commit or fetch of offsets came with an
	// epoch that is not the member's. Nothing was committed. Take the epoch of the
	// last heartbeat and, if the partition is still owned, retry.
	ErrStaleMemberEpoch = errors.New("STALE_MEMBER_EPOCH: the member has another epoch")
	// ErrFencedInstance says that another member has taken over the
	// group.instance.id. Stop: two processes run under one instance id.
	ErrFencedInstance = errors.New("FENCED_INSTANCE_ID: another member has taken over the instance id")
	// ErrUnreleasedInstance says that another member still holds the
	// group.instance.id: it has neither left nor timed out.
	ErrUnreleasedInstance = errors.New("UNRELEASED_INSTANCE_ID: another member holds the instance id")
	// ErrGroupNotFound says that there is no such group.
	ErrGroupNotFound = errors.New("GROUP_ID_NOT_FOUND: no such group")
	// ErrNonEmptyGroup says that the group has members, and what was asked for
	// needs one without.
	ErrNonEmptyGroup = errors.New("NON_EMPTY_GROUP: the group has members")
	// ErrGroupMaxSize says that the group, or the number of groups, is at its
	// limit.
	ErrGroupMaxSize = errors.New("GROUP_MAX_SIZE_REACHED: no room")
	// ErrGroupSubscribedToTopic says that members of the group subscribe to the
	// topic, so its offsets cannot be deleted.
	ErrGroupSubscribedToTopic = errors.New("GROUP_SUBSCRIBED_TO_TOPIC: members subscribe to the topic")
	// ErrUnsupportedAssignor says that there is no server-side assignor of that
	// name.
	ErrUnsupportedAssignor = errors.New("UNSUPPORTED_ASSIGNOR: no server-side assignor of that name")
	// ErrIllegalGeneration says that a classic member came with a generation that is
	// not the group's. It joins again.
	ErrIllegalGeneration = errors.New("ILLEGAL_GENERATION: the group has another generation")
	// ErrRebalanceInProgress says that the classic group is rebalancing: the member
	// commits what it has, and joins again.
	ErrRebalanceInProgress = errors.New("REBALANCE_IN_PROGRESS: the group is rebalancing, join again")
	// ErrMemberIDRequired gives a classic member that joins its id
	// (MemberError.Member): it joins again with it (KIP-394).
	ErrMemberIDRequired = errors.New("MEMBER_ID_REQUIRED: join again with the member id of this answer")
	// ErrInconsistentProtocol says that the member and the group have no protocol in
	// common: another protocol type, no assignor that all members support, or KIP-848
	// against the classic protocol.
	ErrInconsistentProtocol = errors.New("INCONSISTENT_GROUP_PROTOCOL: no protocol in common with the group")
	// ErrInvalidSessionTimeout says that a classic member's session timeout is outside
	// group.min.session.timeout.ms and group.max.session.timeout.ms.
	ErrInvalidSessionTimeout = errors.New("INVALID_SESSION_TIMEOUT: the session timeout is out of bounds")
	// ErrInvalidGroupID says that a classic request has no group id, or one that is too
	// long.
	ErrInvalidGroupID = errors.New("INVALID_GROUP_ID: the group id has to be 1 to 32767 bytes")
	// ErrInvalidRequest says that a field of the request breaks a rule.
	ErrInvalidRequest = errors.New("INVALID_REQUEST: a field breaks a rule")
	// ErrUnknownTopicOrPartition says that the topic does not exist or has no such
	// partition.
	ErrUnknownTopicOrPartition = errors.New("UNKNOWN_TOPIC_OR_PARTITION: no such topic or partition")
	// ErrOffsetMetadataTooLarge says that the string that goes with a committed
	// offset is longer than offset.metadata.max.bytes.
	ErrOffsetMetadataTooLarge = errors.New("OFFSET_METADATA_TOO_LARGE: the metadata string is too long")
	// ErrCorrupt says that a record of the group's partition cannot be decoded.
	ErrCorrupt = errors.New("corrupt group record")
)

// MemberError is a refusal that concerns one member. It unwraps to
// ErrUnknownMember, ErrFencedMemberEpoch, ErrStaleMemberEpoch, ErrFencedInstance or
// ErrUnreleasedInstance, and in the classic protocol also to ErrIllegalGeneration,
// ErrRebalanceInProgress or ErrMemberIDRequired.
type MemberError struct {
	Group, Member string
	// InstanceID is the group.instance.id that the request named, if any.
	InstanceID string
	// Epoch is the member epoch of the request, or its generation.
	Epoch int32
	// Current is the member epoch or generation that the coordinator expects; -1
	// when it knows no such member.
	Current int32
	// Err is the sentinel.
	Err error
}

func (e *MemberError) Error() string {
	instance := ""
	if e.InstanceID != "" {
		instance = fmt.Sprintf(" (instance %q)", e.InstanceID)
	}
	return fmt.Sprintf("group %q, member %q%s, epoch %d, expected %d: %v",
		e.Group, e.Member, instance, e.Epoch, e.Current, e.Err)
}

func (e *MemberError) Unwrap() error { return e.Err }

// GroupError is a refusal that concerns a group. It unwraps to ErrGroupNotFound,
// ErrNonEmptyGroup, ErrGroupMaxSize, ErrUnsupportedAssignor, ErrInconsistentProtocol,
// ErrInvalidSessionTimeout or ErrInvalidGroupID.
type GroupError struct {
	Group string
	// State is the group's.
	State State
	// Detail says more: the limit, the name that is not known.
	Detail string
	// Err is the sentinel.
	Err error
}

func (e *GroupError) Error() string {
	detail := ""
	if e.Detail != "" {
		detail = ": " + e.Detail
	}
	return fmt.Sprintf("group %q (%s): %v%s", e.Group, e.State, e.Err, detail)
}

func (e *GroupError) Unwrap() error { return e.Err }

// RequestError names the field of a request that breaks a rule. It unwraps to
// ErrInvalidRequest.
type RequestError struct {
	// Field is the field's name in the request's struct, Rule what it has to be.
	Field, Rule string
}

func (e *RequestError) Error() string {
	return fmt.Sprintf("%v: %s must be %s", ErrInvalidRequest, e.Field, e.Rule)
}

func (e *RequestError) Unwrap() error { return ErrInvalidRequest }

// OffsetError is a refusal that concerns the offset of one partition. It unwraps
// to ErrUnknownTopicOrPartition, ErrOffsetMetadataTooLarge, ErrInvalidRequest or
// ErrGroupSubscribedToTopic.
type OffsetError struct {
	Group, Topic string
	Partition    int32
	// Detail says more: the limit, the partition count.
	Detail string
	// Err is the sentinel.
	Err error
}

func (e *OffsetError) Error() string {
	return fmt.Sprintf("group %q, topic %q, partition %d: %v: %s", e.Group, e.Topic, e.Partition, e.Err, e.Detail)
}

func (e *OffsetError) Unwrap() error { return e.Err }

// CorruptError names a record of a group partition that cannot be decoded. It
// unwraps to ErrCorrupt.
type CorruptError struct {
	// Key is the record's key.
	Key []byte
	// What says which part is wrong, and how.
	What string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v: key %x: %s", ErrCorrupt, clip(e.Key, 64), e.What)
}

func (e *CorruptError) Unwrap() error { return ErrCorrupt }

func clip(b []byte, n int) []byte { return b[:min(len(b), n)] }
