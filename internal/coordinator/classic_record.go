package coordinator

// classicRecord is GroupMetadata: a group of the classic protocol as it was when it
// became stable or empty. Key 2.
type classicRecord struct {
	group string
	value *classicValue
}

// classicValue is never changed: a change is a new one.
type classicValue struct {
	protocolType string
	generation   int32
	protocol     string // empty: none is selected, there are no members
	leader       string
	// stateMs is when the group got into this state, Unix milliseconds; -1 when
	// unknown.
	stateMs int64
	members []classicMemberValue
}

type classicMemberValue struct {
	id, instanceID       string
	clientID, clientHost string
	rebalanceTimeoutMs   int32
	sessionTimeoutMs     int32
	// subscription is the member's metadata for the selected protocol.
	subscription, assignment []byte
}

func (r *classicRecord) kv() KV {
	kv := KV{Key: groupKey(keyGroupMetadata, r.group)}
	if v := r.value; v != nil {
		var e encoder
		e.int16(3)
		e.string(v.protocolType)
		e.int32(v.generation)
		e.nullableString(v.protocol)
		e.nullableString(v.leader)
		e.int64(v.stateMs)
		e.int32(int32(len(v.members)))
		for i := range v.members {
			m := &v.members[i]
			e.string(m.id)
			e.nullableString(m.instanceID)
			e.string(m.clientID)
			e.string(m.clientHost)
			e.int32(m.rebalanceTimeoutMs)
			e.int32(m.sessionTimeoutMs)
			e.bytes(m.subscription)
			e.bytes(m.assignment)
		}
		kv.Value = e
	}
	return kv
}

func (d *decoder) classicValue() *classicValue {
	v := &classicValue{stateMs: -1}
	version := d.int16()
	if version < 0 || version > 4 {
		d.fail("version %d of GroupMetadataValue is not known", version)
		return v
	}
	// Version 4 is the flexible one: compact, and with tagged fields.
	str, null, bytes, end := d.string, d.nullableString, d.bytes, func() {}
	count := d.count32
	if version >= 4 {
		str, null, bytes, end = d.compact, d.nullable, d.compactBytes, func() { d.tags(nil) }
		count = d.count
	}
	v.protocolType = str()
	v.generation = d.int32()
	v.protocol = null()
	v.leader = null()
	if version >= 2 {
		v.stateMs = d.int64()
	}
	for range count(minClassicMemberBytes) {
		m := classicMemberValue{id: str()}
		if version >= 3 {
			m.instanceID = null()
		}
		m.clientID, m.clientHost = str(), str()
		if version >= 1 {
			m.rebalanceTimeoutMs = d.int32()
		}
		m.sessionTimeoutMs = d.int32()
		if version == 0 {
			m.rebalanceTimeoutMs = m.sessionTimeoutMs
		}
		m.subscription, m.assignment = bytes(), bytes()
		end()
		if d.err != nil {
			return v
		}
		v.members = append(v.members, m)
	}
	end()
	return v
}

// minClassicMemberBytes is what a member takes at least, in the shortest version:
// three empty strings, a null, two integers, two empty arrays and the tags.
const minClassicMemberBytes = 3 + 1 + 8 + 2 + 1

func (r *classicRecord) apply(s *state) {
	if r.value != nil {
		s.group(r.group).classicGroup().value = r.value
	} else if g := s.groups[r.group]; g != nil && g.classic != nil {
		g.classic.value = nil
		s.dropClassic(g)
	}
}
