package recordbatch

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Tests against other implementations of the format.

// kmsgBatch encodes recs as kmsg does, uncompressed.
func kmsgBatch(recs []testRecord, h Header) []byte {
	kb := kmsg.NewRecordBatch()
	for _, r := range recs {
		kr := kmsg.NewRecord()
		kr.TimestampDelta64 = r.ts - recs[0].ts
		kr.OffsetDelta = r.delta
		kr.Key, kr.Value = r.key, r.value
		for _, rh := range r.headers {
			kr.Headers = append(kr.Headers, kmsg.Header{Key: rh.Key, Value: rh.Value})
		}
		// The length counts what follows it, and one of 0 takes one byte.
		kr.Length = int32(len(kr.AppendTo(nil)) - 1)
		kb.Records = kr.AppendTo(kb.Records)
	}
	kb.FirstOffset = int64(h.BaseOffset)
	kb.Length = int32(HeaderSize - prefixSize + len(kb.Records))
	kb.PartitionLeaderEpoch = int32(h.LeaderEpoch)
	kb.Magic = Magic
	kb.Attributes = int16(h.Attributes)
	kb.LastOffsetDelta = h.LastOffsetDelta
	kb.FirstTimestamp, kb.MaxTimestamp = h.BaseTimestamp, h.MaxTimestamp
	kb.ProducerID, kb.ProducerEpoch, kb.FirstSequence = h.ProducerID, h.ProducerEpoch, h.BaseSequence
	kb.NumRecords = h.NumRecords
	kb.CRC = int32(checksum(kb.AppendTo(nil)))
	return kb.AppendTo(nil)
}

func TestSameBytesAsKmsg(t *testing.T) {
	recs := variedRecords()
	ours := mustBuild(t, recs, FinishOptions{BaseOffset: 3, LeaderEpoch: -1, ProducerID: 1 << 40, ProducerEpoch: 2, BaseSequence: 1 << 30})
	h, err := Verify(ours)
	if err != nil {
		t.Fatal(err)
	}
	if theirs := kmsgBatch(recs, h); !bytes.Equal(ours, theirs) {
		t.Fatalf("ours\n%x\nkmsg's\n%x", ours, theirs)
	}
}

func kgoCodec(c Codec) kgo.CompressionCodec {
	return map[Codec]kgo.CompressionCodec{
		None: kgo.NoCompression(), Gzip: kgo.GzipCompression(), Snappy: kgo.SnappyCompression(),
		LZ4: kgo.Lz4Compression(), Zstd: kgo.ZstdCompression(),
	}[c]
}

func kgoRecord(topic string, r testRecord) *kgo.Record {
	k := &kgo.Record{Topic: topic, Key: r.key, Value: r.value, Timestamp: time.UnixMilli(r.ts)}
	for _, h := range r.headers {
		k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return k
}

func fromKgo(r *kgo.Record) testRecord {
	out := testRecord{int32(r.Offset), r.Timestamp.UnixMilli(), r.Key, r.Value, nil}
	for _, h := range r.Headers {
		out.headers = append(out.headers, RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out
}

func newKfake(t *testing.T) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func newKgo(t *testing.T, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.ListenAddrs()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// What kgo sends passes Validate and reads as what was produced.
func TestReadsWhatKgoSends(t *testing.T) {
	for _, codec := range allCodecs {
		t.Run(codec.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			cluster := newKfake(t)
			sent := make(chan []byte, 16)
			cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				for _, topic := range req.(*kmsg.ProduceRequest).Topics {
					for _, p := range topic.Partitions {
						select {
						case sent <- bytes.Clone(p.Records):
						default: // the test sees too few
						}
					}
				}
				return nil, nil, false
			})
			cl := newKgo(t, cluster, kgo.ProducerBatchCompression(kgoCodec(codec)), kgo.ProducerLinger(50*time.Millisecond))
			recs := variedRecords()
			var in []*kgo.Record
			for _, r := range recs {
				in = append(in, kgoRecord("t", r))
			}
			if err := cl.ProduceSync(ctx, in...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			close(sent)
			var got []testRecord
			d := NewDecompressor(1 << 20)
			for b := range sent {
				for len(b) > 0 {
					batch, rest, err := Next(b)
					if err != nil {
						t.Fatal(err)
					}
					h, err := Validate(batch, Limits{Decompressor: d, MaxBatchBytes: 1 << 20})
					if err != nil {
						t.Fatal(err)
					}
					if len(batch) > 1000 && h.Codec() != codec {
						t.Fatal("kgo sent", h.Codec())
					}
					for _, r := range collect(t, batch, d) {
						r.delta = int32(len(got))
						r.key, r.value = bytes.Clone(r.key), bytes.Clone(r.value)
						for i := range r.headers {
							r.headers[i].Value = bytes.Clone(r.headers[i].Value)
						}
						got = append(got, r)
					}
					b = rest
				}
			}
			if err := diffRecords(got, recs); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What we encode goes through a Kafka-like broker to a kgo consumer.
func TestKgoReadsOurs(t *testing.T) {
	for _, codec := range allCodecs {
		t.Run(codec.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			cluster := newKfake(t)
			cl := newKgo(t, cluster, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			recs := variedRecords()
			batch := mustBuild(t, recs, FinishOptions{Codec: codec, ProducerID: NoProducerID, LeaderEpoch: -1})

			md, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, cl)
			if err != nil {
				t.Fatal(err)
			}
			req := kmsg.NewPtrProduceRequest()
			req.Acks, req.TimeoutMillis = -1, 5000
			rt := kmsg.NewProduceRequestTopic()
			rt.Topic, rt.TopicID = "t", md.Topics[0].TopicID
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Records = batch
			rt.Partitions = append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			resp, err := req.RequestWith(ctx, cl)
			if err != nil {
				t.Fatal(err)
			}
			if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
				t.Fatal("error code", code)
			}
			var got []testRecord
			for len(got) < len(recs) {
				fs := cl.PollFetches(ctx)
				if err := fs.Err(); err != nil {
					t.Fatal(err)
				}
				fs.EachRecord(func(r *kgo.Record) { got = append(got, fromKgo(r)) })
			}
			if err := diffRecords(got, recs); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// kgo reads what Filter leaves, gaps and horizon included.
func TestKgoReadsFiltered(t *testing.T) {
	for _, codec := range allCodecs {
		recs := variedRecords()
		batch := mustBuild(t, recs, FinishOptions{Codec: codec, ProducerID: NoProducerID})
		out, _, err := Filter(batch, nil, func(r *Record) bool { return r.Offset != 0 && r.Offset != 4 },
			FilterOptions{DeleteHorizon: 1_800_000_000_000})
		if err != nil {
			t.Fatal(err)
		}
		rp := kmsg.NewFetchResponseTopicPartition()
		rp.RecordBatches = out
		fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{Topic: "t"}, &rp, kgo.DefaultDecompressor(), nil)
		if fp.Err != nil || next != 7 {
			t.Fatal(codec, next, fp.Err)
		}
		var got []testRecord
		for _, r := range fp.Records {
			got = append(got, fromKgo(r))
		}
		if err := diffRecords(got, []testRecord{recs[1], recs[2], recs[3], recs[5], recs[6]}); err != nil {
			t.Fatal(codec, err)
		}
	}
}

func (r testRecord) String() string {
	return fmt.Sprintf("{+%d ts %d key %.40q value %.40q headers %.80q}", r.delta, r.ts, r.key, r.value, r.headers)
}
