package kafka

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// request is a frame with its header read.
type request struct {
	key, version  int16
	correlationID int32
	clientID      []byte // of the frame
	api           *api   // nil if it is not served
	supported     bool   // the version is
	body          []byte
	elements      int
	begun         time.Time // when it was read
}

// parseRequest reads the header of a frame and checks the body, so that it can be
// decoded. A version or API that is not served is no error.
func parseRequest(frame []byte) (request, error) {
	if len(frame) < 8 {
		return request{}, fmt.Errorf("%w: %d bytes are no header", errMalformed, len(frame))
	}
	r := request{
		key:           int16(binary.BigEndian.Uint16(frame)),
		version:       int16(binary.BigEndian.Uint16(frame[2:])),
		correlationID: int32(binary.BigEndian.Uint32(frame[4:])),
	}
	r.api = findAPI(r.key)
	if r.api == nil {
		return r, nil
	}
	r.supported = r.version >= r.api.min && r.version <= r.api.max
	if !r.supported {
		return r, nil
	}
	w := walker{in: frame[8:]}
	n := w.length(false) // the client id is never compact
	if n != -1 {
		r.clientID = w.take(n)
	}
	if r.version >= r.api.shape.flexible {
		w.flexible = true
		w.tags(nil)
	}
	if w.err != nil {
		return r, w.err
	}
	r.body = w.in
	var err error
	r.elements, err = r.api.shape.check(r.version, r.body)
	r.elements += w.elements
	return r, err
}

// decode returns kmsg's request.
func (r *request) decode() (kmsg.Request, error) {
	req := r.api.key.Request()
	req.SetVersion(r.version)
	read := req.ReadFrom
	if u, ok := req.(interface{ UnsafeReadFrom([]byte) error }); ok && r.api.handle == nil {
		read = u.UnsafeReadFrom // the strings are not kept
	}
	if err := read(r.body); err != nil {
		return nil, fmt.Errorf("%w: %s version %d: %w", errMalformed, r.api.key.Name(), r.version, err)
	}
	return req, nil
}

// first reports whether k is not in seen yet, and adds it. What a request names many
// times is answered once: else a small request could ask for an answer without bound.
func first[K comparable](seen map[K]struct{}, k K) bool {
	_, again := seen[k]
	seen[k] = struct{}{}
	return !again
}

// appendHeader appends the header of the answer, and before it room for its length.
func (r *request) appendHeader(dst []byte) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.correlationID))
	if r.version >= r.api.shape.flexible && r.api.key != kmsg.ApiVersions {
		dst = append(dst, 0) // no tagged fields
	}
	return dst
}

// encode returns the answer as a frame.
func (r *request) encode(resp kmsg.Response) []byte {
	resp.SetVersion(r.version)
	frame := resp.AppendTo(r.appendHeader(nil))
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}
