package peer_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/internal/peer"
	"github.com/leatlog/leat/leattest"
)

// BenchmarkProduce sends batches over loopback to a peer that only reads and answers
// (fake), and to a Log in memory; as many at a time as it says.
func BenchmarkProduce(b *testing.B) {
	for _, system := range []string{"fake", "leat"} {
		for _, size := range []int{1 << 10, 64 << 10} {
			for _, inFlight := range []int{1, 64} {
				b.Run(fmt.Sprintf("to=%s/size=%d/inflight=%d", system, size, inFlight), func(b *testing.B) {
					ctx := testContext(b)
					tp, addr := orders, ""
					var p *peer.Pool
					if system == "fake" {
						addr = newFake(b, func(c *fakeConn) { c.answerFast() }).addr()
						p = newPool(b, addr, peer.Config{})
					} else {
						log := leattest.New(b)
						p = newPool(b, serveLeat(b, log), peer.Config{})
						if _, err := log.CreateTopic(ctx, "orders", leat.TopicConfig{Partitions: 1, RetentionBytes: 64 << 20}); err != nil {
							b.Fatal(err)
						}
						tp = peer.TopicPartition{Topic: "orders"}
					}
					batch := sealed(b, string(make([]byte, size-80)))
					b.SetBytes(int64(len(batch)))
					b.ReportAllocs()
					b.ResetTimer()
					line := make(chan *peer.ProduceCall, inFlight-1)
					var wg sync.WaitGroup
					wg.Go(func() {
						for c := range line {
							if _, err := c.Wait(ctx); err != nil {
								b.Error(err)
							}
						}
					})
					for range b.N {
						c, err := p.StartProduce(ctx, node, peer.ProduceRequest{TopicPartition: tp, Batch: batch})
						if err != nil {
							b.Error(err)
							break
						}
						if inFlight == 1 {
							if _, err := c.Wait(ctx); err != nil {
								b.Error(err)
							}
							continue
						}
						line <- c
					}
					close(line)
					wg.Wait()
				})
			}
		}
	}
}
