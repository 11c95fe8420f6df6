// Package dashboard checks leat.json, a dashboard for Grafana over the metrics of
// leatprom: its queries name metrics that there are, and give data in a real Prometheus
// that scrapes nodes under load. It has no code but its tests.
package dashboard
