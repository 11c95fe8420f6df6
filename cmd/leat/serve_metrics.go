package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leatprom"
)

// metricsServer is serve's HTTP port.
type metricsServer struct {
	url    string
	server *http.Server
	ended  context.Context // ends when it serves no more, for whatever reason
	err    error           // why, to be read when ended is
}

// startMetrics serves metrics of the log until close. On an address that other machines
// can reach it uses the TLS of the clients' port, or nothing with --insecure.
func startMetrics(ctx context.Context, log *leat.Log, c *serveConfig, t *tls.Config, logger *slog.Logger) (*metricsServer, error) {
	ln, err := listen("--metrics", c.metrics, t != nil || c.insecure)
	if err != nil {
		return nil, err
	}
	m := &metricsServer{url: "http://" + ln.Addr().String() + "/metrics"}
	if tcp, ok := ln.Addr().(*net.TCPAddr); t != nil && (!ok || !tcp.IP.IsLoopback()) {
		ln = tls.NewListener(ln, t.Clone())
		m.url = "https://" + ln.Addr().String() + "/metrics"
	}
	m.server = &http.Server{
		Handler:           metricsHandler(log, c.pprof, logger),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	ended, end := context.WithCancel(context.WithoutCancel(ctx))
	m.ended = ended
	go func() { // close waits for it
		defer end()
		if err := m.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			m.err = fmt.Errorf("the metrics' port: %w", err)
		}
	}()
	return m, nil
}

// close lets the answers under way end, for a while.
func (m *metricsServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	err := m.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = m.server.Close() // a profile, say
	}
	<-m.ended.Done()
	return errors.Join(err, m.err)
}

// groupLagMax is how many groups have a lag of their own in the metrics.
const groupLagMax = 1000

func metricsHandler(log *leat.Log, profiles bool, logger *slog.Logger) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(leatprom.NewCollector(log, leatprom.WithGroupLag(groupLagMax, nil)), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		_, err := log.Topics(r.Context())
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		case log.Metrics().Storage.Failed:
			http.Error(w, "the disk failed: writes are refused", http.StatusServiceUnavailable)
		default:
			fmt.Fprintln(w, "ok")
		}
	})
	if profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}
