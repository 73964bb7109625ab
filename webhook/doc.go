// Package webhook tells a URL of events: each is POSTed, signed, until the receiver has taken it.
//
// It does: queue events in the store, so that neither a restart nor a receiver that is down for hours loses one; send
// the events of one call in order, those of different calls side by side; retry with growing waits; let one process of
// those that share a store send for all; say what it gives up.
//
// It does not: know what an event says or what is answered to it, follow redirects, or hold up who has something to tell.
// An event may arrive twice; its id tells.
package webhook
