// Package stage sets up everything a call needs on one machine: a real Asterisk or FreeSWITCH with SIP phones, a
// simulated Telegram with people in it, and the ordinary tgtrunk service between them: one process of its own with an ordinary configuration,
// or several.
//
// It does: start and stop all of it, log the service's account in, wait until calls can be made.
// It does not: make calls or judge them; the demo, the bench and the integration tests do.
package stage
