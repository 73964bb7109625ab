// Package metrics serves the service's figures to Prometheus.
//
// It does: count calls by outcome and the time it took to reach the called device, from their records; read the live
// calls and what guards the accounts at the moment somebody asks; serve /metrics over HTTP.
//
// It does not: decide anything, keep figures over a restart, or know Telegram or a PBX.
package metrics
