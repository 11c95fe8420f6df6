package leat_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/leattest"
)

// certificate is one for 127.0.0.1 that signs itself, and the pool that trusts it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestKafkaTLS(t *testing.T) {
	log := leattest.New(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{})
	require.NoError(t, err)
	cert, pool := certificate(t)
	addr := serveKafka(t, log,
		leat.WithKafkaTLS(&tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}),
		leat.WithKafkaLimits(leat.KafkaLimits{RequestTimeout: time.Second}))
	ctx := testContext(t)
	good := kafkaClient(t, addr, kgo.DialTLSConfig(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}),
		kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := make([]byte, 700_000) // more than a piece of an answer
	for range 3 {
		require.NoError(t, good.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: value}).FirstErr())
	}
	for _, r := range consume(t, ctx, good, 3) {
		require.Len(t, r.Value, len(value))
	}

	plain := dial(t, addr) // Kafka's protocol in plain text
	_, err = plain.Write(frame(kmsg.NewPtrApiVersionsRequest()))
	require.NoError(t, err)
	isClosed(t, plain)
	isClosed(t, dial(t, addr)) // nothing at all
	stranger, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool})
	if err == nil { // TLS 1.3 tells the client only when it reads
		_, err = stranger.Read(make([]byte, 1))
		require.NoError(t, stranger.Close())
	}
	require.Error(t, err)
}

// Frames that are announced and do not come take no memory.
func TestKafkaAnnouncedFrames(t *testing.T) {
	log := leattest.New(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{})
	require.NoError(t, err)
	addr := serveKafka(t, log, leat.WithKafkaLimits(leat.KafkaLimits{RequestTimeout: 5 * time.Second}))
	withGoodClient(t, addr, "t", func() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range 200 {
			_, err := dial(t, addr).Write([]byte{0x06, 0, 0, 0, 0, 0, 0, 13}) // 96 MiB
			require.NoError(t, err)
		}
		time.Sleep(200 * time.Millisecond) // all of them are read from by now
		runtime.GC()
		runtime.ReadMemStats(&after)
		require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(48<<20))
	})
}

// A topic that compresses, and one that dates records itself, get what they want from
// every client.
func TestKafkaTopicRules(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	_, err := log.CreateTopic(ctx, "packed", leat.TopicConfig{Compression: leat.Zstd})
	require.NoError(t, err)
	_, err = log.CreateTopic(ctx, "dated", leat.TopicConfig{TimestampType: leat.LogAppendTime})
	require.NoError(t, err)
	_, err = log.CreateTopic(ctx, "compacted", leat.TopicConfig{CleanupPolicy: leat.Compact})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	long := time.Now().Add(-365 * 24 * time.Hour).Truncate(time.Millisecond)
	p := kafkaClient(t, addr, kgo.ProducerBatchCompression(kgo.GzipCompression()))
	for _, topic := range []string{"packed", "dated", "packed"} {
		r := &kgo.Record{Topic: topic, Key: []byte("k"), Value: make([]byte, 5000), Timestamp: long,
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}
		require.NoError(t, p.ProduceSync(ctx, r).FirstErr())
	}
	require.Error(t, p.ProduceSync(ctx, &kgo.Record{Topic: "compacted", Value: []byte("no key")}).FirstErr())

	c := kafkaClient(t, addr, kgo.ConsumeTopics("packed", "dated"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for _, r := range consume(t, ctx, c, 3) {
		require.Equal(t, "k", string(r.Key))
		require.Len(t, r.Value, 5000)
		require.Equal(t, "h", r.Headers[0].Key)
		if r.Topic == "dated" {
			require.WithinDuration(t, time.Now(), r.Timestamp, time.Minute)
			require.EqualValues(t, 1, r.Attrs.TimestampType())
			continue
		}
		require.True(t, long.Equal(r.Timestamp))
		require.EqualValues(t, recordbatch.Zstd, r.Attrs.CompressionType())
	}
}

// What a request names many times is answered once.
func TestKafkaRepeatedNames(t *testing.T) {
	log := leattest.New(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{Partitions: 100})
	require.NoError(t, err)
	c := dial(t, serveKafka(t, log))
	name := "t"
	meta := kmsg.NewPtrMetadataRequest()
	meta.Version = 12
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxWaitMillis = 11, 10
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version = 5
	configs := kmsg.NewPtrDescribeConfigsRequest()
	configs.Version = 4
	ft := kmsg.NewFetchRequestTopic()
	ft.Topic = name
	for range 20_000 {
		mt := kmsg.NewMetadataRequestTopic()
		mt.Topic = &name
		meta.Topics = append(meta.Topics, mt)
		fp := kmsg.NewFetchRequestTopicPartition()
		ft.Partitions = append(ft.Partitions, fp)
		ct := kmsg.NewCreateTopicsRequestTopic()
		ct.Topic = "twice"
		create.Topics = append(create.Topics, ct)
		cr := kmsg.NewDescribeConfigsRequestResource()
		cr.ResourceType, cr.ResourceName = kmsg.ConfigResourceTypeTopic, name
		configs.Resources = append(configs.Resources, cr)
	}
	fetch.Topics = append(fetch.Topics, ft)
	require.Len(t, roundTrip(t, c, meta).(*kmsg.MetadataResponse).Topics, 1)
	require.Len(t, roundTrip(t, c, configs).(*kmsg.DescribeConfigsResponse).Resources, 1)
	made := roundTrip(t, c, create).(*kmsg.CreateTopicsResponse).Topics
	require.Len(t, made, 1)
	require.EqualValues(t, 42, made[0].ErrorCode)
	parts := roundTrip(t, c, fetch).(*kmsg.FetchResponse).Topics[0].Partitions
	require.Zero(t, parts[0].ErrorCode)
	require.EqualValues(t, 42, parts[1].ErrorCode)
}

func BenchmarkKafkaProduce(b *testing.B) {
	log, err := leat.Open(b.Context(), leat.Config{Dir: b.TempDir()})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, log.Close()) })
	_, err = log.CreateTopic(b.Context(), "t", leat.TopicConfig{Partitions: 6})
	require.NoError(b, err)
	c := kafkaClient(b, serveKafka(b, log), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(50_000))
	value := make([]byte, 1024)
	b.SetBytes(1024)
	for b.Loop() {
		c.Produce(b.Context(), &kgo.Record{Topic: "t", Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	require.NoError(b, c.Flush(b.Context()))
}

func BenchmarkKafkaConsume(b *testing.B) {
	log, err := leat.Open(b.Context(), leat.Config{Dir: b.TempDir()})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, log.Close()) })
	_, err = log.CreateTopic(b.Context(), "t", leat.TopicConfig{Partitions: 6})
	require.NoError(b, err)
	p, err := log.NewProducer()
	require.NoError(b, err)
	value := make([]byte, 1024)
	const stored = 500_000
	for range stored {
		p.Produce(b.Context(), leat.Record{Topic: "t", Value: value}, nil)
	}
	require.NoError(b, p.Flush(b.Context()))
	addr := serveKafka(b, log)
	b.SetBytes(1024)
	b.ResetTimer()
	ctx := context.Background()
	for read := 0; read < b.N; {
		c := kafkaClient(b, addr, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for n := 0; n < stored && read < b.N; {
			f := c.PollFetches(ctx)
			require.NoError(b, f.Err())
			n += f.NumRecords()
			read += f.NumRecords()
		}
		c.Close()
	}
}
