package kafka

// Code is an error code of Kafka's protocol. Only those that are used here have a name.
type Code int16

// The codes, by Kafka's names.
const (
	UnknownServerError           Code = -1
	None                         Code = 0
	OffsetOutOfRange             Code = 1
	CorruptMessage               Code = 2
	UnknownTopicOrPartition      Code = 3
	LeaderNotAvailable           Code = 5
	NotLeaderOrFollower          Code = 6
	RequestTimedOut              Code = 7
	MessageTooLarge              Code = 10
	OffsetMetadataTooLarge       Code = 12
	CoordinatorLoadInProgress    Code = 14
	CoordinatorNotAvailable      Code = 15
	NotCoordinator               Code = 16
	InvalidTopic                 Code = 17
	NotEnoughReplicas            Code = 19
	InvalidRequiredAcks          Code = 21
	IllegalGeneration            Code = 22
	InconsistentGroupProtocol    Code = 23
	InvalidGroupID               Code = 24
	UnknownMemberID              Code = 25
	InvalidSessionTimeout        Code = 26
	RebalanceInProgress          Code = 27
	InvalidTimestamp             Code = 32
	UnsupportedVersion           Code = 35
	TopicAlreadyExists           Code = 36
	InvalidPartitions            Code = 37
	InvalidReplicationFactor     Code = 38
	InvalidReplicaAssignment     Code = 39
	InvalidConfig                Code = 40
	InvalidRequest               Code = 42
	PolicyViolation              Code = 44
	UnsupportedForMessageFormat  Code = 43
	OutOfOrderSequenceNumber     Code = 45
	InvalidProducerEpoch         Code = 47
	TransactionalIDAuthorization Code = 53
	StorageError                 Code = 56
	NonEmptyGroup                Code = 68
	GroupIDNotFound              Code = 69
	FetchSessionIDNotFound       Code = 70
	InvalidFetchSessionEpoch     Code = 71
	FencedLeaderEpoch            Code = 74
	UnknownLeaderEpoch           Code = 75
	UnsupportedCompressionType   Code = 76
	MemberIDRequired             Code = 79
	GroupMaxSizeReached          Code = 81
	FencedInstanceID             Code = 82
	ElectionNotNeeded            Code = 84
	NoReassignmentInProgress     Code = 85
	GroupSubscribedToTopic       Code = 86
	InvalidRecord                Code = 87
	UnknownTopicID               Code = 100
	BrokerIDNotRegistered        Code = 102
	InconsistentTopicID          Code = 103
	FetchSessionTopicIDError     Code = 106
	FencedMemberEpoch            Code = 110
	UnreleasedInstanceID         Code = 111
	UnsupportedAssignor          Code = 112
	StaleMemberEpoch             Code = 113
	UnsupportedEndpointType      Code = 115
)
