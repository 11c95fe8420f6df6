package kafka

import (
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
)

// LatencyUnit is where the first bucket of a request's latency ends; each further one
// is twice as wide.
const LatencyUnit = 10 * time.Microsecond

// Reason is why a connection ended.
type Reason uint8

// The reasons.
const (
	ClosedByClient     Reason = iota
	ClosedIdle                // Limits.IdleTimeout, or no first request in time
	ClosedSlow                // too slow to send a request or to read an answer
	ClosedMalformed           // what came is not Kafka's protocol, or not served
	ClosedNoMemory            // Limits.MemoryBytes or MemoryBytesPerAddr
	ClosedTLS                 // the handshake failed
	ClosedLimit               // Limits.Connections or ConnectionsPerAddr: never served
	ClosedUnsaid              // an acks=0 Produce failed, which has no answer
	ClosedListener            // the listener was closed
	ClosedNetwork             // reading or writing failed
	ClosedByOurFailure        // a handler panicked
	reasons
)

var reasonNames = [reasons]string{"client", "idle", "slow", "malformed", "memory", "tls", "limit", "acks0", "listener", "network", "internal"}

// String returns the reason in a word.
func (r Reason) String() string { return reasonNames[r] }

// Meter counts what listeners do. Several may share one. The zero value is ready.
type Meter struct {
	accepted          atomic.Int64
	bytesIn, bytesOut atomic.Int64
	closed            [reasons]atomic.Int64
	apis              [apiKeys]apiMeter // by key
}

// apiKeys is above every key that is served.
const apiKeys = 80

type apiMeter struct {
	requests, errors atomic.Int64
	latency          base.Histogram
}

// observe counts an answered request.
func (m *apiMeter) observe(took time.Duration, failed bool) {
	m.requests.Add(1)
	if failed {
		m.errors.Add(1)
	}
	m.latency.Observe(int64(took), int64(LatencyUnit))
}

// Metrics is what a Meter counted.
type Metrics struct {
	Accepted          int64
	BytesIn, BytesOut int64
	// Closed are the connections that ended, by reason.
	Closed map[string]int64
	// APIs are those that were asked for, by key.
	APIs []APIMetrics
}

// APIMetrics is about the requests of one API.
type APIMetrics struct {
	Name string
	// Requests were answered, Errors of them with an error code somewhere in the answer.
	Requests, Errors int64
	// Latency is from when a request was read to when its answer was written, by
	// buckets that begin with LatencyUnit, and LatencySum the sum in nanoseconds.
	Latency    [base.HistogramBuckets]int64
	LatencySum int64
}

// Read returns what was counted.
func (m *Meter) Read() Metrics {
	out := Metrics{Accepted: m.accepted.Load(), BytesIn: m.bytesIn.Load(), BytesOut: m.bytesOut.Load(),
		Closed: make(map[string]int64, reasons)}
	for r := range reasons {
		out.Closed[r.String()] = m.closed[r].Load()
	}
	for i := range apis {
		a := &m.apis[apis[i].key]
		if n := a.requests.Load(); n > 0 {
			one := APIMetrics{Name: apis[i].key.Name(), Requests: n, Errors: a.errors.Load()}
			one.Latency, one.LatencySum = a.latency.Read()
			out.APIs = append(out.APIs, one)
		}
	}
	return out
}

// Usage is what a listener holds now.
type Usage struct {
	Connections            int
	RequestBytes           int64 // of Limits.MemoryBytes, for requests
	AnswerBytes            int64 // and for answers
	FetchSessions          int
	FetchSessionPartitions int
}

// Usage tells what the listener holds now.
func (s *Server) Usage() Usage {
	u := Usage{RequestBytes: s.requests.used(), AnswerBytes: s.answers.used()}
	u.FetchSessions, u.FetchSessionPartitions = s.sessions.count()
	s.mu.Lock()
	u.Connections = len(s.conns)
	s.mu.Unlock()
	return u
}

// hasError reports whether an answer has an error code. It looks at all of it, so it
// is for small ones.
func hasError(resp kmsg.Response) bool {
	return resp != nil && anyError(reflect.ValueOf(resp).Elem())
}

var int16Type = reflect.TypeFor[int16]()

func anyError(v reflect.Value) bool {
	t := v.Type()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Int16:
			if t.Field(i).Name == "ErrorCode" && f.Type() == int16Type && f.Int() != 0 {
				return true
			}
		case reflect.Slice:
			if f.Type().Elem().Kind() != reflect.Struct {
				continue
			}
			for j := range f.Len() {
				if anyError(f.Index(j)) {
					return true
				}
			}
		}
	}
	return false
}

// largeAnswers are the APIs whose answers are not looked through for errors: they
// tell of everything there is. What they are asked for and is not there counts all
// the same.
var largeAnswers = []kmsg.Key{kmsg.Metadata, kmsg.DescribeTopicPartitions, kmsg.DescribeLogDirs, kmsg.DescribeConfigs, kmsg.DescribeProducers}

func failed(key kmsg.Key, resp kmsg.Response) bool {
	if !slices.Contains(largeAnswers, key) {
		return hasError(resp)
	}
	switch resp := resp.(type) {
	case *kmsg.MetadataResponse:
		return slices.ContainsFunc(resp.Topics, func(t kmsg.MetadataResponseTopic) bool { return t.ErrorCode != 0 })
	case *kmsg.DescribeTopicPartitionsResponse:
		return slices.ContainsFunc(resp.Topics, func(t kmsg.DescribeTopicPartitionsResponseTopic) bool { return t.ErrorCode != 0 })
	case *kmsg.DescribeLogDirsResponse:
		return resp.ErrorCode != 0 || slices.ContainsFunc(resp.Dirs, func(d kmsg.DescribeLogDirsResponseDir) bool { return d.ErrorCode != 0 })
	case *kmsg.DescribeConfigsResponse:
		return slices.ContainsFunc(resp.Resources, func(r kmsg.DescribeConfigsResponseResource) bool { return r.ErrorCode != 0 })
	case *kmsg.DescribeProducersResponse:
		return slices.ContainsFunc(resp.Topics, func(t kmsg.DescribeProducersResponseTopic) bool {
			return slices.ContainsFunc(t.Partitions, func(p kmsg.DescribeProducersResponseTopicPartition) bool { return p.ErrorCode != 0 })
		})
	}
	return false
}
