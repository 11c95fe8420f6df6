package leat

import (
	"errors"
	"fmt"

	"github.com/leatlog/leat/internal/coordinator"
)

// Errors of groups, to branch on with errors.Is. The text of some begins with the
// name of Kafka's error code.
var (
	// ErrMemberLost is what every *MemberLostError is.
	ErrMemberLost = errors.New("leat: member has lost its partitions")
	// ErrMaxPollInterval is in a *MemberLostError when the program did not poll for
	// longer than WithMaxPollInterval allows.
	ErrMaxPollInterval = errors.New("leat: no poll within max.poll.interval.ms: poll more often, with fewer records at a time, or raise WithMaxPollInterval")
	// ErrUnknownMember is in a *MemberLostError when the group does not know the
	// member any more: its session ran out, or it took longer to give up partitions
	// than its rebalance timeout.
	ErrUnknownMember = coordinator.ErrUnknownMember
	// ErrFencedMember is in a *MemberLostError when the group has gone on without
	// the member (FENCED_MEMBER_EPOCH).
	ErrFencedMember = coordinator.ErrFencedMemberEpoch
	// ErrFencedInstance is in a *MemberLostError when another member has joined
	// under the same WithInstanceID.
	ErrFencedInstance = coordinator.ErrFencedInstance
	// ErrUnreleasedInstance is returned to a member that joins under a
	// WithInstanceID that another one holds.
	ErrUnreleasedInstance = coordinator.ErrUnreleasedInstance
	// ErrUnknownGroup is returned for a group that does not exist.
	ErrUnknownGroup = coordinator.ErrGroupNotFound
	// ErrGroupNotEmpty is returned for what needs a group without members.
	ErrGroupNotEmpty = coordinator.ErrNonEmptyGroup
	// ErrGroupFull is returned to a member that joins when the group is at
	// GroupsConfig.MaxMembers.
	ErrGroupFull = coordinator.ErrGroupMaxSize
	// ErrGroupSubscribed is returned when offsets of a topic are to be deleted that
	// members of the group subscribe to.
	ErrGroupSubscribed = coordinator.ErrGroupSubscribedToTopic
	// ErrOffsetMetadataTooLarge is returned when the string that goes with an offset
	// is longer than 4096 bytes (offset.metadata.max.bytes).
	ErrOffsetMetadataTooLarge = coordinator.ErrOffsetMetadataTooLarge
	// ErrGroupNotAvailable is returned when the group's partition of
	// __consumer_offsets could not be read or written; it wraps the cause, such as
	// ErrStorageFailed. Whether a commit took effect is not known then.
	ErrGroupNotAvailable = coordinator.ErrNotAvailable
)

// GroupError is a refusal that concerns a group: ErrUnknownGroup,
// ErrGroupNotEmpty or ErrGroupFull.
//
//	type GroupError struct {
//		Group  string
//		State  GroupState
//		Detail string // the limit, say
//		Err    error  // which of those it is
//	}
type GroupError = coordinator.GroupError

// OffsetError is a refusal that concerns the committed offset of one partition:
// ErrOffsetMetadataTooLarge, ErrGroupSubscribed, or one that names a partition
// that does not exist.
//
//	type OffsetError struct {
//		Group, Topic string
//		Partition    int32
//		Detail       string // the limit, say
//		Err          error  // which of those it is
//	}
type OffsetError = coordinator.OffsetError

// MemberLostError says that a member lost its partitions without being asked, and
// why. Others may read them; what was not committed will be read again. The next
// Poll joins the group anew. It is ErrMemberLost.
type MemberLostError struct {
	Group, Member string
	// Partitions are those that were lost.
	Partitions []TopicPartition
	// Err is why: ErrMaxPollInterval, ErrUnknownMember, ErrFencedMember or
	// ErrFencedInstance, with details.
	Err error
}

// Error implements error.
func (e *MemberLostError) Error() string {
	return fmt.Sprintf("%v: group %s, member %s, %d partitions: %v",
		ErrMemberLost, quoteShort(e.Group), quoteShort(e.Member), len(e.Partitions), e.Err)
}

// Unwrap returns ErrMemberLost and the cause.
func (e *MemberLostError) Unwrap() []error { return []error{ErrMemberLost, e.Err} }
