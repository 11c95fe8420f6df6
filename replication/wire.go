package replication

import (
	"encoding/binary"
	"fmt"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

const (
	// maxMessageEntries bounds the entries of one messages frame: an entry
	// takes ten times the memory of its smallest encoding.
	maxMessageEntries = 1 << 16
	// maxFrameMessages bounds the messages of one frame.
	maxFrameMessages = 1 << 14

	minMessageBytes = 12 // of 11 numbers and the count of entries
	minEntryBytes   = 8  // of 7 numbers and the length of the command

	flagReject = 1
)

// A messages frame's body:
//
//	| number of messages uvarint | messages ... |
//
// A message, all numbers uvarints:
//
//	| type | to | from | shard | term | log term | log index | commit | flags |
//	| hint | hint high | number of entries | entries ... |
//
// An entry as appendEntryHead has it, and the length of the command and the
// command. The sender's address and the version of Raft's own types go into the
// handshake.

// appendMessageHead appends a message up to its entries, with their number.
func appendMessageHead(b []byte, m *pb.Message, entries int) []byte {
	var flags uint64
	if m.Reject {
		flags |= flagReject
	}
	for _, v := range [...]uint64{
		uint64(m.Type), m.To, m.From, m.ShardID, m.Term, m.LogTerm, m.LogIndex, m.Commit,
		flags, m.Hint, m.HintHigh, uint64(entries),
	} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// appendEntryHead appends all of an entry but its command, all uvarints:
//
//	| term | index | type | key | client id | series id | responded to |
func appendEntryHead(b []byte, e *pb.Entry) []byte {
	for _, v := range [...]uint64{
		e.Term, e.Index, uint64(e.Type), e.Key, e.ClientID, e.SeriesID, e.RespondedTo,
	} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func (d *decoder) entryHead(e *pb.Entry) {
	e.Term = d.uvarint()
	e.Index = d.uvarint()
	t := d.uvarint()
	if t > uint64(pb.MetadataEntry) {
		d.fail("an unknown type of entry")
	}
	e.Type = pb.EntryType(t)
	e.Key = d.uvarint()
	e.ClientID = d.uvarint()
	e.SeriesID = d.uvarint()
	e.RespondedTo = d.uvarint()
}

// travels tells whether messages of a type go between nodes. The others are
// made and taken within a node (Raft snapshots go as chunks); dragonboat panics
// on some of them.
func travels(t pb.MessageType) bool {
	switch t {
	case pb.NoOP, pb.Ping, pb.Pong, pb.Propose,
		pb.Replicate, pb.ReplicateResp, pb.RequestVote, pb.RequestVoteResp,
		pb.Heartbeat, pb.HeartbeatResp, pb.ReadIndex, pb.ReadIndexResp,
		pb.Quiesce, pb.SnapshotReceived, pb.LeaderTransfer, pb.TimeoutNow, pb.RateLimit,
		pb.RequestPreVote, pb.RequestPreVoteResp:
		return true
	}
	return false
}

// decodeMessages decodes the body of a messages frame. The commands of the
// entries alias it.
func decodeMessages(body []byte) ([]pb.Message, error) {
	d := decoder{buf: body}
	messages := make([]pb.Message, 0, d.count(minMessageBytes, maxFrameMessages))
	entriesLeft := maxMessageEntries
	for range cap(messages) {
		var m pb.Message
		t := d.uvarint()
		if t > uint64(pb.LogQuery) || !travels(pb.MessageType(t)) {
			d.fail(fmt.Sprintf("a message of type %d, which does not travel", t))
		}
		m.Type = pb.MessageType(t)
		m.To = d.uvarint()
		m.From = d.uvarint()
		m.ShardID = d.uvarint()
		m.Term = d.uvarint()
		m.LogTerm = d.uvarint()
		m.LogIndex = d.uvarint()
		m.Commit = d.uvarint()
		m.Reject = d.uvarint()&flagReject != 0
		m.Hint = d.uvarint()
		m.HintHigh = d.uvarint()
		if m.To == 0 {
			d.fail("a message to nobody")
		}
		if n := d.count(minEntryBytes, entriesLeft); n > 0 {
			entriesLeft -= n
			m.Entries = make([]pb.Entry, n)
			for i := range m.Entries {
				d.entryHead(&m.Entries[i])
				if cmd := d.bytes(); len(cmd) > 0 {
					m.Entries[i].Cmd = cmd
				}
				if i > 0 && m.Type == pb.Replicate && m.Entries[i].Index != m.Entries[i-1].Index+1 {
					d.fail("entries are not in order")
				}
			}
		}
		if d.err != nil {
			return nil, d.err
		}
		messages = append(messages, m)
	}
	if err := d.finish(); err != nil {
		return nil, err
	}
	return messages, nil
}

// messageFrames cuts messages into the bodies of frames of at most limit bytes.
// A body is a list of parts; commands of some size are parts themselves and not
// copied. It is for one goroutine.
type messageFrames struct {
	limit int

	head  []byte   // the memory of all parts that are not commands
	cuts  []cut    // where commands go between pieces of head
	parts [][]byte // of the frame last returned
	size  int      // of the frame so far
	count int      // messages in it
	items int      // entries in it
}

// cut is a command that follows the first at bytes of head.
type cut struct {
	at  int
	cmd []byte
}

const (
	// inlineCommandBytes is up to where a command is copied rather than being
	// a part of its own.
	inlineCommandBytes = 1024
	// countBytes is kept at the front of a body for the number of messages,
	// as a uvarint of fixed length.
	countBytes = 3
	// messageHeadMax and entryHeadMax bound the encodings.
	messageHeadMax = 12 * binary.MaxVarintLen64
	entryHeadMax   = 8 * binary.MaxVarintLen64
)

// each cuts the messages and calls emit with the parts of each frame, which are
// valid until it returns. A Replicate message may be cut between entries into
// several, each of which follows the one before in the log.
func (f *messageFrames) each(messages []pb.Message, emit func(parts [][]byte) error) error {
	f.reset()
	for i := range messages {
		m := messages[i]
		if !travels(m.Type) || m.Snapshot.Index != 0 {
			return fmt.Errorf("replication: a %s message does not travel as a message", m.Type)
		}
		for first := true; first || len(m.Entries) > 0; first = false {
			if f.count == maxFrameMessages || (f.count > 0 && f.size+messageHeadMax > f.limit) {
				if err := f.flush(emit); err != nil {
					return err
				}
			}
			n := f.fit(&m)
			if n == 0 && len(m.Entries) > 0 || n < len(m.Entries) && m.Type != pb.Replicate {
				if f.count > 0 { // try again with an empty frame
					if err := f.flush(emit); err != nil {
						return err
					}
					n = f.fit(&m)
				}
				if n == 0 || n < len(m.Entries) && m.Type != pb.Replicate {
					return &TooLargeError{What: "Raft message", Size: m.SizeUpperLimit(), Limit: f.limit}
				}
			}
			f.add(&m, n)
			if n > 0 {
				last := &m.Entries[n-1]
				m.LogIndex, m.LogTerm = last.Index, last.Term
				m.Entries = m.Entries[n:]
			}
		}
	}
	if f.count == 0 {
		return nil
	}
	return f.flush(emit)
}

func (f *messageFrames) reset() {
	f.head = append(f.head[:0], make([]byte, countBytes)...)
	clear(f.cuts)
	f.cuts = f.cuts[:0]
	f.size, f.count, f.items = countBytes, 0, 0
}

// fit returns how many of a message's entries fit into the frame.
func (f *messageFrames) fit(m *pb.Message) int {
	size := f.size + messageHeadMax
	for i := range m.Entries {
		size += entryHeadMax + len(m.Entries[i].Cmd)
		if size > f.limit || f.items+i == maxMessageEntries {
			return i
		}
	}
	return len(m.Entries)
}

// add puts a message with the first n of its entries into the frame.
func (f *messageFrames) add(m *pb.Message, n int) {
	begin := len(f.head)
	f.head = appendMessageHead(f.head, m, n)
	for i := range m.Entries[:n] {
		e := &m.Entries[i]
		f.head = appendEntryHead(f.head, e)
		f.head = binary.AppendUvarint(f.head, uint64(len(e.Cmd)))
		if len(e.Cmd) <= inlineCommandBytes {
			f.head = append(f.head, e.Cmd...)
		} else {
			f.cuts = append(f.cuts, cut{len(f.head), e.Cmd})
			f.size += len(e.Cmd)
		}
	}
	f.size += len(f.head) - begin
	f.count++
	f.items += n
}

func (f *messageFrames) flush(emit func(parts [][]byte) error) error {
	n := uint(f.count) // at most 1<<14
	f.head[0] = byte(n&0x7f | 0x80)
	f.head[1] = byte(n>>7&0x7f | 0x80)
	f.head[2] = byte(n >> 14)
	from := 0
	f.parts = f.parts[:0]
	for _, c := range f.cuts {
		f.parts = append(f.parts, f.head[from:c.at], c.cmd)
		from = c.at
	}
	f.parts = append(f.parts, f.head[from:])
	err := emit(f.parts)
	clear(f.parts)
	f.reset()
	return err
}
