// Package routing holds the pure decisions about a call: how a Telegram user is shown to a PBX, and what a dialled text
// means, by the same rules in both directions (Numbers); how a name is shown, and the sanitiser that every text of a
// stranger passes (NameRules, SanitizeName); and where a call goes (Table).
//
// It does not do I/O, keeps no state, resolves nobody on Telegram, and knows neither trunks nor legs: a Table is
// immutable, the owner replaces the whole of it to reload. What a PBX was shown before comes with the Request
// (package memory remembers it).
package routing
