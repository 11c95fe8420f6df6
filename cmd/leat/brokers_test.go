package main

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat"
)

// serveLog serves a Log on a loopback address until the test ends.
func serveLog(t testing.TB, log *leat.Log, opts ...leat.KafkaOption) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.ServeKafka(ctx, ln, opts...) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, leat.ErrClosed) {
			t.Errorf("ServeKafka: %v", err)
		}
	})
	return ln.Addr().String()
}

// serveTLSLog serves a Log with TLS.
func serveTLSLog(t testing.TB, certFile, keyFile string) (addr string) {
	t.Helper()
	config, err := (&serveTLS{cert: certFile, key: keyFile}).load()
	require.NoError(t, err)
	return serveLog(t, newLog(t), leat.WithKafkaTLS(config))
}

// newLog opens a Log in memory. The package's goroutines are checked at its end: tests
// run beside each other.
func newLog(t testing.TB) *leat.Log {
	t.Helper()
	log, err := leat.Open(t.Context(), leat.Config{InMemory: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return log
}
