package raftmeta

// A Result is what became of a command. Every node computes the same one.
type Result struct {
	Code    Code
	Message string // of a refusal

	// Index is the Raft index of the command: an Image at it or behind shows the
	// change.
	Index RaftIndex
	// Epoch is the broker's epoch, of RegisterBroker.
	Epoch RaftIndex
	// FirstProducerID is the first of a block of ProducerIDBlock ids, of
	// AllocateProducerIDs.
	FirstProducerID int64
	// FirstPartition is the id of the first of the partitions that were made, the
	// others follow; FirstShard that of the first shard. 0 when there is none.
	FirstPartition PartitionID
	FirstShard     ShardID
}

// ProducerIDBlock is how many producer ids AllocateProducerIDs gives out at a
// time.
const ProducerIDBlock = 1000

// Err returns the refusal, an *Error, or nil.
func (r Result) Err() error {
	if r.Code == OK {
		return nil
	}
	return &Error{Code: r.Code, Message: r.Message}
}

const resultVersion = 1

// Encode returns the result as bytes; the package documentation has the layout.
func (r Result) Encode() []byte {
	var e encoder
	e.byte(resultVersion)
	e.byte(byte(r.Code))
	e.string(r.Message)
	e.uvarint(uint64(r.Index))
	e.uvarint(uint64(r.Epoch))
	e.varint(r.FirstProducerID)
	e.uvarint(uint64(r.FirstPartition))
	e.uvarint(uint64(r.FirstShard))
	return e
}

// DecodeResult decodes what Encode returned. It returns an *Error that is
// Malformed or Unsupported for anything else.
func DecodeResult(b []byte) (Result, error) {
	d := decoder{b: b}
	if v := d.byte(); d.err == nil && v != resultVersion {
		return Result{}, refuse(Unsupported, "version %d of a result", v)
	}
	r := Result{
		Code:            Code(d.byte()),
		Message:         d.string(),
		Index:           takeNumber[RaftIndex](&d),
		Epoch:           takeNumber[RaftIndex](&d),
		FirstProducerID: d.varint(),
		FirstPartition:  takeNumber[PartitionID](&d),
		FirstShard:      takeNumber[ShardID](&d),
	}
	if err := d.finish(); err != nil {
		return Result{}, refuse(Malformed, "result: %v", err)
	}
	return r, nil
}
