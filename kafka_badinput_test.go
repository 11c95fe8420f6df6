package leat_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/leattest"
)

// frame is a request as it goes over the wire. All requests here have a flexible
// header or none by their version.
func frame(req kmsg.Request) []byte {
	b := make([]byte, 4)
	b = binary.BigEndian.AppendUint16(b, uint16(req.Key()))
	b = binary.BigEndian.AppendUint16(b, uint16(req.GetVersion()))
	b = binary.BigEndian.AppendUint32(b, 1)
	b = append(b, 0xff, 0xff) // no client id
	if req.IsFlexible() {
		b = append(b, 0)
	}
	b = req.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return c
}

// isClosed waits until the server has closed the connection.
func isClosed(t testing.TB, c net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the connection stays open")
}

// roundTrip sends a request and reads its answer.
func roundTrip(t testing.TB, c net.Conn, req kmsg.Request) kmsg.Response {
	t.Helper()
	_, err := c.Write(frame(req))
	require.NoError(t, err)
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	body := readAnswer(t, c)
	if resp.IsFlexible() && req.Key() != int16(kmsg.ApiVersions) {
		body = body[1:]
	}
	require.NoError(t, resp.ReadFrom(body))
	return resp
}

func readAnswer(t testing.TB, c net.Conn) []byte {
	t.Helper()
	var size [4]byte
	_, err := io.ReadFull(c, size[:])
	require.NoError(t, err)
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err = io.ReadFull(c, body)
	require.NoError(t, err)
	require.EqualValues(t, 1, binary.BigEndian.Uint32(body), "correlation id")
	return body[4:]
}

// withGoodClient runs fn while a client produces and consumes, which must not notice.
func withGoodClient(t *testing.T, addr, topic string, fn func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := kafkaClient(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()),
		kgo.FetchMaxWait(100*time.Millisecond))
	var wg sync.WaitGroup
	rounds := 0
	wg.Go(func() {
		for ctx.Err() == nil {
			step, stop := context.WithTimeout(context.Background(), 20*time.Second)
			if err := c.ProduceSync(step, &kgo.Record{Topic: topic, Value: []byte("good")}).FirstErr(); err != nil {
				t.Errorf("the good client: %v", err)
				stop()
				return
			}
			rounds++
			stop()
		}
	})
	fn()
	cancel()
	wg.Wait()
	require.Positive(t, rounds)
}

func TestKafkaBadFrames(t *testing.T) {
	log := leattest.New(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{})
	require.NoError(t, err)
	addr := serveKafka(t, log, leat.WithKafkaLimits(leat.KafkaLimits{RequestTimeout: 300 * time.Millisecond,
		RequestBytes: 1 << 20, FetchBytes: 1 << 20, MemoryBytes: 4 << 20}))
	size := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	versions := kmsg.NewPtrApiVersionsRequest()
	closes := map[string][]byte{
		"length 0":         size(0),
		"length -1":        size(0xffffffff),
		"length max":       size(0x7fffffff),
		"length limit+1":   size(1<<20 + 1),
		"partial length":   {0, 0},
		"partial frame":    append(size(100), 0, 18, 0, 0),
		"HTTP":             []byte("GET / HTTP/1.1\r\nHost: leat\r\n\r\n"),
		"unknown API":      append(size(10), 0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff),
		"negative API":     append(size(10), 0xff, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff),
		"unknown version":  append(size(10), 0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff),
		"negative version": append(size(10), 0, 3, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff),
		"tag count 2^32-1": append(size(15), 0, 18, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"array of max":     append(size(14), 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff),
		"array of -2":      append(size(14), 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe),
		"nothing":          nil,
	}
	withGoodClient(t, addr, "t", func() {
		zeros := dial(t, addr) // a Produce of nothing with acks=0; what follows it is ignored
		_, err := zeros.Write(append(size(64), make([]byte, 64)...))
		require.NoError(t, err)
		require.NotEmpty(t, roundTrip(t, zeros, kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse).ApiKeys)

		var wg sync.WaitGroup
		for name, in := range closes {
			c := dial(t, addr)
			wg.Go(func() {
				_, err := c.Write(in)
				if err == nil {
					_, err = io.Copy(io.Discard, c)
				}
				var timeout net.Error
				if errors.As(err, &timeout) && timeout.Timeout() {
					t.Errorf("%s: the connection stays open", name)
				}
			})
		}
		wg.Go(func() { // one byte at a time
			c := dial(t, addr)
			for _, b := range frame(versions) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(60 * time.Millisecond)
			}
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if n, _ := c.Read(make([]byte, 1)); n > 0 {
				t.Error("one byte at a time, slower than Limits.RequestTimeout, got an answer")
			}
		})
		wg.Go(func() { // TLS on a plaintext port
			c := dial(t, addr)
			if err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
				t.Error("TLS on a plaintext port succeeds")
			}
		})
		wg.Wait()
	})
}

// A version of ApiVersions that is unknown is answered, and the connection goes on.
func TestKafkaUnknownApiVersions(t *testing.T) {
	addr := serveKafka(t, leattest.New(t))
	c := dial(t, addr)
	_, err := c.Write([]byte{0, 0, 0, 12, 0, 18, 0, 99, 0, 0, 0, 1, 0, 0, 0, 0})
	require.NoError(t, err)
	resp := kmsg.NewPtrApiVersionsResponse()
	require.NoError(t, resp.ReadFrom(readAnswer(t, c)))
	require.EqualValues(t, 35, resp.ErrorCode)
	require.Len(t, resp.ApiKeys, 1)
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = resp.ApiKeys[0].MaxVersion
	require.Zero(t, roundTrip(t, c, req).(*kmsg.ApiVersionsResponse).ErrorCode)
}

// sealed is a batch of n records, changed and sealed anew.
func sealed(t testing.TB, codec recordbatch.Codec, n int, change func(b []byte)) []byte {
	var b recordbatch.Builder
	b.Reset(nil)
	for range n {
		require.NoError(t, b.Append(time.Now().UnixMilli(), []byte("k"), []byte("v"), nil))
	}
	batch, err := b.Finish(recordbatch.FinishOptions{Codec: codec, ProducerID: -1})
	require.NoError(t, err)
	batch = bytes.Clone(batch)
	if change != nil {
		change(batch)
		recordbatch.Reseal(batch)
	}
	return batch
}

func TestKafkaBadBatches(t *testing.T) {
	log := leattest.New(t)
	topic, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{Partitions: 2, MaxMessageBytes: 100_000})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	set16 := func(at int, v uint16) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint16(b[at:], v) }
	}
	set32 := func(at int, v uint32) func([]byte) {
		return func(b []byte) { binary.BigEndian.PutUint32(b[at:], v) }
	}
	good := sealed(t, recordbatch.None, 3, nil)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	bomb := func() []byte {
		var b recordbatch.Builder
		b.Reset(nil)
		require.NoError(t, b.Append(time.Now().UnixMilli(), nil, make([]byte, 100<<20), nil))
		batch, err := b.Finish(recordbatch.FinishOptions{Codec: recordbatch.Zstd, ProducerID: -1})
		require.NoError(t, err)
		return batch
	}()
	truncated := func(codec recordbatch.Codec) []byte {
		b := sealed(t, codec, 50, nil)
		b = bytes.Clone(b[:len(b)-5])
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
		recordbatch.Reseal(b)
		return b
	}
	cases := []struct {
		name  string
		batch []byte
		want  error
	}{
		{"nothing", nil, kerr.InvalidRecord},
		{"less than a header", good[:40], kerr.CorruptMessage},
		{"cut short", good[:len(good)-1], kerr.CorruptMessage},
		{"a wrong CRC", flipped, kerr.CorruptMessage},
		{"two batches", append(bytes.Clone(good), good...), kerr.InvalidRecord},
		{"magic 0", sealed(t, recordbatch.None, 1, func(b []byte) { b[16] = 0 }), kerr.UnsupportedForMessageFormat},
		{"magic 1", sealed(t, recordbatch.None, 1, func(b []byte) { b[16] = 1 }), kerr.UnsupportedForMessageFormat},
		{"magic 9", sealed(t, recordbatch.None, 1, func(b []byte) { b[16] = 9 }), kerr.UnsupportedForMessageFormat},
		{"a wrong count", sealed(t, recordbatch.None, 3, set32(57, 2)), kerr.InvalidRecord},
		{"a negative count", sealed(t, recordbatch.None, 3, set32(57, 0xffffffff)), kerr.CorruptMessage},
		{"a huge count", sealed(t, recordbatch.None, 3, set32(57, 0x7fffffff)), kerr.CorruptMessage},
		{"a negative delta", sealed(t, recordbatch.None, 3, set32(23, 0xffffffff)), kerr.CorruptMessage},
		{"a control batch", sealed(t, recordbatch.None, 1, set16(21, 1<<5)), kerr.InvalidRecord},
		{"a transactional batch", sealed(t, recordbatch.None, 1, set16(21, 1<<4)), kerr.InvalidRecord},
		{"codec 7", sealed(t, recordbatch.None, 1, set16(21, 7)), kerr.UnsupportedCompressionType},
		{"no sequence", sealed(t, recordbatch.None, 1, func(b []byte) { recordbatch.SetProducer(b, 5, 0, -1) }), kerr.InvalidRecord},
		{"too large", sealed(t, recordbatch.None, 20_000, nil), kerr.MessageTooLarge},
		{"a bomb", bomb, kerr.MessageTooLarge},
		{"gzip cut short", truncated(recordbatch.Gzip), kerr.CorruptMessage},
		{"snappy cut short", truncated(recordbatch.Snappy), kerr.CorruptMessage},
		{"lz4 cut short", truncated(recordbatch.LZ4), kerr.CorruptMessage},
		{"zstd cut short", truncated(recordbatch.Zstd), kerr.CorruptMessage},
	}
	c := dial(t, addr)
	produce := func(acks int16, partition int32, batch []byte) *kmsg.ProduceRequest {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = 9, acks, 1000
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = partition, batch
		ok := kmsg.NewProduceRequestTopicPartition()
		ok.Partition, ok.Records = 0, bytes.Clone(good)
		rt.Partitions = append(rt.Partitions, ok, rp)
		req.Topics = append(req.Topics, rt)
		return req
	}
	withGoodClient(t, addr, "t", func() {
		for _, tt := range cases {
			resp := roundTrip(t, c, produce(-1, 1, tt.batch)).(*kmsg.ProduceResponse)
			ps := resp.Topics[0].Partitions
			require.ErrorIs(t, kerr.ErrorForCode(ps[1].ErrorCode), tt.want, tt.name)
			require.Zero(t, ps[0].ErrorCode, "%s: the other partition suffers", tt.name)
			require.NotNil(t, ps[1].ErrorMessage)
		}
		for partition, want := range map[int32]error{-1: kerr.UnknownTopicOrPartition, 2: kerr.UnknownTopicOrPartition, 1 << 30: kerr.UnknownTopicOrPartition} {
			resp := roundTrip(t, c, produce(-1, partition, good)).(*kmsg.ProduceResponse)
			require.ErrorIs(t, kerr.ErrorForCode(resp.Topics[0].Partitions[1].ErrorCode), want)
		}
		resp := roundTrip(t, c, produce(7, 1, good)).(*kmsg.ProduceResponse)
		require.ErrorIs(t, kerr.ErrorForCode(resp.Topics[0].Partitions[1].ErrorCode), kerr.InvalidRequiredAcks)
		old := produce(-1, 1, good)
		old.Version = 2
		resp = roundTrip(t, c, old).(*kmsg.ProduceResponse)
		require.ErrorIs(t, kerr.ErrorForCode(resp.Topics[0].Partitions[1].ErrorCode), kerr.UnsupportedVersion)

		// acks=0 has no answer that could tell: the connection is closed.
		_, err := c.Write(frame(produce(0, 1, flipped)))
		require.NoError(t, err)
		isClosed(t, c)
	})
	p, err := topic.Partition(1)
	require.NoError(t, err)
	info, err := p.Info(t.Context())
	require.NoError(t, err)
	require.Less(t, info.HighWatermark, leat.Offset(1_000_000)) // only what the good client wrote
}

// An idempotent producer's retry gets its first offset, a gap and an old epoch are
// refused.
func TestKafkaSequences(t *testing.T) {
	log := leattest.New(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{})
	require.NoError(t, err)
	c := dial(t, serveKafka(t, log))
	init := kmsg.NewPtrInitProducerIDRequest()
	init.Version = 4
	id := roundTrip(t, c, init).(*kmsg.InitProducerIDResponse)
	require.Zero(t, id.ErrorCode)
	other := roundTrip(t, c, init).(*kmsg.InitProducerIDResponse)
	require.NotEqual(t, id.ProducerID, other.ProducerID)
	name := "tx"
	init.TransactionalID = &name
	require.NotZero(t, roundTrip(t, c, init).(*kmsg.InitProducerIDResponse).ErrorCode)
	for i, tt := range []struct {
		epoch  int16
		seq    int32
		offset int64
		want   error
	}{
		{1, 0, 0, nil}, {1, 2, 2, nil}, {1, 0, 0, nil}, {1, 2, 2, nil},
		{1, 6, -1, kerr.OutOfOrderSequenceNumber}, {0, 4, -1, kerr.InvalidProducerEpoch}, {1, 4, 4, nil}, {2, 0, 6, nil},
	} {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks = 11, -1
		rt := kmsg.NewProduceRequestTopic()
		rt.Topic = "t"
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Records = sealed(t, recordbatch.None, 2, func(b []byte) { recordbatch.SetProducer(b, id.ProducerID, tt.epoch, tt.seq) })
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		got := roundTrip(t, c, req).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if tt.want == nil {
			require.Zero(t, got.ErrorCode, "step %d", i)
		} else {
			require.ErrorIs(t, kerr.ErrorForCode(got.ErrorCode), tt.want, "step %d", i)
		}
		require.Equal(t, tt.offset, got.BaseOffset, "step %d", i)
	}
}

func TestKafkaFetchEdges(t *testing.T) {
	log := leattest.New(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{Partitions: 2})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	p := kafkaClient(t, addr, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for range 5 {
		for n := range int32(2) {
			require.NoError(t, p.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Partition: n, Value: make([]byte, 2000)}).FirstErr())
		}
	}
	c := dial(t, addr)
	fetch := func(version int16, offset int64, maxBytes, partitionBytes int32) *kmsg.FetchRequest {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxBytes, req.MinBytes, req.MaxWaitMillis = version, maxBytes, 1, 50
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic = "t"
		top, err := log.Topic(t.Context(), "t")
		require.NoError(t, err)
		rt.TopicID = top.ID()
		for n := range int32(2) {
			rp := kmsg.NewFetchRequestTopicPartition()
			rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = n, offset, partitionBytes
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
		return req
	}
	batches := func(resp *kmsg.FetchResponse, partition int) (n int) {
		for rest := resp.Topics[0].Partitions[partition].RecordBatches; len(rest) > 0; n++ {
			var batch []byte
			var err error
			batch, rest, err = recordbatch.Next(rest)
			require.NoError(t, err)
			_, err = recordbatch.Verify(batch)
			require.NoError(t, err)
		}
		return n
	}
	for version := int16(4); version <= 18; version++ {
		for _, tt := range []struct {
			name              string
			offset            int64
			maxBytes, perPart int32
			first, second     int
			code              int16
		}{
			{"all", 0, 1 << 20, 1 << 20, 5, 5, 0},
			{"max bytes 0", 0, 0, 1 << 20, 1, 0, 0},
			{"max bytes -1", 0, -1, 1 << 20, 5, 5, 0},
			{"max bytes max", 0, 1<<31 - 1, 1<<31 - 1, 5, 5, 0},
			{"partition bytes 0", 0, 1 << 20, 0, 1, 1, 0},
			{"partition bytes -1", 0, 1 << 20, -1, 1, 1, 0},
			{"two batches of room", 0, 4200, 1 << 20, 2, 0, 0},
			{"the end", 5, 1 << 20, 1 << 20, 0, 0, 0},
			{"beyond the end", 6, 1 << 20, 1 << 20, 0, 0, 1},
			{"before the start", -1, 1 << 20, 1 << 20, 0, 0, 1},
			{"offset max", 1<<63 - 1, 1 << 20, 1 << 20, 0, 0, 1},
		} {
			resp := roundTrip(t, c, fetch(version, tt.offset, tt.maxBytes, tt.perPart)).(*kmsg.FetchResponse)
			require.Zero(t, resp.ErrorCode)
			require.Zero(t, resp.SessionID)
			require.Equal(t, tt.code, resp.Topics[0].Partitions[0].ErrorCode, "%s, version %d", tt.name, version)
			require.Equal(t, tt.first, batches(resp, 0), "%s, version %d", tt.name, version)
			require.Equal(t, tt.second, batches(resp, 1), "%s, version %d", tt.name, version)
		}
	}
	session := fetch(12, 0, 1, 1)
	session.SessionID, session.SessionEpoch = 5, 1
	require.EqualValues(t, kerr.FetchSessionIDNotFound.Code, roundTrip(t, c, session).(*kmsg.FetchResponse).ErrorCode)

	// A Fetch that waits learns at once that its topic is gone, and of a record.
	for _, tt := range []struct {
		event func()
		code  int16
	}{
		{func() { require.NoError(t, p.ProduceSync(t.Context(), &kgo.Record{Topic: "t"}).FirstErr()) }, 0},
		{func() { require.NoError(t, log.DeleteTopic(t.Context(), "t")) }, kerr.UnknownTopicOrPartition.Code},
	} {
		req := fetch(11, 5, 1<<20, 1<<20)
		req.MaxWaitMillis = 60_000
		req.Topics[0].Partitions = req.Topics[0].Partitions[:1]
		if tt.code != 0 {
			req.Topics[0].Partitions[0].FetchOffset = 6
		}
		begin := time.Now()
		_, err := c.Write(frame(req))
		require.NoError(t, err)
		time.AfterFunc(100*time.Millisecond, tt.event)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.SetVersion(11)
		require.NoError(t, resp.ReadFrom(readAnswer(t, c)))
		require.Less(t, time.Since(begin), 15*time.Second)
		require.Equal(t, tt.code, resp.Topics[0].Partitions[0].ErrorCode)
	}
}

// Requests that nobody reads the answers of do not pile up, and end their connection.
func TestKafkaUnreadAnswers(t *testing.T) {
	log := leattest.New(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{})
	require.NoError(t, err)
	for range 500 {
		_, err := log.CreateTopic(t.Context(), strings.Repeat("x", 200)+time.Now().Format("150405.000000000"), leat.TopicConfig{})
		require.NoError(t, err)
	}
	addr := serveKafka(t, log, leat.WithKafkaLimits(leat.KafkaLimits{RequestTimeout: time.Second, InFlight: 4}))
	all := kmsg.NewPtrMetadataRequest()
	all.Version, all.Topics = 1, nil
	one := frame(all)
	withGoodClient(t, addr, "t", func() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		c := dial(t, addr)
		var sent int
		for sent < 1_000_000 {
			n, err := c.Write(bytes.Repeat(one, 1000))
			sent += n / len(one)
			if err != nil {
				break // it was closed
			}
		}
		require.Less(t, sent, 1_000_000)
		runtime.GC()
		runtime.ReadMemStats(&after)
		require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(64<<20))
	})
}

func TestKafkaConnectionLimits(t *testing.T) {
	log := leattest.New(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{})
	require.NoError(t, err)
	addr := serveKafka(t, log, leat.WithKafkaLimits(leat.KafkaLimits{Connections: 20, ConnectionsPerAddr: 10, IdleTimeout: 500 * time.Millisecond}))
	versions := kmsg.NewPtrApiVersionsRequest()
	var conns []net.Conn
	for range 10 {
		c := dial(t, addr)
		roundTrip(t, c, versions)
		conns = append(conns, c)
	}
	isClosed(t, dial(t, addr))
	for _, c := range conns { // they are idle now
		isClosed(t, c)
	}
	require.Eventually(t, func() bool { // and there is room again
		c := dial(t, addr)
		_, err := c.Write(frame(versions))
		n, _ := io.ReadFull(c, make([]byte, 4))
		return err == nil && n == 4
	}, 10*time.Second, 10*time.Millisecond)
}

// The handler of a closed Log: the connections end, and ServeKafka says why.
func TestKafkaClose(t *testing.T) {
	log := leattest.New(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- log.ServeKafka(context.Background(), ln) }()
	c := dial(t, ln.Addr().String())
	roundTrip(t, c, kmsg.NewPtrApiVersionsRequest())
	wait := kmsg.NewPtrFetchRequest()
	wait.Version, wait.MinBytes, wait.MaxWaitMillis = 4, 1, 100_000
	_, err = c.Write(frame(wait))
	require.NoError(t, err)
	require.NoError(t, log.Close())
	isClosed(t, c)
	require.ErrorIs(t, <-ended, leat.ErrClosed)

	ln, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.ErrorIs(t, log.ServeKafka(context.Background(), ln), leat.ErrClosed)
	_, err = ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestKafkaInsecure(t *testing.T) {
	log := leattest.New(t)
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	require.ErrorIs(t, log.ServeKafka(t.Context(), ln), leat.ErrInsecureListener)
	_, err = ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	require.Error(t, log.ServeKafka(t.Context(), nil))

	for _, bad := range []leat.KafkaOption{leat.WithKafkaAdvertised("nowhere"), leat.WithKafkaAdvertised(":1"),
		leat.WithKafkaLimits(leat.KafkaLimits{Connections: -1}), leat.WithKafkaLimits(leat.KafkaLimits{MemoryBytes: 1})} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.Error(t, log.ServeKafka(t.Context(), ln, bad))
	}

	ln, err = net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- log.ServeKafka(ctx, ln, leat.WithKafkaInsecure(), nil) }()
	port := ln.Addr().(*net.TCPAddr).Port
	c := dial(t, (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String())
	meta := roundTrip(t, c, kmsg.NewPtrMetadataRequest()).(*kmsg.MetadataResponse)
	require.Equal(t, "127.0.0.1", meta.Brokers[0].Host) // where the client came to
	require.EqualValues(t, port, meta.Brokers[0].Port)
	cancel()
	require.NoError(t, <-ended)
}
