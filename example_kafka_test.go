package leat_test

import (
	"context"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leatlog/leat"
)

func ExampleLog_ServeKafka() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	log := openExample(ctx, "orders")
	defer log.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	ended := make(chan error, 1)
	go func() { ended <- log.ServeKafka(ctx, ln) }()

	// Any client of Kafka's would do, in any language and any process.
	client, err := kgo.NewClient(kgo.SeedBrokers(ln.Addr().String()))
	must(err)
	err = client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: []byte("two lamps")}).FirstErr()
	fmt.Println("produced:", err)
	client.Close()

	c, err := log.NewConsumer(leat.Assign("orders"))
	must(err)
	defer c.Close()
	records, err := c.Poll(ctx, 1)
	must(err)
	fmt.Printf("offset %d: %s\n", records[0].Offset, records[0].Value)

	stop()
	fmt.Println("served:", <-ended)

	// Output:
	// produced: <nil>
	// offset 0: two lamps
	// served: <nil>
}
