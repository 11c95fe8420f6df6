package recordbatch

import (
	"errors"
	"fmt"

	"github.com/leatlog/leat/internal/base"
)

// The sentinels that callers branch on. Each struct error of this package is
// one of them to errors.Is.
var (
	// ErrCorrupt: the bytes are not a whole and intact batch. Kafka's
	// CORRUPT_MESSAGE.
	ErrCorrupt = errors.New("recordbatch: corrupt batch")
	// ErrUnsupportedMagic: a message format other than 2. Kafka's
	// UNSUPPORTED_FOR_MESSAGE_FORMAT.
	ErrUnsupportedMagic = errors.New("recordbatch: unsupported message format")
	// ErrUnsupportedCodec: an unknown compression. Kafka's
	// UNSUPPORTED_COMPRESSION_TYPE.
	ErrUnsupportedCodec = errors.New("recordbatch: unsupported compression")
	// ErrInvalidRecord: an intact batch that breaks a rule. Kafka's
	// INVALID_RECORD.
	ErrInvalidRecord = errors.New("recordbatch: invalid record")
	// ErrInvalidTimestamp: a timestamp outside of what the topic takes. Kafka's
	// INVALID_TIMESTAMP.
	ErrInvalidTimestamp = errors.New("recordbatch: invalid timestamp")
	// ErrTooLarge: a batch over its limit. Kafka's MESSAGE_TOO_LARGE.
	ErrTooLarge = errors.New("recordbatch: batch too large")
	// ErrDecompressedTooLarge: a batch that unpacks to more than allowed.
	ErrDecompressedTooLarge = errors.New("recordbatch: decompressed batch too large")
	// ErrEmpty: Finish of a Builder without records.
	ErrEmpty = errors.New("recordbatch: batch without records")
	// ErrOffsetDelta: an offset delta that is negative or does not grow.
	ErrOffsetDelta = errors.New("recordbatch: offset delta is negative or does not grow")
)

// NoRecord is the Record field of an error about a batch as a whole.
const NoRecord = -1

// CorruptError says what about a batch is broken. It is ErrCorrupt.
type CorruptError struct {
	Reason     string      // what was found, and what is right
	BaseOffset base.Offset // as the header says it; 0 when the header cannot be read
	Record     int         // index of the record in the batch, or NoRecord
	Err        error       // what the decompressor said, or nil
}

// Error implements error.
func (e *CorruptError) Error() string {
	s := fmt.Sprintf("%v: base offset %d", ErrCorrupt, e.BaseOffset)
	if e.Record != NoRecord {
		s += fmt.Sprintf(", record %d", e.Record)
	}
	s += ": " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns ErrCorrupt and the cause, if any.
func (e *CorruptError) Unwrap() []error {
	if e.Err != nil {
		return []error{ErrCorrupt, e.Err}
	}
	return []error{ErrCorrupt}
}

// MagicError says that a batch has a message format other than 2. It is
// ErrUnsupportedMagic.
type MagicError struct{ Magic int8 }

// Error implements error.
func (e *MagicError) Error() string {
	return fmt.Sprintf("%v: magic %d, only 2 is read", ErrUnsupportedMagic, e.Magic)
}

// Unwrap returns ErrUnsupportedMagic.
func (e *MagicError) Unwrap() error { return ErrUnsupportedMagic }

// CodecError says that a codec is none of Kafka's. It is ErrUnsupportedCodec.
type CodecError struct{ Codec Codec }

// Error implements error.
func (e *CodecError) Error() string {
	return fmt.Sprintf("%v: codec %d, known are 0 to %d", ErrUnsupportedCodec, int8(e.Codec), int8(Zstd))
}

// Unwrap returns ErrUnsupportedCodec.
func (e *CodecError) Unwrap() error { return ErrUnsupportedCodec }

// TooLargeError says that a batch is over its limit. It is ErrTooLarge.
type TooLargeError struct {
	Size  int // bytes, with the header
	Limit int // bytes
}

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%v: %d bytes, the limit is %d", ErrTooLarge, e.Size, e.Limit)
}

// Unwrap returns ErrTooLarge.
func (e *TooLargeError) Unwrap() error { return ErrTooLarge }

// DecompressedTooLargeError says that a batch unpacks to more than Limit
// bytes; how much more is not known. It is ErrDecompressedTooLarge.
type DecompressedTooLargeError struct {
	Codec Codec
	Limit int // bytes
}

// Error implements error.
func (e *DecompressedTooLargeError) Error() string {
	return fmt.Sprintf("%v: %v data unpacks to more than %d bytes", ErrDecompressedTooLarge, e.Codec, e.Limit)
}

// Unwrap returns ErrDecompressedTooLarge.
func (e *DecompressedTooLargeError) Unwrap() error { return ErrDecompressedTooLarge }
