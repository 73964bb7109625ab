// Package routing holds the pure decisions about a call: what a dialled text means (ParseNumber), how a Telegram user
// is shown to a PBX so that calling back works (NumberRules.CallerID), and where a call goes (Table).
//
// It does not do I/O, keeps no state, resolves nobody on Telegram, and knows neither trunks nor legs: a Table is
// immutable, the owner replaces the whole of it to reload.
package routing
