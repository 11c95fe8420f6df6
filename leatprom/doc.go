// Package leatprom shows a Log to Prometheus.
//
//	registry := prometheus.NewRegistry()
//	registry.MustRegister(leatprom.NewCollector(log))
//
// A Collector holds no state of its own and does nothing between scrapes. To tell
// several Logs of a program apart, register each with a label:
//
//	prometheus.WrapRegistererWith(prometheus.Labels{"log": "orders"}, registry).MustRegister(...)
//
// What is exported is listed in docs/metrics.md. Metrics of single partitions are
// bounded in number, see WithPartitionLimit.
package leatprom
