package raftmeta

import "fmt"

// A Command is a change of the metadata that was decided on, ready to be
// proposed. Its apply checks again what may have changed since; it reads no
// clock, no randomness and no map in its order.
type Command interface {
	// header returns the command's kind, the version of its form, and the
	// metadata version since which the cluster may use it.
	header() (Kind, byte, MetadataVersion)
	encode(e *encoder)
	// apply changes img, which nobody else has yet and whose index is the
	// command's; where it refuses, img is thrown away. It fills in what of the
	// result its command has to say.
	apply(img *Image, result *Result) *Error
}

// Kind is what a command does. The numbers are stored.
type Kind uint8

// The kinds of commands.
const (
	KindBootstrap           Kind = 1
	KindRegisterBroker      Kind = 2
	KindUnfenceBroker       Kind = 3
	KindFenceBroker         Kind = 4
	KindDrainBroker         Kind = 5
	KindRemoveBroker        Kind = 6
	KindCreateTopic         Kind = 16
	KindDeleteTopic         Kind = 17
	KindAddPartitions       Kind = 18
	KindSetTopicConfigs     Kind = 19
	KindMoveShard           Kind = 32
	KindAdvanceMove         Kind = 33
	KindCompleteMove        Kind = 34
	KindSetPreferredLeaders Kind = 35
	KindAllocateProducerIDs Kind = 48
	KindSetClusterSetting   Kind = 49
	// KindUser and KindACL are kept for users and ACLs, and refused until then.
	KindUser Kind = 64
	KindACL  Kind = 65
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case KindBootstrap:
		return "Bootstrap"
	case KindRegisterBroker:
		return "RegisterBroker"
	case KindUnfenceBroker:
		return "UnfenceBroker"
	case KindFenceBroker:
		return "FenceBroker"
	case KindDrainBroker:
		return "DrainBroker"
	case KindRemoveBroker:
		return "RemoveBroker"
	case KindCreateTopic:
		return "CreateTopic"
	case KindDeleteTopic:
		return "DeleteTopic"
	case KindAddPartitions:
		return "AddPartitions"
	case KindSetTopicConfigs:
		return "SetTopicConfigs"
	case KindMoveShard:
		return "MoveShard"
	case KindAdvanceMove:
		return "AdvanceMove"
	case KindCompleteMove:
		return "CompleteMove"
	case KindSetPreferredLeaders:
		return "SetPreferredLeaders"
	case KindAllocateProducerIDs:
		return "AllocateProducerIDs"
	case KindSetClusterSetting:
		return "SetClusterSetting"
	case KindUser:
		return "User"
	case KindACL:
		return "ACL"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// EncodeCommand returns the command as bytes to propose; the package
// documentation has the layout.
func EncodeCommand(c Command) []byte {
	kind, version, _ := c.header()
	var e encoder
	e.byte(byte(kind))
	e.byte(version)
	c.encode(&e)
	return e
}

// DecodeCommand decodes what EncodeCommand returned. The error is an *Error:
// Malformed, Reserved, or Unsupported for a kind or version that this software
// does not know. What it allocates is bounded by the length of b, of which it
// keeps nothing.
func DecodeCommand(b []byte) (Command, error) {
	c, refusal := decodeCommand(b)
	if refusal != nil {
		return nil, refusal
	}
	return c, nil
}

func decodeCommand(b []byte) (Command, *Error) {
	d := &decoder{b: b}
	kind, version := Kind(d.byte()), d.byte()
	if d.err != nil {
		return nil, refuse(Malformed, "a command of %s", plural(len(b), "byte"))
	}
	if kind == KindUser || kind == KindACL {
		return nil, refuse(Reserved, "kind %v of commands is reserved", kind)
	}
	if version != 1 {
		return nil, refuse(Unsupported, "version %d of command %v is not known", version, kind)
	}
	var c Command
	switch kind {
	case KindBootstrap:
		c = decodeBootstrap(d)
	case KindRegisterBroker:
		c = decodeRegisterBroker(d)
	case KindUnfenceBroker:
		c = &UnfenceBroker{decodeBrokerEpoch(d)}
	case KindFenceBroker:
		c = &FenceBroker{decodeBrokerEpoch(d)}
	case KindDrainBroker:
		c = &DrainBroker{Node: takeNumber[NodeID](d), Cancel: d.bool()}
	case KindRemoveBroker:
		c = &RemoveBroker{Node: takeNumber[NodeID](d)}
	case KindCreateTopic:
		c = decodeCreateTopic(d)
	case KindDeleteTopic:
		c = &DeleteTopic{ID: d.id()}
	case KindAddPartitions:
		c = decodeAddPartitions(d)
	case KindSetTopicConfigs:
		c = decodeSetTopicConfigs(d)
	case KindMoveShard:
		c = decodeMoveShard(d)
	case KindAdvanceMove:
		c = decodeAdvanceMove(d)
	case KindCompleteMove:
		c = &CompleteMove{Shard: takeNumber[ShardID](d), Version: d.uvarint()}
	case KindSetPreferredLeaders:
		c = decodeSetPreferredLeaders(d)
	case KindAllocateProducerIDs:
		c = &AllocateProducerIDs{decodeBrokerEpoch(d)}
	case KindSetClusterSetting:
		c = &SetClusterSetting{Setting: Setting(d.byte()), Value: d.uvarint()}
	default:
		return nil, refuse(Unsupported, "kind %d of commands is not known", uint8(kind))
	}
	if err := d.finish(); err != nil {
		return nil, refuse(Malformed, "command %v: %v", kind, err)
	}
	return c, nil
}
