// Package store is the small key-value room where tgtrunk keeps what must survive a restart: Telegram sessions,
// access hashes, update state, what is known of peers.
//
// It does: byte values under string keys, versions for compare-and-set, updates of many keys at once, expiry, scans by
// prefix, and leases with fencing tokens that say which process holds an account. File, the driver that is always there,
// is one bbolt file for one process, of which others may read a copy; Redis is a server for several. Sealed keeps the
// values of either encrypted; an Export carries some of them elsewhere under a passphrase.
//
// It does not: know what the values mean, hide the keys, or notify anybody of changes.
package store
