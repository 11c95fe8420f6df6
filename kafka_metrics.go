package leat

import (
	"github.com/leatlog/leat/kafka"
)

// KafkaMetrics is about the listeners of ServeKafka, all together and also those that
// have ended.
type KafkaMetrics struct {
	// Connections are open now; Accepted counts all that came.
	Connections int
	Accepted    int64
	// Closed counts the connections that ended, by reason: client, idle, slow,
	// malformed, memory, tls, limit (never served), acks0, listener, network, internal.
	Closed map[string]int64
	// BytesIn and BytesOut went over the connections, without TLS.
	BytesIn, BytesOut int64
	// RequestBytes and AnswerBytes are what requests and answers take of
	// KafkaLimits.MemoryBytes now.
	RequestBytes, AnswerBytes int64
	// FetchSessions and FetchSessionPartitions are remembered now.
	FetchSessions          int
	FetchSessionPartitions int
	// APIs are those that were asked for, by Kafka's names, in the order of their keys.
	APIs []KafkaAPIMetrics
}

// KafkaAPIMetrics is about the requests of one of Kafka's APIs.
type KafkaAPIMetrics struct {
	Name string
	// Requests were answered; the answers of Errors of them have an error code, for one
	// partition, say.
	Requests, Errors int64
	// Latency is the time, in seconds, from when a request was read to when its answer
	// was written. What a Fetch waits for records, and a JoinGroup for other members, is
	// in it.
	Latency Histogram
}

// kafkaMeter returns what counts for all listeners; it is made for the first.
func (l *Log) kafkaMeter() *kafka.Meter {
	if l.metrics.kafka.Load() == nil {
		l.metrics.kafka.CompareAndSwap(nil, new(kafka.Meter))
	}
	return l.metrics.kafka.Load()
}

// countKafka fills in what listeners counted; what they hold now they add themselves.
func (m *KafkaMetrics) countKafka(meter *kafka.Meter) {
	if meter == nil {
		return
	}
	k := meter.Read()
	m.Accepted, m.BytesIn, m.BytesOut, m.Closed = k.Accepted, k.BytesIn, k.BytesOut, k.Closed
	latency := newHistogram(int64(kafka.LatencyUnit), 1e-9)
	for _, a := range k.APIs {
		m.APIs = append(m.APIs, KafkaAPIMetrics{Name: a.Name, Requests: a.Requests, Errors: a.Errors, Latency: latency(a.Latency, a.LatencySum)})
	}
}

func (s *kafkaServer) count(m *Metrics) {
	u := s.server.Usage()
	m.Kafka.Connections += u.Connections
	m.Kafka.RequestBytes += u.RequestBytes
	m.Kafka.AnswerBytes += u.AnswerBytes
	m.Kafka.FetchSessions += u.FetchSessions
	m.Kafka.FetchSessionPartitions += u.FetchSessionPartitions
}
