package coordinator

import "fmt"

// The versions of keys: the type of a record.
const (
	keyOffsetCommitV0    = 0
	keyOffsetCommit      = 1
	keyGroupMetadata     = 2 // the classic protocol's groups
	keyConsumerGroup     = 3
	keyPartitionMetadata = 4 // Kafka stopped writing it in 4.1
	keyMember            = 5
	keyTarget            = 6
	keyTargetMember      = 7
	keyCurrentAssignment = 8
)

// record is one typed record. Handlers decide which records there are, apply
// changes the state: live right after the decision, and again at replay.
type record interface {
	// kv encodes the record; a tombstone has a nil value.
	kv() KV
	// apply changes the state. It reads no clock and cannot fail.
	apply(s *state)
}

// offsetRecord sets or (value nil) removes a committed offset. Keys 0 and 1.
type offsetRecord struct {
	group, topic string
	partition    int32
	value        *offsetValue
}

// offsetValue is a committed offset.
type offsetValue struct {
	offset      int64
	leaderEpoch int32 // -1: unknown
	metadata    string
	commitMs    int64   // when it was committed, Unix milliseconds
	topicID     TopicID // zero when unknown
}

func (r *offsetRecord) kv() KV {
	var k encoder
	k.int16(keyOffsetCommit)
	k.string(r.group)
	k.string(r.topic)
	k.int32(r.partition)
	if r.value == nil {
		return KV{Key: k}
	}
	v, e := r.value, encoder{}
	if v.topicID == (TopicID{}) {
		e.int16(3)
		e.int64(v.offset)
		e.int32(v.leaderEpoch)
		e.string(v.metadata)
		e.int64(v.commitMs)
	} else {
		e.int16(4)
		e.int64(v.offset)
		e.int32(v.leaderEpoch)
		e.compact(v.metadata)
		e.int64(v.commitMs)
		e.uvarint(1) // one tagged field
		e.uvarint(0)
		e.uvarint(16)
		e.id(v.topicID)
	}
	return KV{Key: k, Value: e}
}

func (d *decoder) offsetValue() *offsetValue {
	v := &offsetValue{leaderEpoch: -1}
	version := d.int16()
	if version < 0 || version > 4 {
		d.fail("version %d of OffsetCommitValue is not known", version)
		return v
	}
	v.offset = d.int64()
	if version >= 3 {
		v.leaderEpoch = d.int32()
	}
	if version >= 4 {
		v.metadata = d.compact()
	} else {
		v.metadata = d.string()
	}
	v.commitMs = d.int64()
	if version == 1 {
		d.int64() // expire timestamp: offsets.retention.minutes decides instead
	}
	if version >= 4 {
		d.tags(func(tag int, field *decoder) {
			if tag == 0 {
				v.topicID = field.id()
			}
		})
	}
	return v
}

// groupRecord is ConsumerGroupMetadata. Key 3.
type groupRecord struct {
	group string
	value *groupValue
}

type groupValue struct {
	epoch int32
	// hash is over the subscribed topics as they were when the epoch was set: a
	// new coordinator sees by it whether they have changed since.
	hash int64
	// emptyMs is when the last member left, Unix milliseconds; 0 while there are
	// members.
	emptyMs int64
}

// tagEmptySince is a tagged field of ours in ConsumerGroupMetadataValue. Kafka
// skips tags it does not know.
const tagEmptySince = 10_000

func (r *groupRecord) kv() KV {
	kv := KV{Key: groupKey(keyConsumerGroup, r.group)}
	if v := r.value; v != nil {
		var e encoder
		e.int16(0)
		e.int32(v.epoch)
		n := 0
		if v.hash != 0 {
			n++
		}
		if v.emptyMs != 0 {
			n++
		}
		e.uvarint(n)
		if v.hash != 0 {
			e.tag64(0, v.hash)
		}
		if v.emptyMs != 0 {
			e.tag64(tagEmptySince, v.emptyMs)
		}
		kv.Value = e
	}
	return kv
}

func (d *decoder) groupValue() *groupValue {
	d.version0("ConsumerGroupMetadataValue")
	v := &groupValue{epoch: d.int32()}
	d.tags(func(tag int, field *decoder) {
		switch tag {
		case 0:
			v.hash = field.int64()
		case tagEmptySince:
			v.emptyMs = field.int64()
		}
	})
	return v
}

// memberRecord is ConsumerGroupMemberMetadata. Key 5.
type memberRecord struct {
	group, member string
	value         *memberValue
}

// memberValue is what a member says of itself. It is never changed: a change is
// a new one.
type memberValue struct {
	instanceID, rack     string
	clientID, clientHost string
	topics               []string // ascending
	regex                string   // kept for whoever wrote it; not evaluated
	rebalanceTimeoutMs   int32
	assignor             string
}

func (r *memberRecord) kv() KV {
	kv := KV{Key: memberKey(keyMember, r.group, r.member)}
	if v := r.value; v != nil {
		var e encoder
		e.int16(0)
		e.nullable(v.instanceID)
		e.nullable(v.rack)
		e.compact(v.clientID)
		e.compact(v.clientHost)
		e.uvarint(len(v.topics) + 1)
		for _, t := range v.topics {
			e.compact(t)
		}
		e.nullable(v.regex)
		e.int32(v.rebalanceTimeoutMs)
		e.nullable(v.assignor)
		e.uvarint(0)
		kv.Value = e
	}
	return kv
}

func (d *decoder) memberValue() *memberValue {
	d.version0("ConsumerGroupMemberMetadataValue")
	v := &memberValue{instanceID: d.nullable(), rack: d.nullable(), clientID: d.compact(), clientHost: d.compact()}
	for range d.count(1) {
		v.topics = append(v.topics, d.compact())
	}
	v.regex = d.nullable()
	v.rebalanceTimeoutMs = d.int32()
	v.assignor = d.nullable()
	d.tags(nil)
	return v
}

// targetRecord is ConsumerGroupTargetAssignmentMetadata. Key 6.
type targetRecord struct {
	group string
	value *targetValue
}

type targetValue struct{ epoch int32 }

func (r *targetRecord) kv() KV {
	kv := KV{Key: groupKey(keyTarget, r.group)}
	if r.value != nil {
		var e encoder
		e.int16(0)
		e.int32(r.value.epoch)
		e.uvarint(0)
		kv.Value = e
	}
	return kv
}

func (d *decoder) targetValue() *targetValue {
	d.version0("ConsumerGroupTargetAssignmentMetadataValue")
	v := &targetValue{epoch: d.int32()}
	d.tags(nil)
	return v
}

// targetMemberRecord is ConsumerGroupTargetAssignmentMember. Key 7.
type targetMemberRecord struct {
	group, member string
	value         partitionSet // nil: a tombstone
}

func (r *targetMemberRecord) kv() KV {
	kv := KV{Key: memberKey(keyTargetMember, r.group, r.member)}
	if r.value != nil {
		var e encoder
		e.int16(0)
		e.partitions(r.value)
		e.uvarint(0)
		kv.Value = e
	}
	return kv
}

func (d *decoder) targetMemberValue() partitionSet {
	d.version0("ConsumerGroupTargetAssignmentMemberValue")
	v := d.partitions()
	d.tags(nil)
	return v
}

// currentRecord is ConsumerGroupCurrentMemberAssignment. Key 8.
type currentRecord struct {
	group, member string
	value         *currentValue
}

// currentValue is where a member is on its way to its target. It is never
// changed: a step is a new one.
type currentValue struct {
	// epoch is the member epoch expected in heartbeats, previous the one before: a
	// member that did not get our answer comes with it.
	epoch, previous int32
	state           MemberState
	// assigned is what the member may read; revoking is what it still has and must
	// let go of. They are disjoint.
	assigned, revoking partitionSet
}

func (r *currentRecord) kv() KV {
	kv := KV{Key: memberKey(keyCurrentAssignment, r.group, r.member)}
	if v := r.value; v != nil {
		var e encoder
		e.int16(0)
		e.int32(v.epoch)
		e.int32(v.previous)
		e.int8(int8(v.state))
		e.partitions(v.assigned)
		e.partitions(v.revoking)
		e.uvarint(0)
		kv.Value = e
	}
	return kv
}

func (d *decoder) currentValue() *currentValue {
	d.version0("ConsumerGroupCurrentMemberAssignmentValue")
	v := &currentValue{epoch: d.int32(), previous: d.int32(), state: MemberState(d.int8())}
	v.assigned = d.partitions()
	v.revoking = d.partitions()
	d.tags(nil)
	if v.state < MemberStable || v.state > MemberUnreleased {
		d.fail("member state %d is not known", v.state)
	}
	return v
}

// version0 reads a value's version, which has to be 0.
func (d *decoder) version0(name string) {
	if v := d.int16(); d.err == nil && v != 0 {
		d.fail("version %d of %s is not known", v, name)
	}
}

func (e *encoder) partitions(s partitionSet) {
	e.uvarint(len(s) + 1)
	for _, id := range s.ids() {
		e.id(id)
		e.uvarint(len(s[id]) + 1)
		for _, p := range s[id] {
			e.int32(p)
		}
		e.uvarint(0)
	}
}

func (d *decoder) partitions() partitionSet {
	s := partitionSet{}
	for range d.count(18) {
		id := d.id()
		n := d.count(4)
		list := make([]int32, 0, n)
		for range n {
			p := d.int32()
			if p < 0 {
				d.fail("partition %d", p)
			}
			list = append(list, p)
		}
		d.tags(nil)
		if d.err != nil {
			return s
		}
		s.add(id, list...)
	}
	return s
}

func groupKey(version int16, group string) []byte {
	var e encoder
	e.int16(version)
	e.string(group)
	return e
}

func memberKey(version int16, group, member string) []byte {
	e := encoder(groupKey(version, group))
	e.string(member)
	return e
}

// decodeRecord decodes a record of a group partition. A key version that is not
// known, or not used, gives nil and no error; what cannot be decoded gives a
// *CorruptError. Nothing of key and value is kept.
func decodeRecord(key, value []byte) (record, error) {
	corrupt := func(what string, err error) error {
		return &CorruptError{Key: append([]byte(nil), clip(key, 256)...), What: fmt.Sprintf("%s: %v", what, err)}
	}
	k := decoder{in: key}
	version := k.int16()
	if k.err != nil {
		return nil, corrupt("key", k.err)
	}
	if version < 0 || version == keyPartitionMetadata || version > keyCurrentAssignment {
		return nil, nil
	}
	group := k.string()
	v := decoder{in: value}
	var r record
	switch version {
	case keyOffsetCommitV0, keyOffsetCommit:
		rec := &offsetRecord{group: group, topic: k.string(), partition: k.int32()}
		if value != nil {
			rec.value = v.offsetValue()
		}
		r = rec
	case keyGroupMetadata:
		rec := &classicRecord{group: group}
		if value != nil {
			rec.value = v.classicValue()
		}
		r = rec
	case keyConsumerGroup:
		rec := &groupRecord{group: group}
		if value != nil {
			rec.value = v.groupValue()
		}
		r = rec
	case keyMember:
		rec := &memberRecord{group: group, member: k.string()}
		if value != nil {
			rec.value = v.memberValue()
		}
		r = rec
	case keyTarget:
		rec := &targetRecord{group: group}
		if value != nil {
			rec.value = v.targetValue()
		}
		r = rec
	case keyTargetMember:
		rec := &targetMemberRecord{group: group, member: k.string()}
		if value != nil {
			rec.value = v.targetMemberValue()
		}
		r = rec
	case keyCurrentAssignment:
		rec := &currentRecord{group: group, member: k.string()}
		if value != nil {
			rec.value = v.currentValue()
		}
		r = rec
	}
	if err := k.end(); err != nil {
		return nil, corrupt("key", err)
	}
	if err := v.end(); err != nil {
		return nil, corrupt("value", err)
	}
	return r, nil
}
