package leat

// Hooks tell a program what happens in its Log. Each may be nil. They are called
// on the Log's goroutines and must return soon; they may call the Log's reading
// methods, but must not close it.
type Hooks struct {
	// StorageFailed is called once, when the disk failed and writes are refused
	// from now on. err is ErrStorageFailed and wraps the cause.
	StorageFailed func(err error)
	// TopicCreated and TopicDeleted are called when that is durable.
	TopicCreated func(topic string)
	TopicDeleted func(topic string)
	// RecordsRemoved is called when retention or DeleteRecords moved a log start.
	RecordsRemoved func(tp TopicPartition, from, to Offset)
	// Compacted is called when the compaction of a partition changed something.
	Compacted func(tp TopicPartition, recordsRemoved, bytesRemoved int64)
	// CallbackPanicked is called when a produce callback panicked; the panic does
	// not leave the producer. Without this hook it is logged at level Error.
	CallbackPanicked func(recovered any, stack []byte)
}
